//! One guest: a kernel, an image and a command come in, the command's output and how it ended go out.
//!
//! Boots a throw-away machine without a disk or a network. Must leave nothing behind, neither a process nor a file.

use std::{
    env, fs,
    fs::File,
    io::{self, Write},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::{
    cache::Cache,
    console,
    image::{Image, Overlay},
    kernels::{self, Release},
    process,
};

/// How the guest's instructions are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Accelerator {
    /// The machine's own processor where it can, else emulation.
    #[default]
    Auto,
    /// The machine's own processor only.
    Kvm,
    /// Emulation only.
    Tcg,
}

/// A machine to boot.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// Its kernel.
    pub(crate) release: Release,
    /// Its number of CPUs.
    pub(crate) smp: u32,
    /// Whether its clock counts instructions, so that runs repeat exactly.
    pub(crate) icount: bool,
    /// Whether its processor has no source of chance, which its kernel would seed itself from: a clock that counts
    /// instructions then shows the same in every boot. Random numbers cost the kernel more.
    pub(crate) without_chance: bool,
    /// How it is run.
    pub(crate) accelerator: Accelerator,
    /// What stands on its kernel's command line besides ours.
    pub(crate) append: Vec<String>,
    /// Its memory in MiB.
    pub(crate) memory_mib: u32,
    /// When it is killed.
    pub(crate) time_limit: Duration,
}

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The command ended with this exit status.
    Exited(u8),
    /// The kernel panicked, for this reason.
    Panicked(String),
    /// The guest was killed at its time limit.
    TimedOut,
    /// The guest ended before the command's status came.
    Vanished,
}

/// What remains of a guest.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// How it ended.
    pub(crate) ending: Ending,
    /// The text of the kernel's console.
    pub(crate) console: String,
}

impl Guest {
    /// A guest with one CPU and 2 GiB.
    pub(crate) fn new(release: Release) -> Self {
        Self {
            release,
            smp: 1,
            icount: false,
            without_chance: false,
            accelerator: Accelerator::default(),
            append: Vec::new(),
            memory_mib: 2048,
            time_limit: Duration::from_mins(5),
        }
    }

    /// Boots it, runs the overlay's command, and copies its output to `stdout` and `stderr` as it comes.
    pub(crate) fn run(
        &self,
        cache: &Cache,
        image: &Image,
        overlay: &Overlay<'_>,
        stdout: &mut (dyn Write + Send),
        stderr: &mut (dyn Write + Send),
    ) -> Result<Outcome> {
        let kernel = kernels::get(cache, self.release)?;
        let place = Place::new(cache)?;
        let initrd = place.path("initrd");
        image.write(&kernel, overlay, &initrd)?;
        let ports = Port::ALL.map(|port| place.path(port.name()));
        process::run(Command::new("mkfifo").args(&ports))?;
        // We hold a writer of each pipe until the emulator is gone: opening it to read does not wait then, and the
        // reader sees the end exactly when both are closed.
        let mut writers = Vec::new();
        for path in &ports {
            let writer = File::options().read(true).write(true).open(path);
            writers.push(writer.with_context(|| format!("cannot open {}", path.display()))?);
        }
        let [console, out, err, status] = ports.each_ref().map(File::open);
        let (console, out, err, status) = (console?, out?, err?, status?);
        let kvm = self.uses_kvm();

        let started = Instant::now();
        let mut command = self.command(kvm, &kernel.vmlinuz, &initrd, &place);
        let child = command
            .spawn()
            .with_context(|| format!("failed to start {command:?}"))?;
        let mut child = Reaped(child);
        let (mut console_text, mut status_text) = (Vec::new(), Vec::new());
        let finished = thread::scope(|scope| {
            let streams = [
                scope.spawn(|| console::stream(console, &mut console_text)),
                scope.spawn(|| console::stream(out, stdout)),
                scope.spawn(|| console::stream(err, stderr)),
                scope.spawn(|| console::stream(status, &mut status_text)),
            ];
            let finished = wait(&mut child.0, started + self.time_limit);
            drop(writers);
            for stream in streams {
                match stream.join() {
                    // Whoever read our output has gone; that is not the guest's fault.
                    Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
                        return Err(error);
                    }
                    _ => {}
                }
            }
            finished
        })
        .context("lost the guest")?;
        let console = String::from_utf8_lossy(&console_text).into_owned();
        let ending = ending(finished, &status_text, &console);
        if ending == Ending::Vanished && console.is_empty() {
            bail!(
                "the guest did not start: {}",
                place.read("emulator.log").trim()
            );
        }
        Ok(Outcome { ending, console })
    }

    fn command(&self, kvm: bool, kernel: &Path, initrd: &Path, place: &Place) -> Command {
        let mut command = Command::new("qemu-system-x86_64");
        if self.icount {
            command.args([
                "-accel",
                "tcg,thread=single",
                "-icount",
                "shift=0,sleep=off",
            ]);
            // String instructions count one per byte there, unlike on a processor; the kernel does without them.
            let chance = if self.without_chance {
                ",-rdrand,-rdseed"
            } else {
                ""
            };
            command.args([
                "-cpu",
                &format!("max,-erms,-fsrm{chance}"),
                "-rtc",
                "base=2026-01-01,clock=vm",
            ]);
        } else {
            if kvm {
                command.args(["-accel", "kvm"]);
            } else {
                // With a thread per CPU the emulator runs code that the kernel is just patching, as tracing makes it do.
                command.args(["-accel", "tcg,thread=single"]);
            }
            command.args(["-cpu", "max"]);
        }
        command.args([
            "-M",
            "q35",
            "-m",
            &self.memory_mib.to_string(),
            "-smp",
            &self.smp.to_string(),
        ]);
        command.args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
            "-monitor",
            "none",
        ]);
        for port in Port::ALL {
            let name = port.name();
            let path = place.path(name);
            command.args([
                "-chardev",
                &format!("file,id={name},path={}", path.display()),
            ]);
            command.args(["-serial", &format!("chardev:{name}")]);
        }
        command
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(initrd);
        command.args(["-append", &self.kernel_line()]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        match File::create(place.path("emulator.log")) {
            Ok(log) => command.stderr(log),
            Err(_) => command.stderr(Stdio::null()),
        };
        die_with_parent(&mut command);
        if self.icount {
            stay_on_one_cpu(&mut command);
        }
        command
    }

    fn kernel_line(&self) -> String {
        // An oops leaves a guest that half works; a test must not pass on it.
        let mut line = "console=ttyS0 8250.nr_uarts=4 panic=-1 oops=panic quiet".to_owned();
        if self.icount {
            line.push_str(" nokaslr norandmaps");
        }
        for append in &self.append {
            line.push(' ');
            line.push_str(append);
        }
        line
    }

    /// Whether the machine's own processor runs it. An accelerator that nobody has decided on is emulation.
    fn uses_kvm(&self) -> bool {
        !self.icount && self.accelerator == Accelerator::Kvm
    }
}

/// The serial ports in the order of their numbers; init.sh knows them by it.
#[derive(Clone, Copy)]
enum Port {
    Console,
    Stdout,
    Stderr,
    Status,
}

impl Port {
    const ALL: [Self; 4] = [Self::Console, Self::Stdout, Self::Stderr, Self::Status];

    fn name(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Status => "status",
        }
    }
}

/// Waits for `child` until `deadline`; kills it then and returns false.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<bool> {
    loop {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn ending(finished: bool, status: &[u8], console: &str) -> Ending {
    if let Some(reason) = console::panic_reason(console) {
        return Ending::Panicked(reason.to_owned());
    }
    match std::str::from_utf8(status)
        .ok()
        .and_then(|text| text.trim().parse().ok())
    {
        Some(status) => Ending::Exited(status),
        None if finished => Ending::Vanished,
        None => Ending::TimedOut,
    }
}

/// Lets the kernel kill the child when we are killed ourselves, by Ctrl-C or otherwise.
fn die_with_parent(command: &mut Command) {
    let arm = || {
        // SAFETY: prctl with these arguments reads no memory, and is safe to call between fork and exec.
        let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: the closure makes one system call, allocates nothing, and takes no lock.
    unsafe { command.pre_exec(arm) };
}

/// Keeps the emulator on one CPU, each on the next. Its timers are run by one thread and the guest by another: at the
/// same time, they once in a while differ in who comes first, and the guest's clock by an instruction or two.
fn stay_on_one_cpu(command: &mut Command) {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    // Where it cannot be told it runs wherever it may.
    let Ok(allowed) = sched_getaffinity(None) else {
        return;
    };
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|cpu| allowed.is_set(*cpu))
        .collect();
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    let mut one = CpuSet::new();
    one.set(cpus[number % cpus.len()]);
    let stay = move || sched_setaffinity(None, &one).map_err(io::Error::from);
    // SAFETY: the closure makes one system call, allocates nothing, and takes no lock.
    unsafe { command.pre_exec(stay) };
}

/// A child that is killed if we leave early.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // Both fail when the child has ended already, which is the usual case.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory of one run, removed at its end unless `AUDITWATCH_KEEP_RUN` is set, which keeps initrd and logs.
struct Place(PathBuf);

impl Place {
    fn new(cache: &Cache) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let all = cache.path("run");
        remove_orphans(&all);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = all.join(format!("{}.{number}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if env::var_os("AUDITWATCH_KEEP_RUN").is_none() {
            // Should it fail, the next run removes it.
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Removes what killed runs left: directories named for a process that is no more.
fn remove_orphans(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.split('.').next())
            .unwrap_or_default();
        if !pid.is_empty() && !Path::new("/proc").join(pid).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_end_is_judged_by_panic_then_status_then_time() {
        let panic = "Kernel panic - not syncing: x\n";
        assert_eq!(
            ending(true, b"0\n", panic),
            Ending::Panicked("x".to_owned())
        );
        assert_eq!(ending(true, b"7\n", ""), Ending::Exited(7));
        assert_eq!(ending(true, b"", ""), Ending::Vanished);
        assert_eq!(ending(false, b"", ""), Ending::TimedOut);
    }

    #[test]
    fn the_deterministic_clock_pins_addresses() {
        let mut guest = Guest::new(Release::V6_1);
        assert!(!guest.kernel_line().contains("nokaslr"));
        guest.icount = true;
        guest.append = vec!["audit=1".to_owned()];
        assert!(
            guest
                .kernel_line()
                .ends_with("quiet nokaslr norandmaps audit=1")
        );
    }
}
