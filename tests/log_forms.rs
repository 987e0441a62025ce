//! One log in the forms that people have it in: each gives the same account.

use std::{
    env, fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use auditwatch::{
    diagnosis::{Origin, Reading, Verdict, diagnose},
    render::{diagnosis::report, style::Style},
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::Index,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::Value;

use self::{
    log_stores::{containers, stores},
    log_texts::texts,
};

#[path = "fixtures/log_stores.rs"]
mod log_stores;
#[path = "fixtures/log_texts.rs"]
mod log_texts;

fn run(args: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_auditwatch"))
        .arg("diagnose")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut stdin = child.stdin.take().expect("its input");
    // It may end without reading it.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().expect("its output");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// What is the same in all forms.
fn account(log: &[u8]) -> String {
    let (code, out, errors) = run(&["--json"], log);
    let found: Value = serde_json::from_str(&out).unwrap_or_default();
    let boots = found["sources"][0]["boots"].as_array().map_or(0, Vec::len);
    format!(
        "exit {code:?}, {} lost, limit {}, {boots} boot, causes {}, advice {} {errors}",
        found["lost_at_least"],
        found["limit_at_end"],
        found["causes"],
        found["advice"][0]["commands"]
    )
}

#[test]
fn each_form_of_a_log_gives_one_account() {
    let forms: Vec<(&str, Vec<u8>)> = [texts(), stores(), containers()].concat();
    let right = "exit Some(3), 70 lost, limit 320, 1 boot, causes [\"overflow\"], advice \
                 [\"auditwatch apply 8192\"] ";
    let wrong: Vec<String> = forms
        .iter()
        .map(|(name, log)| (name, account(log)))
        .filter(|(_, account)| account != right)
        .map(|(name, account)| format!("{name}: {account}"))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        forms.len(),
        wrong.join("\n")
    );
    assert!(forms.len() >= 80, "{} forms", forms.len());
}

#[test]
fn forms_with_a_clock_have_two_incidents() {
    for (name, log) in [texts(), stores(), containers()].concat() {
        if name.starts_with("bare") {
            continue;
        }
        let (_, out, _) = run(&["--json"], &log);
        let found: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(found["sources"][0]["boots"][0]["incidents"], 2, "{name}");
    }
}

/// Bytes of any form that are changed, cut, doubled or joined with another form.
#[test]
fn damaged_forms_do_not_panic() {
    let forms: Vec<Vec<u8>> = [texts(), stores()]
        .concat()
        .into_iter()
        .map(|(_, log)| log)
        .collect();
    let change = (any::<Index>(), any::<Index>(), any::<u8>(), 0..5_u8);
    let cases = env::var("AUDITWATCH_CASES").map_or(500, |cases| cases.parse().expect("a number"));
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
        .run(&(any::<Index>(), vec(change, 1..8)), |(form, changes)| {
            let mut log = form.get(&forms).clone();
            for (at, other, byte, kind) in changes {
                if log.is_empty() {
                    break;
                }
                let at = at.index(log.len());
                match kind {
                    0 => log[at] = byte,
                    1 => log.truncate(at),
                    2 => drop(log.drain(at..(at + usize::from(byte)).min(log.len()))),
                    3 => log.insert(at, byte),
                    _ => {
                        let other = other.get(&forms);
                        let piece = &other[other.len() / 3..other.len() / 2];
                        log.splice(at..at, piece.iter().copied());
                    }
                }
            }
            let mut as_text = Reading::new("text");
            as_text.push(&log);
            let mut as_document = Reading::new("document");
            // Damaged documents have the messages before the damage.
            let _ = as_document.document(log.as_slice());
            for reading in [as_text, as_document] {
                let found = diagnose(vec![reading.end()], Vec::new(), &Origin::default());
                prop_assert!(found.advice.is_empty() || found.verdict != Verdict::NothingFound);
                prop_assert!(!report(&found, Style::plain().with_width(80)).is_empty());
            }
            Ok(())
        })
        .expect("no harm");
}

#[test]
fn a_log_that_cannot_be_read_is_an_error_with_its_command() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut tar = vec![0; 512];
    tar[..8].copy_from_slice(b"messages");
    tar[257..262].copy_from_slice(b"ustar");
    let cases: [(&str, &[u8], &str); 12] = [
        ("xz", b"\xfd7zXZ\0\0\x04rest", "xz -dc"),
        ("bzip2", b"BZh91AY&SYrest", "bzip2 -dc"),
        ("zip", b"PK\x03\x04\x14\0rest", "unzip -p"),
        ("lz4", b"\x04\x22\x4d\x18\x64rest", "lz4 -dc"),
        (
            "journal",
            b"LPKSHHRH\0\0\0\0rest",
            "journalctl -o export --file",
        ),
        ("crash", b"KDUMP   \x06\0\0\0rest", "vmcore-dmesg"),
        ("tar", &tar, "tar -xOf"),
        ("empty", b"", "empty"),
        ("zeros", &[0; 4096], "binary"),
        (
            "binary",
            b"\x01\x02\x03\x04\x80\x81\x82\x05\x06\x07\x0e\x0f\x10\x11\x12\x13",
            "binary",
        ),
        ("cut.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03", ""),
        (
            "cut.json",
            b"[{\"MESSAGE\": \"all is well\"},\n",
            "too early",
        ),
    ];
    for (name, log, words) in cases {
        let path = directory.path().join(name);
        fs::write(&path, log).expect("a log");
        for args in [&[path.to_str().expect("a name")][..], &["-"], &[]] {
            let (code, out, errors) = run(args, log);
            assert_eq!(
                (code, out.as_str()),
                (Some(1), ""),
                "{name} {args:?}: {errors}"
            );
            assert!(errors.contains(words), "{name}: {errors}");
        }
    }
}

#[test]
fn several_files_are_read_and_rotated_ones_follow_each_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| {
        directory
            .path()
            .join(name)
            .to_str()
            .expect("a name")
            .to_owned()
    };
    let loss = |day: u32, host: &str, lost: u32| {
        format!(
            "Mar  {day} 05:00:00 {host} kernel: audit: audit_lost={lost} audit_rate_limit=0 audit_backlog_limit=320\n"
        )
    };
    fs::write(path("messages"), loss(3, "web1", 900)).expect("a log");
    fs::write(path("messages.1"), loss(2, "web1", 800)).expect("a log");
    fs::write(path("other.log"), loss(2, "web2", 50)).expect("a log");
    let files = [path("messages"), path("messages.1"), path("other.log")];
    let args: Vec<&str> = std::iter::once("--json")
        .chain(files.iter().map(String::as_str))
        .collect();
    let (code, out, errors) = run(&args, b"");
    assert_eq!(code, Some(3), "{errors}");
    let found: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(found["sources"].as_array().map(Vec::len), Some(2));
    assert_eq!(found["lost_at_least"], 950);
    assert_eq!(
        found["sources"][0]["boots"][0]["counter"]["resets"], 0,
        "{out}"
    );
}

#[test]
fn a_disk_has_more_than_var_log() {
    let disk = tempfile::tempdir().expect("a directory");
    let loss = "[  100.1] audit: audit_lost=7 audit_rate_limit=0 audit_backlog_limit=320\n";
    for place in [
        "var/crash/127.0.0.1-2024-03-01/vmcore-dmesg.txt",
        "sos_commands/kernel/dmesg",
        "sos_commands/logs/journalctl_--no-pager_--boot",
        "var/lib/systemd/pstore/dmesg-efi-1",
        "var/lib/systemd/pstore/170927/001/dmesg.txt",
    ] {
        let path = disk.path().join(place);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("directories");
        fs::write(&path, loss).expect("a log");
        let root = disk.path().to_str().expect("a name");
        let (code, out, errors) = run(&["--root", root], b"");
        assert_eq!(code, Some(3), "{place}: {errors}");
        assert!(
            out.contains(&format!("auditwatch apply 8192 --root {root}")),
            "{out}"
        );
        fs::remove_file(&path).expect("removed");
    }
}
