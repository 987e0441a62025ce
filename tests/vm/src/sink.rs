//! The sink: a consumer in auditd's place that counts every record on a [`Board`].
//!
//! SIGSTOP and SIGCONT stall it, SIGUSR1 makes it unregister and live on, SIGTERM makes it
//! unregister, empty its socket and end, SIGKILL is an auditd that dies.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::board::{Board, Slot};
use crate::netlink::AuditSocket;
use crate::sys;
use crate::wire::{self, Setting};

/// The sink's name as the kernel and auditwatch show it.
pub const COMM: &str = "vmtest-sink";

static END: AtomicBool = AtomicBool::new(false);
static LEAVE: AtomicBool = AtomicBool::new(false);

extern "C" fn on_end(_: i32) {
    END.store(true, Ordering::SeqCst);
}

extern "C" fn on_leave(_: i32) {
    LEAVE.store(true, Ordering::SeqCst);
}

/// How the sink consumes.
#[derive(Debug, Args)]
pub struct SinkArgs {
    /// The board to count on
    #[arg(long, value_name = "FILE")]
    shm: PathBuf,
    /// Microseconds to sleep after each record
    #[arg(long, value_name = "N", default_value_t = 0)]
    per_record_us: u64,
    /// Receive buffer in bytes; the host's default without
    #[arg(long, value_name = "N")]
    rcvbuf: Option<i32>,
}

/// Registers and consumes until a signal ends it.
pub fn run(args: &SinkArgs) -> Result<()> {
    sys::set_comm(COMM);
    sys::on_signal(libc::SIGTERM, on_end)?;
    sys::on_signal(libc::SIGINT, on_end)?;
    sys::on_signal(libc::SIGUSR1, on_leave)?;
    let board = Board::open(&args.shm)?;
    let mut socket = AuditSocket::open()?;
    if let Some(bytes) = args.rcvbuf {
        socket.set_receive_buffer(bytes)?;
    }
    board.write(Slot::Pid, u64::from(std::process::id()));
    // Records may come before the acknowledgement: the loop below takes both.
    socket.set_unanswered(Setting::Pid(std::process::id()))?;
    let pause = Duration::from_micros(args.per_record_us);
    loop {
        if END.swap(false, Ordering::SeqCst) {
            unregister(&mut socket)?;
            while take(&mut socket, &board)?.is_some() {}
            return Ok(());
        }
        if LEAVE.swap(false, Ordering::SeqCst) {
            unregister(&mut socket)?;
        }
        match take(&mut socket, &board)? {
            Some(true) if !pause.is_zero() => std::thread::sleep(pause),
            Some(_) => {}
            None => {
                board.add(Slot::Idle, 1);
                socket.poll(Duration::from_millis(20))?;
            }
        }
    }
}

fn unregister(socket: &mut AuditSocket) -> Result<()> {
    socket
        .set_unanswered(Setting::Pid(0))
        .context("unregistering")
}

/// Takes one datagram: `None` when there is none, whether it was a record otherwise.
fn take(socket: &mut AuditSocket, board: &Board) -> Result<Option<bool>> {
    let message = match socket.try_receive() {
        Ok(Some(message)) => message,
        Ok(None) => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
            board.add(Slot::Enobufs, 1);
            return Ok(Some(false));
        }
        Err(error) => return Err(error).context("receiving records"),
    };
    if message.is_record() {
        if let Some(serial) = wire::serial(message.payload)
            && serial > board.read(Slot::Serial)
        {
            board.write(Slot::Serial, serial);
        }
        board.count(message.kind, message.payload.len());
        return Ok(Some(true));
    }
    match message.error() {
        Some(0) => board.add(Slot::Registered, 1),
        Some(error) => {
            board.write(Slot::Refused, u64::from(error.unsigned_abs()));
            bail!("the kernel refused to register the sink: error {error}");
        }
        None => {}
    }
    Ok(Some(false))
}
