//! An audit netlink socket, independent of auditwatch's own.
//!
//! Rule of use: no request while the queue may be above its limit, unless that is what the
//! scenario is about (a request can strand the host's waiters on kernels >= 5.17).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::rule::Rule;
use crate::wire::{self, Message, Setting, Status};

const REQUEST: u16 = 1;
const ACK: u16 = 4;
/// More than any record: the kernel's text ends at 8,560 bytes, aux data included at twice that.
const DATAGRAM: usize = 32 * 1024;
/// How long an answer may take: the answer of `AUDIT_GET` comes from a kernel thread of its own.
const ANSWER: Duration = Duration::from_secs(20);

/// The socket.
pub struct AuditSocket {
    fd: OwnedFd,
    seq: u32,
    buffer: Vec<u8>,
}

impl AuditSocket {
    /// Opens it; root of the initial namespaces is needed to use it.
    pub fn open() -> Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = unsafe {
            libc::socket(
                libc::AF_NETLINK,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                libc::NETLINK_AUDIT,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error()).context("opening an audit netlink socket");
        }
        // SAFETY: the descriptor was just made and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self {
            fd,
            seq: 0,
            buffer: vec![0; DATAGRAM],
        })
    }

    /// Sets the receive buffer, in bytes as `SO_RCVBUF` takes them, whatever the host's maximum is.
    pub fn set_receive_buffer(&self, bytes: i32) -> Result<()> {
        let size = libc::socklen_t::try_from(size_of::<i32>())?;
        // SAFETY: the option value is an int that lives over the call.
        let rc = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVBUFFORCE,
                (&raw const bytes).cast(),
                size,
            )
        };
        if rc < 0 {
            return Err(io::Error::last_os_error()).context("setting SO_RCVBUFFORCE");
        }
        Ok(())
    }

    /// Sends a request and returns its sequence number.
    pub fn send(&mut self, kind: u16, flags: u16, payload: &[u8]) -> Result<u32> {
        self.seq += 1;
        let datagram = wire::request(kind, REQUEST | flags, self.seq, payload);
        // SAFETY: an all-zero sockaddr_nl is valid; it is then addressed to the kernel.
        let mut kernel: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        kernel.nl_family = u16::try_from(libc::AF_NETLINK)?;
        let size = libc::socklen_t::try_from(size_of::<libc::sockaddr_nl>())?;
        loop {
            // SAFETY: buffer and address live over the call and have the lengths passed.
            let sent = unsafe {
                libc::sendto(
                    self.fd.as_raw_fd(),
                    datagram.as_ptr().cast(),
                    datagram.len(),
                    0,
                    (&raw const kernel).cast(),
                    size,
                )
            };
            if sent >= 0 {
                return Ok(self.seq);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error).with_context(|| format!("sending audit message {kind}"));
            }
        }
    }

    /// Waits until a datagram is there, or the time is over: whether there is one.
    pub fn poll(&self, timeout: Duration) -> Result<bool> {
        let mut entry = libc::pollfd {
            fd: self.fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: one entry, which lives over the call.
        let rc = unsafe { libc::poll(&raw mut entry, 1, millis) };
        if rc < 0 {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                return Ok(false);
            }
            return Err(error).context("polling the audit socket");
        }
        Ok(rc > 0)
    }

    /// Takes one datagram if there is one.
    pub fn try_receive(&mut self) -> io::Result<Option<Message<'_>>> {
        // SAFETY: the buffer lives over the call and has the length passed.
        let n = unsafe {
            libc::recv(
                self.fd.as_raw_fd(),
                self.buffer.as_mut_ptr().cast(),
                self.buffer.len(),
                libc::MSG_DONTWAIT,
            )
        };
        let Ok(n) = usize::try_from(n) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            };
        };
        Message::decode(&self.buffer[..n])
            .map(Some)
            .map_err(io::Error::other)
    }

    /// Waits for the answer to one request, dropping what does not belong to it.
    fn answer<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(&Message<'_>) -> Option<Result<T>>,
    ) -> Result<T> {
        let deadline = Instant::now() + ANSWER;
        while Instant::now() < deadline {
            if !self.poll(Duration::from_millis(200))? {
                continue;
            }
            if let Some(message) = self
                .try_receive()
                .with_context(|| format!("receiving {what}"))?
                && let Some(found) = pick(&message)
            {
                return found;
            }
        }
        bail!("no answer to {what} within {ANSWER:?}")
    }

    /// Sends a request that is acknowledged, and waits for that.
    pub fn acknowledged(&mut self, what: &str, kind: u16, payload: &[u8]) -> Result<()> {
        let seq = self.send(kind, ACK, payload)?;
        self.answer(what, |m| match m.error() {
            Some(0) if m.seq == seq => Some(Ok(())),
            Some(error) if m.seq == seq => {
                let error = io::Error::from_raw_os_error(error.wrapping_neg());
                Some(Err(
                    anyhow::Error::new(error).context(format!("{what} was refused"))
                ))
            }
            _ => None,
        })
    }

    /// `AUDIT_GET`.
    pub fn get(&mut self) -> Result<Status> {
        self.send(wire::GET, 0, &[])?;
        self.answer("AUDIT_GET", |m| match m.error() {
            Some(error) if error != 0 => {
                let error = io::Error::from_raw_os_error(error.wrapping_neg());
                Some(Err(
                    anyhow::Error::new(error).context("AUDIT_GET was refused")
                ))
            }
            _ => (m.kind == wire::GET).then(|| Status::decode(m.payload)),
        })
    }

    /// `AUDIT_SET` of one field.
    pub fn set(&mut self, setting: Setting) -> Result<()> {
        self.acknowledged(
            &format!("AUDIT_SET {setting:?}"),
            wire::SET,
            &setting.encode(),
        )
    }

    /// Sends `AUDIT_SET` of one field and leaves the acknowledgement in the socket.
    pub fn set_unanswered(&mut self, setting: Setting) -> Result<()> {
        self.send(wire::SET, ACK, &setting.encode()).map(drop)
    }

    /// Adds a rule.
    pub fn add_rule(&mut self, rule: &Rule) -> Result<()> {
        self.acknowledged(&format!("adding {rule:?}"), wire::ADD_RULE, &rule.encode()?)
    }

    /// All rules as the kernel has them.
    pub fn rules(&mut self) -> Result<Vec<Vec<u8>>> {
        let seq = self.send(wire::LIST_RULES, 0, &[])?;
        let mut rules = Vec::new();
        self.answer("AUDIT_LIST_RULES", |m| {
            if m.seq != seq {
                return None;
            }
            match m.kind {
                wire::LIST_RULES => {
                    rules.push(m.payload.to_vec());
                    None
                }
                wire::NLMSG_DONE => Some(Ok(())),
                _ => None,
            }
        })?;
        Ok(rules)
    }

    /// Deletes every rule and returns how many there were.
    pub fn delete_rules(&mut self) -> Result<usize> {
        let rules = self.rules()?;
        for rule in &rules {
            self.acknowledged("AUDIT_DEL_RULE", wire::DEL_RULE, rule)?;
        }
        Ok(rules.len())
    }

    /// Sends one USER message: one record, made in this call.
    pub fn user(&mut self, kind: u16, text: &str) -> Result<()> {
        self.send(kind, 0, text.as_bytes()).map(drop)
    }
}

/// `AUDIT_GET`: only at a quiet moment.
pub fn status() -> Result<Status> {
    AuditSocket::open()?.get()
}
