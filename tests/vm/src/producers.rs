//! The producers: threads that make audited events and know exactly how many.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result};
use io_uring::{IoUring, opcode, squeue, types};

use crate::netlink::AuditSocket;
use crate::storm_args::{LoadArgs, Produced};
use crate::sys;
use crate::wire;

/// A USER message type that auditd has no special treatment for.
const USER_KIND: u16 = wire::USER;
const BUSYBOX: &str = "/bin/busybox";

static STOP: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Clone, Copy)]
enum Kind {
    Syscall,
    User,
    Exec,
    Files,
    Uring,
}

/// Runs the load on threads of this process and adds up what they did.
pub fn run(load: &LoadArgs) -> Result<Produced> {
    let kinds: Vec<(Kind, u64)> = [
        (Kind::Syscall, load.syscall),
        (Kind::User, load.user),
        (Kind::Exec, load.exec),
        (Kind::Files, load.files),
        (Kind::Uring, load.uring),
    ]
    .into_iter()
    .filter(|k| k.1 > 0)
    .collect();
    let count = kinds.len() * load.threads as usize;
    if load.until_acts_done {
        thread::spawn(|| {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            STOP.store(true, Ordering::Relaxed);
        });
    }
    let start = Barrier::new(count);
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for &(kind, events) in &kinds {
            for number in 0..load.threads {
                let start = &start;
                threads.push(scope.spawn(move || produce(kind, events, number, load, start)));
            }
        }
        let mut sum = Produced::default();
        for thread in threads {
            let produced = thread.join().ok().context("a producer panicked")?;
            sum.merge(&produced?);
        }
        Ok(sum)
    })
}

/// What a producer needs, made ready before the first event.
enum Work {
    Syscall,
    User(AuditSocket, String),
    Exec(String),
    Files(PathBuf),
    Uring(Box<IoUring>),
}

fn produce(
    kind: Kind,
    events: u64,
    number: u32,
    load: &LoadArgs,
    start: &Barrier,
) -> Result<Produced> {
    // Everybody must reach the barrier, also a producer that cannot be made ready.
    let ready = prepare(kind, number, load);
    start.wait();
    let mut work = ready?;
    let mut produced = Produced::default();
    let begin = sys::monotonic_ns();
    for event in 0..events {
        if load.gap_us > 0 {
            sys::sleep_until(begin + event * load.gap_us * 1000);
        }
        if STOP.load(Ordering::Relaxed) {
            break;
        }
        let before = sys::monotonic_ns();
        let done = work.once(event, &mut produced);
        let took = sys::monotonic_ns() - before;
        produced.max_latency_ns = produced.max_latency_ns.max(took);
        if done.is_err() {
            produced.failed += 1;
        }
    }
    work.finish(&mut produced);
    Ok(produced)
}

fn prepare(kind: Kind, number: u32, load: &LoadArgs) -> Result<Work> {
    let work = match kind {
        Kind::Syscall => {
            sys::set_comm("storm-syscall");
            Work::Syscall
        }
        Kind::User => {
            sys::set_comm("storm-user");
            Work::User(AuditSocket::open()?, format!("op=storm producer={number}"))
        }
        Kind::Exec => {
            sys::set_comm("storm-exec");
            Work::Exec("a".repeat(load.argv_bytes))
        }
        Kind::Files => {
            sys::set_comm("storm-files");
            let directory =
                std::env::temp_dir().join(format!("storm-{}-{number}", std::process::id()));
            fs::create_dir_all(&directory)
                .with_context(|| format!("making {}", directory.display()))?;
            fs::set_permissions(&directory, Permissions::from_mode(0o777))?;
            let secret = directory.with_extension("secret");
            fs::write(&secret, "x")?;
            fs::set_permissions(&secret, Permissions::from_mode(0o600))?;
            Work::Files(directory)
        }
        Kind::Uring => {
            sys::set_comm("storm-uring");
            Work::Uring(Box::new(IoUring::new(2).context("setting up io_uring")?))
        }
    };
    if let Some(loginuid) = load.loginuid {
        fs::write("/proc/thread-self/loginuid", loginuid.to_string())
            .context("setting the login uid")?;
    }
    if let Some(uid) = load.uid {
        sys::set_thread_uid(uid)?;
    }
    Ok(work)
}

impl Work {
    fn once(&mut self, event: u64, produced: &mut Produced) -> Result<()> {
        match self {
            Self::Syscall => {
                sys::getppid();
                produced.syscall += 1;
            }
            Self::User(socket, text) => {
                socket.user(USER_KIND, text)?;
                produced.user += 1;
            }
            Self::Exec(argument) => {
                execute(argument)?;
                produced.exec += 1;
            }
            Self::Files(directory) => {
                files(directory, event)?;
                produced.files += 1;
            }
            Self::Uring(ring) => {
                open_by_ring(ring, event)?;
                produced.uring += 1;
            }
        }
        Ok(())
    }

    /// USER messages that the kernel refused answer with an error: they made no record.
    fn finish(&mut self, produced: &mut Produced) {
        match self {
            Self::User(socket, _) => {
                while let Ok(Some(message)) = socket.try_receive() {
                    if message.error().is_some_and(|e| e != 0) {
                        produced.user = produced.user.saturating_sub(1);
                        produced.failed += 1;
                    }
                }
            }
            Self::Files(directory) => {
                drop(fs::remove_dir_all(&*directory));
            }
            Self::Syscall | Self::Exec(_) | Self::Uring(_) => {}
        }
    }
}

/// Runs a program that does nothing.
fn execute(argument: &str) -> Result<()> {
    let mut command = if Path::new(BUSYBOX).exists() {
        let mut command = Command::new(BUSYBOX);
        command.arg("true");
        command
    } else {
        let mut command = Command::new("/proc/self/exe");
        command.arg("nop");
        command
    };
    if !argument.is_empty() {
        command.arg(argument);
    }
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("running a program")?;
    anyhow::ensure!(status.success(), "the program ended with {status}");
    Ok(())
}

/// Opens a file through a ring: at once within the call, or by a worker.
fn open_by_ring(ring: &mut IoUring, event: u64) -> Result<()> {
    let flags = if event.is_multiple_of(2) {
        squeue::Flags::empty()
    } else {
        squeue::Flags::ASYNC
    };
    let open = opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), c"/etc/passwd".as_ptr())
        .flags(libc::O_RDONLY | libc::O_CLOEXEC)
        .build()
        .flags(flags);
    // SAFETY: the path lives for ever, and the ring has room: each entry is waited for.
    unsafe { ring.submission().push(&open) }.context("the ring is full")?;
    ring.submit_and_wait(1).context("entering the ring")?;
    let done = ring.completion().next().context("nothing is complete")?;
    if done.result() < 0 {
        return Err(io::Error::from_raw_os_error(-done.result())).context("opening by the ring");
    }
    // SAFETY: the descriptor was opened just now, and nobody else knows of it.
    drop(unsafe { OwnedFd::from_raw_fd(done.result()) });
    Ok(())
}

/// What usual rule sets look at: create, change mode, rename, delete, refused opens, programs.
fn files(directory: &Path, round: u64) -> Result<()> {
    let file = directory.join(format!("f{round}"));
    let moved = directory.join(format!("g{round}"));
    let sub = directory.join(format!("d{round}"));
    fs::write(&file, "storm")?;
    fs::set_permissions(&file, Permissions::from_mode(0o640))?;
    fs::rename(&file, &moved)?;
    fs::create_dir(&sub)?;
    drop(
        OpenOptions::new()
            .write(true)
            .open(directory.with_extension("secret")),
    );
    drop(OpenOptions::new().write(true).open("/etc/passwd"));
    fs::remove_dir(&sub)?;
    fs::remove_file(&moved)?;
    if round.is_multiple_of(8) {
        execute("")?;
    }
    Ok(())
}
