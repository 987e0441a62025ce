//! The command line on whatever host this is: where BPF works and where it is
//! refused, as root and as anybody else. Each test holds something down on each of
//! them; what needs a host that can be traced is tested in the guests (tests/vm).

#[path = "fixtures/program.rs"]
mod program;

use std::{
    fs::OpenOptions,
    io::Write as _,
    process::{Command, Output, Stdio},
};

use auditwatch::cli::Cli;
use clap::CommandFactory as _;
use serde_json::Value;
use tempfile::NamedTempFile;

use program::{auditwatch, decent, disk, refused, run, text};

/// What doctor says of this host.
fn diagnosis() -> Value {
    let output = run(&["doctor", "--json"]);
    serde_json::from_slice(&output.stdout).expect("the diagnosis is JSON")
}

/// The summary of a trace that ran: the last line of its output.
fn summary(output: &Output) -> Value {
    let stdout = text(&output.stdout);
    let last = stdout.lines().last().expect("a summary");
    let summary: Value = serde_json::from_str(last).expect("the summary is JSON");
    assert_eq!(summary["kind"], "summary", "{last}");
    summary
}

#[test]
fn completions_and_man_pages_cover_every_command() {
    let shells = ["bash", "zsh", "fish"].map(|shell| {
        let script = run(&["completions", shell]);
        assert_eq!(decent(&script), 0, "{shell}");
        (shell, text(&script.stdout))
    });
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("in UTF-8");
    assert_eq!(decent(&run(&["man", path])), 0);
    for (path, _) in commands() {
        let page = [&["auditwatch".to_owned()][..], &path].concat().join("-");
        let page = directory.path().join(format!("{page}.1"));
        assert!(page.is_file(), "{} is missing", page.display());
        for (shell, script) in &shells {
            for word in &path {
                assert!(script.contains(word), "{shell} lacks {path:?}");
            }
        }
    }
    let page = std::fs::read_to_string(directory.path().join("auditwatch-trace.1")).expect("there");
    for text in [
        "duration",
        ".SH EXAMPLES\n.nf",
        "[[\\-\\-] COMMAND [ARG]...]",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains(".SH EXTRA"), "{page}");
    assert!(shells[0].1.contains("boot-burst"), "names of storms");
    let nowhere = run(&["man", "/nonexistent/man1"]);
    assert_eq!(decent(&nowhere), 1);
    assert!(text(&nowhere.stderr).contains("create it first"));
}

/// All commands that help lists, as words of a command line; the program itself is the first.
fn commands() -> Vec<(Vec<String>, clap::Command)> {
    fn add(command: &clap::Command, path: &[String], all: &mut Vec<(Vec<String>, clap::Command)>) {
        all.push((path.to_vec(), command.clone()));
        for under in command.get_subcommands().filter(|it| !it.is_hide_set()) {
            add(under, &[path, &[under.get_name().to_owned()]].concat(), all);
        }
    }
    let mut all = Vec::new();
    add(&Cli::command(), &[], &mut all);
    all
}

/// The sentences of a command's help; examples and other indented lines are none.
fn sentences(command: &clap::Command) -> Vec<String> {
    let texts = [
        command.get_about(),
        command.get_long_about(),
        command.get_after_help(),
    ];
    let of_options = command
        .get_arguments()
        .flat_map(|argument| [argument.get_help(), argument.get_long_help()]);
    let prose: Vec<String> = texts
        .into_iter()
        .chain(of_options)
        .flatten()
        .flat_map(|text| {
            let text = text.to_string();
            let lines = text.lines().map(|line| {
                if line.starts_with("  ") || line.is_empty() {
                    ". ".to_owned()
                } else {
                    format!("{line} ")
                }
            });
            lines
                .collect::<String>()
                .split_inclusive(". ")
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    prose
}

#[test]
fn each_help_page_has_examples_and_short_sentences() {
    const WORDS: usize = 25;
    const COLUMNS: usize = 100;
    let all = commands();
    assert!(all.len() > 18, "{}", all.len());
    for (path, command) in all {
        for flag in ["--help", "-h"] {
            let mut child = auditwatch();
            let output = child
                .args(&path)
                .arg(flag)
                .env("COLUMNS", COLUMNS.to_string())
                .output()
                .expect("the program starts");
            let page = text(&output.stdout);
            assert_eq!(output.status.code(), Some(0), "{path:?} {flag}");
            assert!(page.contains("Usage: auditwatch"), "{path:?}: {page}");
            assert!(page.contains("Example"), "{path:?} {flag}: {page}");
            for line in page.lines() {
                assert!(line.chars().count() <= COLUMNS, "{path:?} {flag}: {line}");
            }
        }
        // An example that a terminal of 80 columns breaks cannot be copied.
        let after = command.get_after_help().expect("examples").to_string();
        for line in after.lines().filter(|line| line.starts_with("  ")) {
            assert!(line.chars().count() <= 80, "{path:?}: {line}");
        }
        let about = command.get_about().expect("a first line").to_string();
        assert!(
            about.starts_with(char::is_uppercase) && about.lines().count() == 1,
            "{path:?}: {about}"
        );
        for sentence in sentences(&command) {
            let words = sentence.split_whitespace().count();
            assert!(words <= WORDS, "{path:?}: {words} words: {sentence}");
        }
        for argument in command.get_arguments().filter(|it| !it.is_hide_set()) {
            let name = argument.get_id();
            assert!(argument.get_help().is_some(), "{path:?}: {name} has none");
        }
    }
}

#[test]
fn bad_usage_is_status_2_and_says_what_is_expected() {
    for (line, words) in [
        ("trace --duration soon", &["soon", "500ms, 30s"][..]),
        ("trace --duration 99999999999999999h", &["at most 8760h"]),
        ("trace --interval 1ms", &["10ms"]),
        ("trace --attach magic", &["magic"]),
        ("trace --top lots", &["lots", "a number of talkers"]),
        ("trace --", &["COMMAND"]),
        ("recommend --headroom 0.2", &["20% or 0.2%"]),
        ("recommend --memory-budget 64", &["64MiB"]),
        ("recommend --floor 8k", &["8k", "a number of records"]),
        ("recommend --floor 0", &["a number of records from 1"]),
        ("apply 8k", &["8k", "a number of records"]),
        ("apply 9 --wait-time soon", &["soon", "30s"]),
        ("undo abc", &["abc", "the number of a change"]),
        ("bench needed boot-burst --runs 0", &["--runs", "from 1"]),
        ("conquer", &["conquer"]),
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let output = run(&arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {stderr}");
        for word in words {
            assert!(stderr.contains(word), "{line}: {stderr}");
        }
        assert!(output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn command_that_cannot_run_has_the_status_of_a_shell() {
    for (command, status, cause) in [
        ("no-such-command", 127, "command not found"),
        ("/no/such/command", 127, "command not found"),
        ("/", 126, "directory"),
    ] {
        for words in [
            &["trace", command, "-j8"][..],
            &["trace", "-q", "--", command],
        ] {
            let output = run(words);
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(status), "{words:?}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
            assert!(
                stderr.contains(cause) && stderr.contains(command),
                "{stderr}"
            );
        }
    }
}

#[test]
fn closed_pipe_is_silent() {
    for words in [
        &["doctor"][..],
        &["status", "--files", "--root", "/"],
        &["completions", "bash"],
        &["man", "--help"],
        &["history"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        // Before the program starts, so that it cannot write first.
        drop(reader);
        let output = auditwatch()
            .args(words)
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .expect("the program ends");
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert_eq!(text(&output.stderr), "", "{words:?}");
    }
}

#[test]
fn undo_without_a_change_succeeds() {
    let disk = disk(&[("etc/audit/rules.d/a.rules", "-b 77\n")]);
    let root = disk.path().to_str().expect("text");
    let output = run(&["undo", "--root", root]);
    assert_eq!(decent(&output), 0, "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("nothing to undo"));
    let output = run(&["undo", "--root", root, "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&said["kind"], &said["id"]), (&"undo".into(), &Value::Null));
    assert!(refused(&run(&["undo", "7", "--root", root])).contains("no change 7"));
}

#[test]
fn doctor_says_usable_by_its_status() {
    let output = run(&["doctor", "--json"]);
    let diagnosis: Value = serde_json::from_slice(&output.stdout).expect("the diagnosis is JSON");
    let usable = diagnosis["usable"].as_bool().expect("a bool");
    assert_eq!(decent(&output), i32::from(!usable));
    assert_eq!(diagnosis["kind"], "doctor");
    assert_eq!(diagnosis["schema"], 1);
    let verdict = diagnosis["verdict"].as_str().expect("a text");
    assert_eq!(verdict.starts_with("usable"), usable, "{verdict}");
}

#[test]
fn source_bpf_names_the_cause_of_its_failure() {
    let output = run(&["trace", "--source", "bpf", "--duration", "200ms", "--json"]);
    if diagnosis()["usable"] == true {
        assert!(matches!(decent(&output), 0 | 3), "{}", text(&output.stderr));
        let summary = summary(&output);
        assert_eq!(summary["source"], "bpf");
        assert!(summary["ledger"]["attempted"].is_u64(), "{summary}");
    } else {
        let cause = refused(&output);
        assert!(cause.contains("BPF") || cause.contains("audit"), "{cause}");
    }
}

#[test]
fn figures_that_polling_cannot_see_are_absent() {
    let output = run(&["trace", "--source", "poll", "--duration", "200ms", "--json"]);
    if diagnosis()["pollable"] == true {
        assert!(matches!(decent(&output), 0 | 3), "{}", text(&output.stderr));
        let summary = summary(&output);
        assert_eq!(summary["source"], "poll");
        for count in ["attempted", "enqueued", "delivered", "residual"] {
            assert!(summary["ledger"][count].is_null(), "{count}: {summary}");
        }
        assert!(summary["stalls"].is_null());
        assert!(summary["limit_changes"].is_null());
        // What it can see is there.
        assert!(summary["status"]["limit_end"].is_u64(), "{summary}");
        assert!(summary["status"]["lost_end"].is_u64(), "{summary}");
    } else {
        let cause = refused(&output);
        assert!(cause.contains("cannot poll"), "{cause}");
    }
}

#[test]
fn a_command_runs_under_a_trace_or_not_at_all() {
    let diagnosis = diagnosis();
    let output = run(&["trace", "--", "sh", "-c", "echo it ran >&2; exit 7"]);
    let ran = text(&output.stderr).contains("it ran");
    if diagnosis["usable"] == true || diagnosis["pollable"] == true {
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{stderr}");
        assert!(ran, "{stderr}");
        assert!(stderr.contains("command exited with 7"), "{stderr}");
    } else {
        refused(&output);
        assert!(!ran);
    }
}

#[test]
fn output_of_the_command_stays_out_of_the_json() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("trace.json");
    let file = path.to_str().expect("in UTF-8");
    let on_stdout = ["trace", "-q", "--source", "poll", "--json"];
    let command = ["sh", "-c", "echo hello"];
    let apart = run(&[&on_stdout[..], &command].concat());
    let in_file = run(&[&on_stdout[..], &["-o", file], &command].concat());
    if diagnosis()["pollable"] == true {
        summary(&apart);
        assert!(
            text(&apart.stdout)
                .lines()
                .all(|line| line.starts_with('{'))
        );
        assert_eq!(text(&apart.stderr), "hello\n");
        assert_eq!(text(&in_file.stdout), "hello\n");
        let written = std::fs::read_to_string(&path).expect("it was written");
        let last = written.lines().last().expect("a summary");
        assert!(last.contains("\"kind\":\"summary\""), "{last}");
    } else {
        refused(&apart);
        refused(&in_file);
    }
}

#[test]
fn a_full_disk_is_named() {
    for arguments in [&["doctor"][..], &["doctor", "--json"]] {
        let full = OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("/dev/full can be opened");
        let output = auditwatch()
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(full)
            .output()
            .expect("the program starts");
        assert_eq!(decent(&output), 1, "{arguments:?}");
        let stderr = text(&output.stderr);
        assert!(stderr.contains("No space left"), "{stderr}");
    }
}

#[test]
fn output_to_a_pipe_has_no_colour() {
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

/// A temporary file with this content.
fn temporary_file(suffix: &str, content: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix(suffix).expect("a temporary file");
    file.write_all(content).expect("a file can be written");
    file
}

fn name(file: &NamedTempFile) -> &str {
    file.path().to_str().expect("a plain name")
}

#[test]
fn storms_are_listed_and_shown() {
    let list = run(&["bench", "list"]);
    assert_eq!(decent(&list), 0);
    for line in text(&list.stdout).lines() {
        let name = line.split_whitespace().next().expect("a name");
        let shown = run(&["bench", "show", name]);
        assert_eq!(decent(&shown), 0);
        assert!(text(&shown.stdout).contains(&format!("name = \"{name}\"")));
    }
    assert!(refused(&run(&["bench", "show", "no-such"])).contains("no-such"));
    let json = run(&["bench", "list", "--json"]);
    assert_eq!(decent(&json), 0);
    let storms: Vec<Value> = text(&json.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(storms.len(), text(&list.stdout).lines().count());
    for (storm, line) in storms.iter().zip(text(&list.stdout).lines()) {
        let name = storm["name"].as_str().expect("a name");
        assert_eq!(Some(name), line.split_whitespace().next());
    }
    let burst = storms.iter().find(|storm| storm["name"] == "boot-burst");
    let burst = burst.expect("it is in the library");
    assert_eq!(
        (&burst["limit"], &burst["events"]),
        (&64.into(), &440.into())
    );
}

#[test]
fn a_storm_with_a_mistake_is_named_with_its_line() {
    let storm = temporary_file(".toml", b"name = \"x\"\n[host]\nlimt = 3\n");
    for command in ["run", "sweep", "needed"] {
        let words = refused(&run(&["bench", command, name(&storm)]));
        for word in [name(&storm), "line 3", "limt"] {
            assert!(words.contains(word), "{words}");
        }
    }
    let words = refused(&run(&["bench", "run", "/no/such/storm.toml"]));
    assert!(words.contains("/no/such/storm.toml"), "{words}");
}

/// A device has no end, and a pipe without a writer keeps its reader waiting.
#[test]
fn storm_that_is_not_a_regular_file_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()));
    let pipe = pipe.to_str().expect("text");
    for storm in ["/dev/zero", "/dev/null", "/dev/", pipe] {
        let words = refused(&run(&["bench", "run", storm]));
        assert!(
            words.contains(storm) && words.contains("not a regular file"),
            "{words}"
        );
    }
    let long = temporary_file(".toml", &vec![b'#'; (1 << 20) + 1]);
    let words = refused(&run(&["bench", "run", name(&long)]));
    assert!(words.contains("1048576 bytes"), "{words}");
}

#[test]
fn file_that_cannot_be_compared_is_named() {
    let junk = temporary_file(".zst", b"type=SYSCALL msg=audit(1.2:3)\n");
    for other in ["/no/such/file", name(&junk)] {
        let words = refused(&run(&["compare", other, other]));
        assert!(words.contains(other), "{words}");
        let replayed = refused(&run(&["replay", other]));
        let cause = if other.starts_with("/no") {
            "No such file or directory"
        } else {
            "not a recording of auditwatch"
        };
        for words in [words, replayed] {
            assert!(words.contains(cause), "{words}");
        }
    }
    assert!(refused(&run(&["compare", "-", "-"])).contains("not both"));
}
