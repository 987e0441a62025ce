//! The audit netlink client. It asks; what sets is `control`, on the same socket.
//!
//! In: answers of the kernel. Out: [`AuditStatus`]. It must not be used while the
//! queue is over its limit: since 5.17 the kernel lets any sender of an audit
//! message sleep there (`audit_receive`, kernel/audit.c), which can leave every
//! other waiter of the host asleep. Callers see to that.

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use bytes::Buf as _;
use thiserror::Error;

use crate::{
    kernel::filter_rule::FilterRule,
    netlink::status::{AuditFeatures, AuditStatus, TooShort},
};

/// `AUDIT_GET` (uapi).
const AUDIT_GET: u16 = 1000;
/// `AUDIT_GET_FEATURE` (uapi).
const AUDIT_GET_FEATURE: u16 = 1019;
/// `AUDIT_LIST_RULES` (uapi).
const AUDIT_LIST_RULES: u16 = 1013;
/// Longer than a rule can be: 64 fields, of which each may bring a path along, bytes.
const LONGEST_RULE: usize = 64 * 4096 + 9000;
/// `NLMSG_DONE` (uapi).
const DONE: u16 = 3;
/// Size of `struct nlmsghdr` (uapi), bytes.
const HEADER_BYTES: usize = 16;
/// `NLMSG_ERROR` (uapi).
const ERROR: u16 = 2;
/// `NLM_F_REQUEST` (uapi).
const NLM_F_REQUEST: u16 = 1;
/// `NLM_F_ACK` (uapi).
const NLM_F_ACK: u16 = 4;
/// Longest wait for an answer, which a kernel thread of its own sends.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asking the kernel failed.
#[derive(Debug, Error)]
pub enum NetlinkError {
    /// No such protocol.
    #[error(
        "the kernel has no audit netlink: it was built without audit, or booted with audit=0; boot \
         without audit=0"
    )]
    NoAudit(#[source] io::Error),
    /// Not in the initial user namespace.
    #[error(
        "the kernel refuses audit to this user namespace (ECONNREFUSED, on purpose); run on the host, \
         outside of the container"
    )]
    UserNamespace,
    /// No permission.
    #[error(
        "the kernel refuses audit to this process (EPERM): it needs CAP_AUDIT_CONTROL and the host's \
         pid namespace; run as root on the host (in a container: hostPID)"
    )]
    NotPermitted,
    /// The kernel answered with another error.
    #[error("the kernel refuses an audit message: {0}")]
    Refused(#[source] io::Error),
    /// A system call failed.
    #[error("cannot {action} audit netlink")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// No answer in time.
    #[error("the kernel did not answer an audit status request within {} s", PATIENCE.as_secs())]
    Silent,
    /// A rule that is cut short.
    #[error("the kernel's answer has a rule that is cut short")]
    BadRule,
    /// An answer that makes no sense.
    #[error(transparent)]
    Short(#[from] TooShort),
}

/// A socket to the audit subsystem.
#[derive(Debug)]
pub struct AuditSocket {
    socket: OwnedFd,
    sequence: u32,
}

/// What one datagram says about a request.
#[derive(Debug, PartialEq, Eq)]
enum Answer<'a> {
    /// The payload that was asked for.
    Payload(&'a [u8]),
    /// 0 for an acknowledgement, else a negative error number.
    Error(i32),
    /// The end of an answer of many parts.
    Done,
    /// Something else: an answer to an earlier request, or a record.
    Other,
}

impl AuditSocket {
    /// Opens a socket, bound to no multicast group.
    ///
    /// # Errors
    /// When the kernel has no audit, or refuses the socket.
    pub fn open() -> Result<Self, NetlinkError> {
        // SAFETY: a system call without memory arguments.
        let fd = unsafe {
            libc::socket(
                libc::AF_NETLINK,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                libc::NETLINK_AUDIT,
            )
        };
        if fd < 0 {
            let source = io::Error::last_os_error();
            return Err(match source.raw_os_error() {
                Some(libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT) => NetlinkError::NoAudit(source),
                Some(libc::EPERM | libc::EACCES) => NetlinkError::NotPermitted,
                _ => NetlinkError::Io {
                    action: "open",
                    source,
                },
            });
        }
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Self::over(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Goes on with a socket that [`AuditSocket::into_fd`] gave away.
    pub(crate) fn over(socket: OwnedFd) -> Self {
        Self {
            socket,
            sequence: first_sequence(),
        }
    }

    /// Asks for the audit status.
    ///
    /// # Errors
    /// When the kernel refuses, or does not answer.
    pub fn status(&mut self) -> Result<AuditStatus, NetlinkError> {
        Ok(AuditStatus::parse(&self.ask(AUDIT_GET)?)?)
    }

    /// Asks for the audit features; `None` where the kernel has none (before 3.13).
    ///
    /// # Errors
    /// As [`AuditSocket::status`].
    pub fn features(&mut self) -> Result<Option<AuditFeatures>, NetlinkError> {
        Ok(AuditFeatures::parse(&self.ask(AUDIT_GET_FEATURE)?))
    }

    /// Asks for the rules in force, list by list, each list in its order.
    ///
    /// # Errors
    /// As [`AuditSocket::status`], and when a rule makes no sense.
    pub fn rules(&mut self) -> Result<Vec<FilterRule>, NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        self.send(&request(
            AUDIT_LIST_RULES,
            NLM_F_REQUEST,
            self.sequence,
            &[],
        ))?;
        let mut rules = Vec::new();
        let mut buffer = vec![0; LONGEST_RULE];
        let deadline = Instant::now() + PATIENCE;
        loop {
            let length = self.receive(&mut buffer, deadline)?;
            let datagram = buffer.get(..length).unwrap_or_default();
            match answer(datagram, AUDIT_LIST_RULES, self.sequence) {
                Answer::Payload(rule) => {
                    rules.push(FilterRule::parse(rule).ok_or(NetlinkError::BadRule)?);
                }
                Answer::Done => return Ok(rules),
                Answer::Error(0) | Answer::Other => {}
                Answer::Error(number) => return Err(refusal(number)),
            }
        }
    }

    fn ask(&mut self, message: u16) -> Result<Vec<u8>, NetlinkError> {
        self.exchange(message, NLM_F_REQUEST, &[])
    }

    /// Sends an order, and waits until the kernel has carried it out.
    ///
    /// # Errors
    /// As [`AuditSocket::status`], and when the kernel refuses it.
    pub(crate) fn order(&mut self, message: u16, payload: &[u8]) -> Result<(), NetlinkError> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_ACK, payload)
            .map(drop)
    }

    /// Sends a message and leaves the answer on the socket; where it is not to be
    /// `acknowledged`, there is one only if the kernel refuses the message.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub(crate) fn post(
        &mut self,
        message: u16,
        payload: &[u8],
        acknowledged: bool,
    ) -> Result<(), NetlinkError> {
        let flags = if acknowledged {
            NLM_F_REQUEST | NLM_F_ACK
        } else {
            NLM_F_REQUEST
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.send(&request(message, flags, self.sequence, payload))
    }

    /// The socket itself, for whoever registers it in auditd's place.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.socket
    }

    fn exchange(
        &mut self,
        message: u16,
        flags: u16,
        payload: &[u8],
    ) -> Result<Vec<u8>, NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        self.send(&request(message, flags, self.sequence, payload))?;
        let mut buffer = vec![0; 9000];
        // For the answer: what else comes in between renews it not.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let length = self.receive(&mut buffer, deadline)?;
            let datagram = buffer.get(..length).unwrap_or_default();
            match answer(datagram, message, self.sequence) {
                Answer::Payload(payload) => return Ok(payload.to_vec()),
                Answer::Error(0) if flags & NLM_F_ACK != 0 => return Ok(Vec::new()),
                Answer::Error(0) | Answer::Done | Answer::Other => {}
                Answer::Error(number) => return Err(refusal(number)),
            }
        }
    }

    fn send(&self, message: &[u8]) -> Result<(), NetlinkError> {
        // SAFETY: the structure is plain integers, for which zeroes are valid.
        let mut kernel: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        kernel.nl_family = libc::sa_family_t::try_from(libc::AF_NETLINK).unwrap_or_default();
        // SAFETY: the kernel reads `message` and `kernel`, of the sizes given,
        // during the call.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                message.as_ptr().cast(),
                message.len(),
                0,
                (&raw const kernel).cast(),
                socklen::<libc::sockaddr_nl>(),
            )
        };
        if sent < 0 {
            let source = io::Error::last_os_error();
            return Err(match source.raw_os_error() {
                Some(number @ (libc::ECONNREFUSED | libc::EPERM)) => refusal(-number),
                _ => NetlinkError::Io {
                    action: "write to",
                    source,
                },
            });
        }
        Ok(())
    }

    /// Waits for a datagram of the kernel's; returns its length.
    fn receive(&self, buffer: &mut [u8], deadline: Instant) -> Result<usize, NetlinkError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(NetlinkError::Silent);
            }
            wait(&self.socket, left);
            match receive(self.socket.as_fd(), buffer) {
                // No answer is as long as the buffer.
                Ok(Some(Received {
                    length,
                    from: KERNEL,
                })) if length <= buffer.len() => {
                    return Ok(length);
                }
                Ok(_) => {}
                Err(source) => {
                    return Err(NetlinkError::Io {
                        action: "read from",
                        source,
                    });
                }
            }
        }
    }
}

/// Port of the kernel, which no process can have.
pub(crate) const KERNEL: u32 = 0;

/// A datagram that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// Its whole length, bytes: where it is greater than the buffer, the end is cut off.
    pub(crate) length: usize,
    /// Who sent it, by port: anybody with `CAP_NET_ADMIN` in this network namespace may.
    pub(crate) from: u32,
}

/// Takes a datagram off a socket; `None` where there is none.
///
/// # Errors
/// What the kernel says: `ENOBUFS` where some did not fit in.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<Received>> {
    // SAFETY: the structure is plain integers, for which zeroes are valid.
    let mut from: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    let mut from_bytes = socklen::<libc::sockaddr_nl>();
    // SAFETY: the kernel writes at most `buffer.len()` bytes to the buffer, and `from_bytes` to `from`, during the
    // call.
    let length = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT | libc::MSG_TRUNC,
            (&raw mut from).cast(),
            &raw mut from_bytes,
        )
    };
    if let Ok(length) = usize::try_from(length) {
        return Ok(Some(Received {
            length,
            from: from.nl_pid,
        }));
    }
    let error = io::Error::last_os_error();
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
        _ => Err(error),
    }
}

/// Waits until there is something to receive, at most so long.
pub(crate) fn wait(socket: &OwnedFd, most: Duration) {
    let mut poll = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // Rounded up: a wait of 0 ms would go round and round until the deadline.
    let ms = libc::c_int::try_from(most.as_micros().div_ceil(1_000)).unwrap_or(libc::c_int::MAX);
    // SAFETY: the kernel writes to the one structure during the call. Whatever it
    // says, the next receive finds out.
    unsafe { libc::poll(&raw mut poll, 1, ms) };
}

/// A number that nobody can know beforehand, so that nobody can send an answer to a request before it is made.
fn first_sequence() -> u32 {
    let [.., a, b, c, d] = RandomState::new().hash_one(0_u8).to_ne_bytes();
    u32::from_ne_bytes([a, b, c, d])
}

fn socklen<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or_default()
}

/// A request: `struct nlmsghdr` and its payload.
fn request(message: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let length = HEADER_BYTES + payload.len();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend(message.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(payload);
    bytes
}

/// Reads one datagram.
fn answer(whole: &[u8], message: u16, sequence: u32) -> Answer<'_> {
    if whole.len() < HEADER_BYTES {
        return Answer::Other;
    }
    let mut datagram = whole;
    let length = datagram.get_u32_ne();
    // What the header says must be there; what comes behind that is none of it.
    let Some(message_bytes) = usize::try_from(length)
        .ok()
        .and_then(|length| whole.get(HEADER_BYTES..length))
    else {
        return Answer::Other;
    };
    let kind = datagram.get_u16_ne();
    let _flags = datagram.get_u16_ne();
    let its_sequence = datagram.get_u32_ne();
    let mut datagram = message_bytes;
    if its_sequence != sequence {
        Answer::Other
    } else if kind == message {
        Answer::Payload(datagram)
    } else if kind == DONE {
        Answer::Done
    } else if kind == ERROR {
        datagram
            .try_get_i32_ne()
            .map_or(Answer::Other, Answer::Error)
    } else {
        Answer::Other
    }
}

/// Explains the negative error number of a refusal.
fn refusal(number: i32) -> NetlinkError {
    match number.wrapping_neg() {
        libc::ECONNREFUSED => NetlinkError::UserNamespace,
        libc::EPERM | libc::EACCES => NetlinkError::NotPermitted,
        other => NetlinkError::Refused(io::Error::from_raw_os_error(other)),
    }
}

#[cfg(test)]
mod tests;
