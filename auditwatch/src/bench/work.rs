//! The work of one producer thread: what it does once for each event, and the rules
//! that make records of it.
//!
//! In: a producer of the storm. Out: system calls and messages. It must stay on this
//! host, on loopback, and in a directory of its own.

use std::{
    ffi::CString,
    io,
    net::{Ipv4Addr, UdpSocket},
    os::{fd::AsRawFd as _, fd::FromRawFd as _, fd::OwnedFd},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::Mode;

use super::directory::Directory;
use crate::{
    netlink::{
        control,
        rule::{SyscallRule, Whose},
        socket::AuditSocket,
    },
    storm::{Kind, Producer},
};

/// A program that does nothing, where the host has it.
const TRUE: &str = "/bin/true";
/// Mode that a file is given.
const FILE_MODE: Mode = Mode::from_raw_mode(0o640);
/// Key of the rules of producers that name none.
const KEY: &str = "auditwatch-bench";

/// The rules that a producer needs, for a storm that runs in process `storm`.
#[must_use]
pub fn rules(producer: &Producer, storm: u32) -> Vec<SyscallRule> {
    let calls: &[libc::c_long] = match producer.kind {
        Kind::Syscall => &[libc::SYS_getppid],
        Kind::Open => &[libc::SYS_openat],
        Kind::Exec => &[libc::SYS_execve],
        Kind::Files => FILE_CALLS,
        Kind::Connect => &[libc::SYS_connect],
        Kind::User | Kind::Promiscuous => return Vec::new(),
    };
    vec![SyscallRule {
        syscalls: calls
            .iter()
            .filter_map(|&call| u32::try_from(call).ok())
            .collect(),
        whose: if producer.kind == Kind::Exec {
            Whose::ChildrenOf(storm)
        } else {
            Whose::Process(storm)
        },
        key: producer.key.clone().unwrap_or_else(|| KEY.to_owned()),
    }]
}

/// What hardening profiles look at.
#[cfg(target_arch = "x86_64")]
const FILE_CALLS: &[libc::c_long] = &[
    libc::SYS_chmod,
    libc::SYS_fchmodat,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
];
#[cfg(target_arch = "aarch64")]
const FILE_CALLS: &[libc::c_long] = &[
    libc::SYS_fchmodat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const FILE_CALLS: &[libc::c_long] = &[libc::SYS_fchmodat, libc::SYS_renameat2, libc::SYS_unlinkat];

/// What a thread needs, made ready before its first event.
#[derive(Debug)]
pub enum Work {
    /// A system call that does nothing.
    Syscall,
    /// Opens a file.
    Open(CString),
    /// Runs a program that does nothing, with an argument.
    Exec(Option<String>),
    /// Sends a message.
    User(AuditSocket, Vec<u8>),
    /// Changes the mode of a file, renames it, removes it.
    Files(Directory),
    /// Connects to a port on loopback; nothing is sent.
    Connect(UdpSocket),
    /// Makes loopback promiscuous and not, which is recorded without waiting for
    /// room (`__dev_set_promiscuity`, net/core/dev.c).
    Promiscuous(OwnedFd),
}

impl Work {
    /// Makes ready what a thread of a producer needs; its files go to `directory`.
    ///
    /// # Errors
    /// When something of it is refused.
    pub fn prepare(producer: &Producer, thread: u32, directory: &Path) -> Result<Self> {
        Ok(match producer.kind {
            Kind::Syscall => Self::Syscall,
            Kind::Open => Self::Open(c"/dev/null".to_owned()),
            Kind::Exec => Self::Exec(
                (producer.argv_bytes > 0)
                    .then(|| "a".repeat(usize::try_from(producer.argv_bytes).unwrap_or(0))),
            ),
            Kind::User => {
                let mut text = format!("op=storm producer={} thread={thread}", producer.name);
                let wanted = usize::try_from(producer.message_bytes).unwrap_or(0);
                while text.len() < wanted {
                    text.push('.');
                }
                Self::User(AuditSocket::open()?, text.into_bytes())
            }
            Kind::Files => {
                let name = format!("{}-{thread}-", producer.name);
                Self::Files(Directory::open(directory)?.make_unique(&name)?)
            }
            Kind::Connect => Self::Connect(
                UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot open a socket")?,
            ),
            Kind::Promiscuous => Self::Promiscuous(packet_socket()?),
        })
    }

    /// Does it once.
    ///
    /// # Errors
    /// When the kernel refuses it: the event may have made no record.
    pub fn once(&mut self, event: u64) -> Result<()> {
        match self {
            Self::Syscall => {
                // SAFETY: takes no numbers. The C library's getppid may not call the kernel.
                unsafe { libc::syscall(libc::SYS_getppid) };
            }
            Self::Open(path) => {
                // SAFETY: the path is a string that ends with a NUL.
                let fd = unsafe {
                    libc::openat(
                        libc::AT_FDCWD,
                        path.as_ptr(),
                        libc::O_RDONLY | libc::O_CLOEXEC,
                    )
                };
                ensure!(fd >= 0, io::Error::last_os_error());
                // SAFETY: the descriptor is new and nobody else's.
                drop(unsafe { OwnedFd::from_raw_fd(fd) });
            }
            Self::Exec(argument) => execute(argument.as_deref())?,
            Self::User(socket, text) => {
                control::user_message(socket, text)?;
            }
            Self::Files(directory) => {
                let (file, moved) = (format!("f{event}"), format!("g{event}"));
                drop(directory.create(&file)?);
                directory.set_mode(&file, FILE_MODE)?;
                directory.rename(&file, &moved)?;
                directory.remove(&moved)?;
            }
            Self::Connect(socket) => {
                socket.connect((Ipv4Addr::LOCALHOST, 9))?;
            }
            Self::Promiscuous(socket) => {
                membership(socket, libc::PACKET_ADD_MEMBERSHIP)?;
                membership(socket, libc::PACKET_DROP_MEMBERSHIP)?;
            }
        }
        Ok(())
    }
}

fn execute(argument: Option<&str>) -> Result<()> {
    let mut command = if Path::new(TRUE).exists() {
        Command::new(TRUE)
    } else {
        let mut command = Command::new("/proc/self/exe");
        command.args(["bench", "nothing"]);
        command
    };
    let status = command
        .args(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot run a program")?;
    ensure!(status.success(), "the program ended with {status}");
    Ok(())
}

fn packet_socket() -> Result<OwnedFd> {
    // SAFETY: takes numbers only. Protocol 0 receives no packet.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    ensure!(
        fd >= 0,
        "cannot open a packet socket: {}",
        io::Error::last_os_error()
    );
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Joins or leaves those who want all packets of loopback.
fn membership(socket: &OwnedFd, option: libc::c_int) -> Result<()> {
    // SAFETY: the name is a string that ends with a NUL.
    let loopback = unsafe { libc::if_nametoindex(c"lo".as_ptr()) };
    let request = libc::packet_mreq {
        mr_ifindex: libc::c_int::try_from(loopback).unwrap_or(1),
        mr_type: libc::c_ushort::try_from(libc::PACKET_MR_PROMISC).unwrap_or_default(),
        mr_alen: 0,
        mr_address: [0; 8],
    };
    // SAFETY: the kernel reads `request`, of the size given, during the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const request).cast(),
            libc::socklen_t::try_from(size_of::<libc::packet_mreq>()).unwrap_or_default(),
        )
    };
    ensure!(
        set == 0,
        "cannot make loopback promiscuous: {}",
        io::Error::last_os_error()
    );
    Ok(())
}
