//! The sink: a process in auditd's place that counts every record on the board.
//!
//! In: records from the kernel, its pace from the board. Out: counts on the board.
//! SIGTERM makes it leave its place, empty its socket, and end; SIGSTOP and SIGCONT
//! are for whoever wants it stalled. It must be nobody's auditd for longer than its
//! parent lives.

use std::{
    io::{self, Write as _},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::{
    board::{Board, Slot},
    child,
    directory::Directory,
};
use crate::netlink::{
    control::{self, Setting},
    socket::{self, AuditSocket, KERNEL},
};

/// `NLMSG_ERROR` and `AUDIT_REPLACE` (uapi), which are no records.
const ERROR: u16 = 2;
const REPLACE: u16 = 1329;
/// `AUDIT_USER` and `AUDIT_LOGIN` (uapi), which are, in spite of their numbers.
const OLD_RECORDS: [u16; 2] = [1005, 1006];
/// Numbers below are orders and answers.
const FIRST_RECORD: u16 = 1100;
/// Size of `struct nlmsghdr`, bytes.
const HEADER_BYTES: usize = 16;
/// Longest wait for a record before a look at the signals.
const LOOK: Duration = Duration::from_millis(20);

static END: AtomicBool = AtomicBool::new(false);

extern "C" fn end(_: libc::c_int) {
    END.store(true, Ordering::Release);
}

/// What a sink is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SinkOrder {
    /// Where its board is.
    pub board: PathBuf,
    /// Receive buffer, bytes; the host's default where absent.
    pub rcvbuf: Option<u32>,
    /// Where it makes a file that each record is written to, and synced.
    pub directory: Option<PathBuf>,
}

/// Takes the records until SIGTERM.
///
/// # Errors
/// When the kernel refuses it as the consumer: another one is alive.
pub fn run(order: &SinkOrder) -> Result<()> {
    child::name(c"aw-sink");
    child::die_with_parent()?;
    child::on_signal(libc::SIGTERM, end)?;
    let board = Board::open(&order.board).context("cannot find the board")?;
    let mut log = order
        .directory
        .as_ref()
        .map(|path| Directory::open(path)?.create("sink.log"))
        .transpose()?;
    let mut socket = AuditSocket::open()?.into_fd();
    if let Some(bytes) = order.rcvbuf {
        set_receive_buffer(&socket, bytes)?;
    }
    let mut client = AuditSocket::over(socket);
    // Records may come before the answer: the loop takes both.
    control::post(&mut client, Setting::Consumer(std::process::id()))?;
    socket = client.into_fd();
    let mut pauses = Pauses::new();
    let mut buffer = vec![0; 9000];
    loop {
        if END.load(Ordering::Acquire) {
            return leave(socket, &board, &mut buffer);
        }
        match receive(&socket, &mut buffer) {
            Ok(Some(length)) => {
                let datagram = buffer.get(..length).unwrap_or_default();
                if take(datagram, &board)? {
                    if let Some(log) = &mut log {
                        log.write_all(datagram.get(HEADER_BYTES..).unwrap_or_default())
                            .and_then(|()| log.sync_data())
                            .context("cannot write the sink's log")?;
                    }
                    let per_record = Duration::from_micros(board.get(Slot::PerRecordUs));
                    if !per_record.is_zero() {
                        thread::sleep(per_record);
                    }
                }
            }
            Ok(None) => {
                board.add(Slot::Idle, 1);
                socket::wait(&socket, LOOK);
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                board.add(Slot::Overflows, 1);
            }
            Err(error) => return Err(error).context("cannot receive records"),
        }
        pauses.take(&board);
    }
}

/// Gives the place up, and counts what the socket still holds.
fn leave(socket: OwnedFd, board: &Board, buffer: &mut [u8]) -> Result<()> {
    let mut socket = AuditSocket::over(socket);
    control::post(&mut socket, Setting::Consumer(0)).context("cannot leave auditd's place")?;
    let socket = socket.into_fd();
    while let Ok(Some(length)) = receive(&socket, buffer) {
        take(buffer.get(..length).unwrap_or_default(), board)?;
    }
    Ok(())
}

/// The pauses that the board asks for.
struct Pauses {
    last: Instant,
}

impl Pauses {
    fn new() -> Self {
        Self {
            last: Instant::now(),
        }
    }

    fn take(&mut self, board: &Board) {
        let every = Duration::from_millis(board.get(Slot::PauseEveryMs));
        if every.is_zero() {
            self.last = Instant::now();
        } else if self.last.elapsed() >= every {
            thread::sleep(Duration::from_millis(board.get(Slot::PauseForMs)));
            self.last = Instant::now();
        }
    }
}

/// Counts a datagram; whether it was a record.
fn take(datagram: &[u8], board: &Board) -> Result<bool> {
    let Some(kind) = datagram
        .get(4..6)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u16::from_ne_bytes)
    else {
        return Ok(false);
    };
    if (kind >= FIRST_RECORD && kind != REPLACE) || OLD_RECORDS.contains(&kind) {
        board.record(kind, datagram.len().saturating_sub(HEADER_BYTES));
        return Ok(true);
    }
    // The answer to the registration.
    if kind == ERROR {
        let error = datagram
            .get(HEADER_BYTES..HEADER_BYTES + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, i32::from_ne_bytes);
        if error != 0 {
            board.set(Slot::Refused, u64::from(error.unsigned_abs()));
            bail!(
                "the kernel refuses the sink as the consumer: {}",
                io::Error::from_raw_os_error(-error)
            );
        }
        board.add(Slot::Registered, 1);
    }
    Ok(false)
}

/// Receives a datagram of the kernel's; `None` when there is none. Whoever may send others is not counted.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    let received = socket::receive(socket.as_fd(), buffer)?;
    Ok(received.map(|received| match received.from {
        KERNEL => received.length.min(buffer.len()),
        // As good as empty.
        _ => 0,
    }))
}

fn set_receive_buffer(socket: &OwnedFd, bytes: u32) -> Result<()> {
    let value = libc::c_int::try_from(bytes / 2).unwrap_or(libc::c_int::MAX);
    // SAFETY: the kernel reads `value`, of the size given, during the call. It doubles
    // the value (`__sock_set_rcvbuf`, net/core/sock.c).
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            (&raw const value).cast(),
            libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or_default(),
        )
    };
    if set != 0 {
        return Err(io::Error::last_os_error()).context("cannot set the sink's receive buffer");
    }
    Ok(())
}
