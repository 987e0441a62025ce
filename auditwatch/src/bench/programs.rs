//! The programs of the host that a bench may start: auditd and systemctl, by their full paths.
//!
//! In: how an auditd was started. Out: the command that starts it again, in an environment that is not the
//! administrator's. It must not start anything else, whatever a journal says.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::changes::Auditd;

/// Where auditd is, by distribution.
const AUDITD: [&str; 3] = ["/usr/sbin/auditd", "/sbin/auditd", "/usr/bin/auditd"];
/// Where systemctl is, by distribution.
const SYSTEMCTL: [&str; 2] = ["/usr/bin/systemctl", "/bin/systemctl"];
/// As systemd has it for services.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The auditd that is installed here.
#[must_use]
pub fn auditd() -> Option<&'static str> {
    installed(&AUDITD)
}

/// Whether services can be started here.
#[must_use]
pub fn has_systemctl() -> bool {
    installed(&SYSTEMCTL).is_some()
}

fn installed(places: &[&'static str]) -> Option<&'static str> {
    places.iter().find(|path| Path::new(path).exists()).copied()
}

/// A command without the environment, the directory and the terminal of the administrator.
#[must_use]
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The program of a process, by the path that it can be started again by; `None` if the kernel does not tell.
/// What a process says of itself (`/proc/PID/cmdline`) can be anything.
#[must_use]
pub fn of_process(pid: u32) -> Option<String> {
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let program = program.to_str()?;
    // An upgrade has replaced it since.
    let program = program.strip_suffix(" (deleted)").unwrap_or(program);
    let is_it = |place: &&str| {
        *place == program || fs::canonicalize(place).is_ok_and(|real| real == Path::new(program))
    };
    let known = AUDITD.into_iter().find(|place| is_it(place));
    Some(known.unwrap_or(program).to_owned())
}

/// Whether an auditd can be started again: by systemd, or by its program.
///
/// # Errors
/// If it is neither a service nor one of the known programs.
pub fn check(auditd: &Auditd) -> Result<()> {
    match (&auditd.unit, auditd.command.first()) {
        (Some(unit), _) => ensure!(is_service(unit), "{unit:?} is not a service of systemd"),
        (None, Some(program)) => ensure!(
            AUDITD.contains(&program.as_str()),
            "{program:?} is not auditd; auditd is one of {}",
            AUDITD.join(", ")
        ),
        (None, None) => bail!("the program of auditd is not known"),
    }
    Ok(())
}

/// The command that starts an auditd again.
///
/// # Errors
/// As [`check`]; if systemctl is not installed.
pub fn start_again(auditd: &Auditd) -> Result<Command> {
    check(auditd)?;
    if let Some(unit) = &auditd.unit {
        let systemctl = installed(&SYSTEMCTL)
            .with_context(|| format!("cannot find {}", SYSTEMCTL.join(" or ")))?;
        let mut command = command(systemctl);
        command.args(["start", "--", unit]);
        return Ok(command);
    }
    let [program, arguments @ ..] = auditd.command.as_slice() else {
        bail!("the program of auditd is not known");
    };
    let mut command = command(program);
    command.args(arguments);
    Ok(command)
}

/// Whether a name can be that of a service: the characters of `systemd.unit(5)`, and no option.
fn is_service(name: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    name.len() < 256
        && !name.starts_with(['-', '.'])
        && name.ends_with(".service")
        && name.bytes().all(of_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_get_nothing_of_the_administrators_environment() {
        let output = command("/usr/bin/env")
            .stdout(Stdio::piped())
            .output()
            .expect("env runs");
        let environment = String::from_utf8(output.stdout).expect("text");
        assert_eq!(environment, format!("PATH={SEARCH_PATH}\n"));
    }

    #[test]
    fn auditd_is_known_by_its_program() {
        let own = std::env::current_exe().expect("a path");
        let started = Auditd {
            command: of_process(std::process::id()).into_iter().collect(),
            unit: None,
        };
        assert_eq!(started.command, [own.to_str().expect("text")]);
        let words = check(&started).expect_err("not auditd").to_string();
        assert!(words.contains(&started.command[0]), "{words}");
        assert!(is_service("auditd.service") && is_service("a@b\\x2d.service"));
        for other in ["-h.service", "auditd", "a/b.service", "a b.service", ""] {
            assert!(!is_service(other), "{other}");
        }
    }
}
