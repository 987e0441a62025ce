//! Names that others choose, in every report: none of them acts on the terminal, none hides, none makes a
//! line of its own, and JSON has each as it is.

#[path = "fixtures/hostile.rs"]
mod hostile;
#[path = "fixtures/loads.rs"]
mod loads;
#[path = "fixtures/traces.rs"]
mod traces;

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use auditwatch::{
    change::journal::Journal,
    diagnosis::{Origin, Reading, diagnose},
    recommend::{
        Options, explain,
        model::evidence::{Evidence, Talker as Causer, TalkerShare},
        recommend,
    },
    render::{self, style::Style},
    status::{Inputs, StatusReport},
    trace::{
        comparison::compare,
        report::{Share, Shares, Summary, Talker, TalkerSums},
    },
};
use hostile::{every_string_is_shown_escaped, hostile, infected, is_harmless, json_has};
use proptest::prelude::any;
use serde_json::{Value, json};
use traces::{CALM, Second, about, lines, runner, trace};

fn burst(name: &str) -> Evidence {
    let of = 1_000;
    let mut load = loads::burst();
    load.talkers = [Causer::Key(name.into()), Causer::Comm(name.into())]
        .map(|what| TalkerShare {
            what,
            records: 930,
            of,
        })
        .into();
    load
}

fn summary() -> Summary {
    let storm = Second {
        lost: 20,
        stalls: 4,
        ..CALM
    };
    let mut summary = trace(&about(storm, 3)).summary;
    let sums = TalkerSums {
        records: 500,
        dropped: 5,
        stalls: 2,
        stall_ns: 7_000,
        ..TalkerSums::default()
    };
    let any = || Some("any".into());
    let talker = |container_name, container| Talker {
        comm: "any".into(),
        pid: Some(7),
        processes: Some(1),
        exe: any(),
        cgroup: any(),
        container,
        container_name,
        pod: any(),
        unit: any(),
        key: any(),
        syscall: Some("execve".to_owned()),
        record_type: "SYSCALL".to_owned(),
        sums,
    };
    summary.talkers = Some(vec![
        talker(any(), any()),
        talker(None, any()),
        talker(None, None),
    ]);
    let shares = || {
        let share = |name| Share { name, sums };
        vec![share(any()), share(None)]
    };
    summary.talkers_by = Some(Shares {
        key: shares(),
        comm: shares(),
        cgroup: shares(),
        syscall: shares(),
        record_type: shares(),
    });
    summary.notes.push("a note".to_owned());
    summary.source_reason = Some("a reason".to_owned());
    summary.limit_changes = serde_json::from_value(json!([
        {"at_ns": 1, "field": "backlog_limit", "old": 64, "new": 8192, "pid": 9, "comm": "auditctl", "result": -1}
    ]))
    .expect("changes");
    summary.hooks = ["ok", "degraded", "failed"]
        .map(|verdict| {
            serde_json::from_value(json!({
                "role": "attempts", "name": "audit_log_start", "form": "fentry", "verdict": verdict,
                "reason": "why", "caveat": "less"
            }))
            .expect("a hook")
        })
        .into();
    summary.recommendation = Some(recommend(&burst("exec"), &Options::default()));
    summary
}

#[test]
fn traces_show_no_name_raw() {
    for style in [Style::plain(), Style::colored()] {
        every_string_is_shown_escaped("summary", &summary(), |summary| {
            render::summary::summary(summary, render::summary::TOP, style)
        });
        let interval = trace(&about(CALM, 3)).intervals.remove(0);
        let (interval, strings) = infected(&interval, "\u{1b}[2J");
        assert_eq!(strings, 0, "an interval has a string that others choose");
        let row = render::live_table::LiveTable::with_head_every(None).row(&interval, style);
        is_harmless(&row, "interval");
        let answer = recommend(&burst("exec"), &Options::default());
        every_string_is_shown_escaped("recommendation", &answer, |answer| {
            render::recommendation::block(answer, style)
        });
    }
}

#[test]
fn no_text_at_all_acts_on_the_terminal() {
    let summary = summary();
    runner(16)
        .run(&any::<String>(), |name| {
            let (summary, _) = infected(&summary, &name);
            let text = render::summary::summary(&summary, render::summary::TOP, Style::plain());
            is_harmless(&text, &name);
            Ok(())
        })
        .expect("harmless");
}

#[test]
fn long_names_leave_a_row_readable() {
    for name in hostile() {
        let (summary, _) = infected(&summary(), &name);
        let text = render::summary::summary(&summary, 10, Style::plain());
        let rows: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("(pid 7"))
            .collect();
        assert_eq!(rows.len(), 3, "{text}");
        for row in rows {
            assert!(row.chars().count() < 500, "{row}");
            // The figures are where they were.
            assert_eq!(row.find('%'), Some(17), "{row}");
        }
    }
}

#[test]
fn advice_and_its_explanation_show_no_name_raw() {
    for name in hostile() {
        let mut load = burst(&name);
        load.setup = serde_json::from_value(json!({
            "pid": 7, "comm": name, "nice": -4, "conf_path": name, "conf": null, "plugins": [name],
            "state": null, "state_path": name, "state_age_ns": 5, "rmem_default_bytes": 212_992
        }))
        .expect("a set-up");
        let answer = recommend(&load, &Options::default());
        assert!(
            answer
                .advice
                .iter()
                .any(|advice| advice.action.contains("narrow the rules")),
            "{answer:#?}"
        );
        is_harmless(
            &render::recommendation::block(&answer, Style::plain()),
            "advice",
        );
        for step in explain(&load, &answer) {
            assert!(!step.contains('\u{1b}'), "{step:?}");
        }
    }
}

#[test]
fn a_comparison_shows_no_name_raw() {
    let (mut a, b) = (trace(&about(CALM, 3)), trace(&about(CALM, 9)));
    a.summary.kernel.release = "another".into();
    let mut comparison = compare(&a, &b);
    comparison.notes.push("a note".to_owned());
    for style in [Style::plain(), Style::colored()] {
        every_string_is_shown_escaped("comparison", &comparison, |comparison| {
            render::comparison::table(comparison, style)
        });
    }
}

#[test]
fn a_bench_report_shows_no_name_raw() {
    let report: auditwatch::bench::ground_truth::BenchReport = serde_json::from_value(json!({
        "kind": "bench", "schema": 1, "storm": "s", "limit": 64, "agrees": false, "trace": summary(),
        "truth": {"producers": [{"phase": "p", "name": "n", "kind": "syscall", "threads": 1, "events": 1, "failed": 1,
            "failure": "why", "slept": 0, "slept_ns": 0, "p50_ns": 1, "p99_ns": 1, "max_ns": 1}],
            "consumer": "sink", "received": null, "counts_eoe": true, "lost": 1, "waited_ns": 1},
        "checks": [{"what": "lost", "truth": 1, "traced": 1, "agrees": true}]
    }))
    .expect("a report");
    every_string_is_shown_escaped("bench", &report, |report| {
        render::bench::report(report, Style::colored())
    });
}

#[test]
fn reports_on_the_host_show_no_name_raw() {
    let mut status = StatusReport::new(Inputs {
        state_missing: Some("EPERM".to_owned()),
        release: Some("6.1.0".to_owned()),
        ..Inputs::default()
    });
    status.auditd =
        serde_json::from_value(json!({"pid": 7, "comm": "auditd", "exe": "/sbin/auditd"}))
            .expect("auditd");
    status.notes.push("a note".to_owned());
    every_string_is_shown_escaped("status", &status, render::status::text);

    let doctor: auditwatch::doctor::Diagnosis = serde_json::from_value(json!({
        "usable": true, "pollable": true, "verdict": "yes", "hooks": summary().hooks,
        "findings": [{"severity": "warning", "topic": "t", "text": "x", "remedy": "do"}]
    }))
    .expect("a diagnosis");
    every_string_is_shown_escaped("doctor", &doctor, render::doctor::text);

    let rescue: auditwatch::rescue::report::RescueReport = serde_json::from_value(json!({
        "kind": "rescue", "schema": 1, "verdict": "stranded", "sleepers": [{"pid": 1, "tid": 2, "comm": "x",
            "place": "audit_log_start", "syscall": 1, "sleeps": 1}],
        "stranded": 1, "explanation": ["one"], "asked_to_free": true,
        "steps": [{"at_ns": 1, "what": "a record", "sleepers_left": 0}], "freed": 1, "left": 0, "took_ns": 9
    }))
    .expect("a report");
    every_string_is_shown_escaped("rescue", &rescue, render::rescue::text);
}

fn plan() -> Value {
    json!({
        "purpose": "apply", "by": {"uid": 0, "loginuid": 1000, "sudo_user": "u", "pid": 7, "command": ["auditwatch", "x"]},
        "why": {"evidence": "told", "reasons": ["one"]},
        "target": {"backlog_limit": 8192, "backlog_wait_time": null, "runtime": true, "persist": true},
        "settings": [{"field": "backlog_limit", "old": 64, "new": 8192}],
        "files": [{"path": "/etc/audit/audit.rules", "before": {"text": "-b 64"}, "after": {"text": "-b 8192"}}],
        "pending_reboot": true
    })
}

#[test]
fn changes_show_no_name_raw() {
    let line = json!({"id": 1, "at_ms": 5, "state": "verified", "note": "a note", "plan": plan()});
    let journal = Journal::parse(format!("{line}\n").as_bytes()).expect("a journal");
    let change = &journal.changes[0];
    every_string_is_shown_escaped("history", change, |change| {
        render::change::history(&Journal {
            changes: vec![change.clone()],
            whole_bytes: 0,
        })
    });
    let report: auditwatch::change::report::ApplyReport = serde_json::from_value(json!({
        "kind": "apply", "schema": 1, "dry_run": false, "id": 1, "state": "verified", "target": plan()["target"],
        "why": plan()["why"], "root": "/mnt", "runtime": "set", "settings": plan()["settings"],
        "files": [{"path": "/etc/audit/audit.rules", "created": false, "diff": "-old\n+new\n"}],
        "at_boot_before": {"backlog_limit": 64, "backlog_wait_time": 1, "enabled": 2, "decided_by": "f:1", "stopped_at": "f:2"},
        "at_boot": null, "pending_reboot": true, "findings": [{"severity": "warning", "code": "c", "message": "m"}],
        "watch": null, "by_hand": ["grubby"], "undo": "auditwatch undo 1"
    }))
    .expect("a report");
    every_string_is_shown_escaped("apply", &report, render::change::apply);
    let undo: auditwatch::change::report::UndoReport = serde_json::from_value(json!({
        "kind": "undo", "schema": 1, "dry_run": false, "id": 1, "state": "reverted", "stays": ["s"],
        "parts": {"settings": [], "files": [{"path": "/etc/audit/audit.rules", "standing": "ours"}]}
    }))
    .expect("a report");
    every_string_is_shown_escaped("undo", &undo, render::change::undo);
}

#[test]
fn a_log_shows_no_name_raw() {
    for name in hostile() {
        // A line of a log has no line end in it.
        let name = name.replace('\n', " ");
        let mut reading = Reading::new(&name);
        for line in [
            format!("[    0.000000] Linux version 5.10{name} (x@y) #1"),
            "[   10.000000] audit: backlog limit exceeded".to_owned(),
            "[   10.000001] audit: audit_backlog=65 > audit_backlog_limit=64".to_owned(),
            "[   10.000002] audit: audit_lost=7 audit_rate_limit=0 audit_backlog_limit=64"
                .to_owned(),
            format!("[  130.000000] INFO: task {name}:188 blocked for more than 120 seconds."),
            "[  130.000001] Call Trace:".to_owned(),
            "[  130.000002]  audit_log_start+0x1/0x2".to_owned(),
            format!("[  140.000000] Kernel panic - not syncing: audit: {name}"),
        ] {
            reading.push(line.as_bytes());
            reading.push(b"\n");
        }
        let found = diagnose(vec![reading.end()], vec![name.clone()], &Origin::default());
        assert!(!found.sources[0].boots.is_empty(), "{found:#?}");
        for style in [Style::plain(), Style::colored()] {
            is_harmless(&render::diagnosis::report(&found, style), "diagnosis");
        }
        json_has("diagnosis", &found, &name, 1);
    }
}

fn run(words: &[&OsStr]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_auditwatch"))
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

/// Both outputs of a command are harmless; what it says of it.
fn both_are_harmless(words: &[&OsStr]) -> String {
    let output = run(words);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    let of = format!("{words:?}");
    assert!(!errors.contains("panicked"), "{of}: {errors}");
    assert!(!(out.is_empty() && errors.is_empty()), "{of} says nothing");
    is_harmless(&out, &of);
    is_harmless(&errors, &of);
    out + &errors
}

/// A disk whose files have such names and contents.
fn disk(at: &Path, name: &str) {
    let file_name = OsStr::new(name).to_owned();
    let rules = at.join("etc/audit/rules.d");
    let log = at.join("var/log");
    fs::create_dir_all(&rules).expect("directories");
    fs::create_dir_all(log.join("journal/0123")).expect("directories");
    fs::create_dir_all(at.join("boot")).expect("directories");
    let mut file = file_name.clone();
    file.push(".rules");
    let lines = format!("-D\n-b 64\n# {name}\n-w /etc/{name} -p wa -k {name}\n-b {name}\n");
    fs::write(rules.join(file.to_string_lossy().replace('/', "_")), &lines).expect("rules");
    fs::write(at.join("etc/audit/audit.rules"), &lines).expect("rules");
    let mut file = OsStr::from_bytes(b"messages-").to_owned();
    file.push(&file_name);
    let lines = format!(
        "Jan  1 00:00:00 host kernel: audit: audit_lost=7 audit_rate_limit=0 audit_backlog_limit=64 {name}\n"
    );
    fs::write(log.join(file.to_string_lossy().replace('/', "_")), lines).expect("a log");
    fs::write(log.join("messages"), "kernel: audit: audit_lost=7\n").expect("a log");
}

#[test]
fn disks_and_command_lines_show_no_name_raw() {
    for name in hostile().iter().filter(|name| name.len() < 200) {
        let place = tempfile::tempdir().expect("a directory");
        let root = place.path().join(name.replace('/', "_"));
        disk(&root, name);
        let root = root.as_os_str();
        let word = |word: &'static str| OsStr::new(word);
        let name = OsStr::new(name.as_str());
        for words in [
            vec![word("status"), word("--files"), word("--root"), root],
            vec![
                word("apply"),
                word("8192"),
                word("--dry-run"),
                word("--root"),
                root,
            ],
            vec![word("history"), word("--root"), root],
            vec![word("undo"), word("--dry-run"), word("--root"), root],
            vec![word("diagnose"), word("--root"), root],
            vec![word("diagnose"), root],
            vec![word("replay"), name],
            vec![word("replay"), name, name],
            vec![word("recommend"), name],
            vec![word("compare"), name, name],
            vec![word("bench"), word("run"), name],
            vec![name],
        ] {
            both_are_harmless(&words);
        }
        let told = both_are_harmless(&[word("diagnose"), word("--root"), root]);
        assert!(
            told.contains("journalctl --directory $'") || !told.contains("journalctl"),
            "{told}"
        );
    }
}

#[test]
fn recordings_show_no_name_raw() {
    for name in hostile() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("trace.jsonl");
        let escaped = serde_json::to_string(&name).expect("text");
        let escaped = escaped.trim_matches('"');
        let storm = Second {
            lost: 20,
            stalls: 4,
            ..CALM
        };
        let hooks = json!([{"role": "changes", "name": name, "form": name, "verdict": "degraded", "reason": name,
            "caveat": null}]);
        let hooks = format!("\"hooks\":{hooks}");
        let mut text = String::new();
        for line in lines(&about(storm, 3)) {
            let line = String::from_utf8(line).expect("text");
            text += &line
                .replace("\"auditctl\"", &format!("\"{escaped}\""))
                .replace("\"backlog_limit\"", &format!("\"{escaped}\""))
                .replace("\"6.1.0\"", &format!("\"{escaped}\""))
                .replace("\"notes\":[]", &format!("\"notes\":[\"{escaped}\"]"))
                .replace("\"new\":64", "\"new\":65")
                .replace("\"hooks\":[]", &hooks);
            text.push('\n');
        }
        fs::write(&path, text).expect("a recording");
        let word = |word: &'static str| OsStr::new(word);
        for words in [
            vec![word("replay"), path.as_os_str()],
            vec![word("replay"), word("--json"), path.as_os_str()],
            vec![word("recommend"), word("--explain"), path.as_os_str()],
            vec![word("compare"), path.as_os_str(), path.as_os_str()],
        ] {
            let told = both_are_harmless(&words);
            assert!(!told.contains("is no recording"), "{told}");
        }
        let shows = both_are_harmless(&[word("replay"), path.as_os_str()]);
        assert!(shows.contains("changed"), "{shows}");
    }
}
