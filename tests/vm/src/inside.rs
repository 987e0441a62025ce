//! A command in a bad place: another user, other namespaces, a kernel that hides things.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::sys;

/// The place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// An ordinary user.
    User,
    /// Root of a user namespace of its own.
    UserNamespace,
    /// A process namespace of its own, as in a container.
    PidNamespace,
    /// A kernel without type information.
    NoBtf,
    /// A kernel that does not tell its symbols.
    NoKallsyms,
    /// Symbols without addresses: without `CAP_SYSLOG` the kernel shows zeros.
    NoAddresses,
    /// No tracing file system.
    NoTracefs,
}

/// What to run where.
#[derive(Debug, Args)]
pub struct InsideArgs {
    /// The place
    place: Place,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

const CAP_SYSLOG: u32 = 34;
const MS_BIND: u64 = 4096;
const MS_PRIVATE: u64 = 1 << 18;
const MS_REC: u64 = 16384;

/// Goes there and becomes the command.
pub fn run(args: &InsideArgs) -> Result<ExitCode> {
    let Some((program, arguments)) = args.command.split_first() else {
        bail!("no command")
    };
    let mut command = Command::new(program);
    command.args(arguments);
    match args.place {
        Place::User => {
            command.uid(65534).gid(65534);
        }
        Place::UserNamespace => {
            sys::unshare(libc::CLONE_NEWUSER)?;
            fs::write("/proc/self/setgroups", "deny").context("writing setgroups")?;
            fs::write("/proc/self/uid_map", "0 0 1").context("writing uid_map")?;
            fs::write("/proc/self/gid_map", "0 0 1").context("writing gid_map")?;
        }
        Place::PidNamespace => {
            private_mounts(libc::CLONE_NEWPID)?;
            // The first child is the namespace's init; /proc must be its own.
            let mut init = Command::new("/proc/self/exe");
            init.arg("own-proc").args(&args.command);
            let status = init.status().context("entering the process namespace")?;
            let code = status.code().and_then(|c| u8::try_from(c).ok());
            return Ok(ExitCode::from(code.unwrap_or(128)));
        }
        Place::NoBtf => hide("/sys/kernel/btf/vmlinux", "")?,
        Place::NoKallsyms => hide("/proc/kallsyms", "")?,
        Place::NoAddresses => sys::drop_bounding_capability(CAP_SYSLOG)?,
        Place::NoTracefs => {
            private_mounts(0)?;
            for path in ["/sys/kernel/debug", "/sys/kernel/tracing"] {
                if Path::new(path).exists() {
                    sys::mount("tmpfs".as_ref(), path.as_ref(), "tmpfs", 0, "")?;
                }
            }
        }
    }
    Err(command.exec()).with_context(|| format!("running {}", program.display()))
}

/// Mounts a `/proc` of the new process namespace, then becomes the command.
pub fn own_proc(words: &[OsString]) -> Result<ExitCode> {
    let Some((program, arguments)) = words.split_first() else {
        bail!("no command")
    };
    sys::mount("proc".as_ref(), "/proc".as_ref(), "proc", 0, "")?;
    Err(Command::new(program).args(arguments).exec())
        .with_context(|| format!("running {}", program.display()))
}

fn private_mounts(more: i32) -> Result<()> {
    sys::unshare(libc::CLONE_NEWNS | more)?;
    sys::mount("none".as_ref(), "/".as_ref(), "", MS_REC | MS_PRIVATE, "")
}

/// Puts other contents in the place of a file, for this process and its children only.
fn hide(path: &str, contents: &str) -> Result<()> {
    private_mounts(0)?;
    let substitute = std::env::temp_dir().join(format!("hidden-{}", std::process::id()));
    fs::write(&substitute, contents)?;
    sys::mount(&substitute, path.as_ref(), "", MS_BIND, "")?;
    fs::remove_file(&substitute).context("removing the substitute")
}
