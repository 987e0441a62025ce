//! The command line on whatever host this is: where BPF works and where it is
//! refused, as root and as anybody else.

use std::{
    fs::OpenOptions,
    io::{BufRead as _, BufReader},
    process::{Command, Output, Stdio},
};

fn auditwatch() -> Command {
    Command::new(env!("CARGO_BIN_EXE_auditwatch"))
}

fn run(arguments: &[&str]) -> Output {
    auditwatch()
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What every ending owes: a status of the contract, and no panic.
fn decent(output: &Output) -> i32 {
    let stderr = text(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
    let status = output.status.code().expect("no signal ended it");
    assert!((0..=3).contains(&status), "status {status}: {stderr}");
    status
}

/// Whether `trace` can count or poll here at all.
fn traceable() -> bool {
    let output = run(&["doctor", "--json"]);
    let diagnosis: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("the diagnosis is JSON");
    diagnosis["usable"] == true || diagnosis["pollable"] == true
}

#[test]
fn help_has_examples() {
    for command in ["trace", "status", "doctor"] {
        let output = run(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("Examples:"), "{command}");
    }
}

#[test]
fn bad_usage_is_status_2_and_names_the_word() {
    for (arguments, word) in [
        (&["trace", "--duration", "soon"][..], "soon"),
        (&["trace", "--interval", "1ms"][..], "100ms"),
        (&["trace", "--attach", "magic"][..], "magic"),
        (&["conquer"][..], "conquer"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(word), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn doctor_says_usable_by_its_status() {
    let output = run(&["doctor", "--json"]);
    let diagnosis: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("the diagnosis is JSON");
    let usable = diagnosis["usable"].as_bool().expect("a bool");
    assert_eq!(decent(&output), i32::from(!usable));
    let verdict = diagnosis["verdict"].as_str().expect("a text");
    assert_eq!(verdict.starts_with("usable"), usable, "{verdict}");
}

#[test]
fn bpf_or_nothing_names_the_cause_where_it_is_nothing() {
    let output = run(&["trace", "--source", "bpf", "--duration", "200ms"]);
    let usable = decent(&run(&["doctor"])) == 0;
    let status = decent(&output);
    if usable {
        assert_ne!(status, 1);
    } else {
        assert_eq!(status, 1);
        assert!(output.stdout.is_empty());
        let stderr = text(&output.stderr);
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("auditwatch: "), "{stderr}");
    }
}

#[test]
fn polling_leaves_absent_what_it_cannot_see() {
    let output = run(&["trace", "--source", "poll", "--duration", "200ms", "--json"]);
    let status = decent(&output);
    if status == 1 {
        // No audit netlink here: the cause stands on stderr.
        assert!(text(&output.stderr).contains("netlink") || text(&output.stderr).contains("audit"));
        return;
    }
    let stdout = text(&output.stdout);
    let last = stdout.lines().last().expect("a summary");
    let summary: serde_json::Value = serde_json::from_str(last).expect("the summary is JSON");
    assert_eq!(summary["kind"], "summary");
    assert_eq!(summary["source"], "poll");
    for count in ["attempted", "enqueued", "delivered", "residual"] {
        assert!(summary["ledger"][count].is_null(), "{count}: {last}");
    }
    assert!(summary["stalls"].is_null());
    assert!(summary["limit_changes"].is_null());
}

#[test]
fn a_commands_status_is_passed_on() {
    if !traceable() {
        return;
    }
    let output = run(&["trace", "--", "sh", "-c", "exit 7"]);
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
    let output = run(&["trace", "--", "/no/such/program"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/no/such/program"));
}

#[test]
fn a_full_disk_is_named() {
    if !traceable() {
        return;
    }
    let full = OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full can be opened");
    let output = auditwatch()
        .args(["trace", "--duration", "300ms"])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .expect("the program starts");
    assert_eq!(decent(&output), 1);
    assert!(
        text(&output.stderr).contains("No space left"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_closed_pipe_ends_the_trace_without_a_panic() {
    if !traceable() {
        return;
    }
    let mut child = auditwatch()
        .args(["trace", "--interval", "100ms", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe"))
        .read_line(&mut first)
        .expect("a line");
    assert!(first.starts_with('{'), "{first}");
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(decent(&output), 1);
    assert!(
        text(&output.stderr).contains("closed"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_signal_ends_with_the_summary() {
    if !traceable() {
        return;
    }
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let mut child = auditwatch()
            .args(["trace", "--interval", "100ms", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        lines.next().expect("a first line").expect("text");
        let id = libc::pid_t::try_from(child.id()).expect("a process id");
        // SAFETY: a system call without memory arguments; the child was not waited for.
        assert_eq!(unsafe { libc::kill(id, signal) }, 0);
        let last = lines.last().expect("a last line").expect("text");
        assert!(last.contains("\"kind\":\"summary\""), "{last}");
        let status = child.wait().expect("the program ends").code();
        assert!(matches!(status, Some(0 | 3)), "{status:?}");
    }
}

#[test]
fn what_is_no_terminal_gets_no_colour() {
    for arguments in [
        &["trace", "--duration", "200ms"][..],
        &["status"],
        &["doctor"],
    ] {
        let output = run(arguments);
        decent(&output);
        assert!(!text(&output.stdout).contains('\u{1b}'), "{arguments:?}");
    }
}
