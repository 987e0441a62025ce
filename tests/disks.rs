//! The command line on the disk of another host: rules files, and the journal, that somebody else may have written.

#[path = "fixtures/program.rs"]
mod program;

use std::{path::Path, process::Command};

use program::{decent, disk, refused, run, text};
use serde_json::Value;

#[test]
fn deciding_line_and_the_stop_of_the_load_are_named() {
    let disk = disk(&[
        ("etc/audit/rules.d/99-late.rules", "-b 32768\n"),
        ("etc/audit/rules.d/audit.rules", "-D\n-b 8192\n-f 1\n"),
        (
            "etc/audit/rules.d/zz.rules",
            "-a always,exit -S opne -k typo\n--backlog_wait_time 0\n-e 2\n",
        ),
    ]);
    let root = disk.path().to_str().expect("text");
    for awk in ["mawk", "gawk"] {
        let output = run(&["status", "--files", "--json", "--root", root, "--awk", awk]);
        // The load stops, and `-e 2` is lost.
        assert_eq!(decent(&output), 3, "{}", text(&output.stderr));
        let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let boot = &said["at_boot"];
        assert_eq!(boot["backlog_limit"], 8192);
        assert_ne!(boot["enabled"], 2);
        assert_eq!(boot["decided_by"]["file"], "/etc/audit/rules.d/audit.rules");
        assert_eq!(boot["decided_by"]["line"], 2);
        assert_eq!(boot["stopped_at"]["file"], "/etc/audit/rules.d/zz.rules");
        assert_eq!(boot["stopped_at"]["line"], 1);
        assert!(
            boot["stopped_at"]["why"]
                .as_str()
                .is_some_and(|why| why.contains("opne")),
            "{boot}"
        );
        assert_eq!(boot["lost"].as_array().map(Vec::len), Some(2));
        assert!(said["now"].is_null());
        assert!(said["cmdline"].is_null());
        assert_eq!(said["files"].as_array().map(Vec::len), Some(2));
        assert!(!said["disagreements"].as_array().expect("a list").is_empty());
    }
    let output = run(&["status", "--files", "--root", root]);
    let table = text(&output.stdout);
    assert!(table.contains("zz.rules:1"), "{table}");
    assert!(table.contains("<- decides"), "{table}");
}

#[test]
fn files_of_a_disk_are_read_within_it() {
    let disk = disk(&[
        ("etc/audit/rules.d/a.rules", "-b 77\n"),
        ("usr/bin/mawk", ""),
        ("usr/sbin/auditd", ""),
        (
            "etc/default/grub",
            "GRUB_CMDLINE_LINUX=\"audit=1 audit_backlog_limit=512\"\n",
        ),
    ]);
    std::os::unix::fs::symlink("/etc/alternatives/awk", disk.path().join("usr/bin/awk"))
        .expect("a link");
    std::fs::create_dir_all(disk.path().join("etc/alternatives")).expect("a directory");
    std::os::unix::fs::symlink("/usr/bin/mawk", disk.path().join("etc/alternatives/awk"))
        .expect("a link");
    let root = disk.path().to_str().expect("text");
    let output = run(&["status", "--files", "--json", "--root", root]);
    assert_eq!(decent(&output), 0, "{}", text(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(said["at_boot"]["backlog_limit"], 77);
    assert_eq!(said["awk"]["name"], "mawk");
    assert_eq!(said["cmdline"]["backlog_limit"], 512);
    assert_eq!(said["cmdline"]["from"], "/etc/default/grub");
    let off = "GRUB_CMDLINE_LINUX=\"audit=0\"\n";
    std::fs::write(disk.path().join("etc/default/grub"), off).expect("a file");
    let output = run(&["status", "--files", "--root", root]);
    assert_eq!(decent(&output), 3, "{}", text(&output.stderr));
    let table = text(&output.stdout);
    let said = "at boot         no auditing (audit=0 on the command line)\n";
    assert!(table.contains(said), "{table}");
}

#[test]
fn a_root_and_an_awk_belong_to_files() {
    for arguments in [
        &["status", "--root", "/"][..],
        &["status", "--awk", "mawk"],
        &["status", "--files", "--awk", "nawk"],
    ] {
        assert_eq!(decent(&run(arguments)), 2, "{arguments:?}");
    }
    let error = refused(&run(&["status", "--files", "--root", "/no/such/disk"]));
    assert!(error.contains("/no/such/disk"), "{error}");
}

/// A file of so many bytes, of which the disk holds none.
fn sparse(path: &Path, bytes: u64) {
    std::fs::File::create(path)
        .and_then(|file| file.set_len(bytes))
        .expect("a file");
}

#[test]
fn rules_files_of_a_disk_that_are_too_many_or_too_large_are_named_and_not_read() {
    let says = |prepare: &dyn Fn(&Path)| {
        let disk = disk(&[("etc/audit/rules.d/a.rules", "-b 77\n")]);
        prepare(&disk.path().join("etc/audit/rules.d"));
        let root = disk.path().to_str().expect("text");
        // 60 of 64 MiB took 6 GB.
        let output = Command::new("sh")
            .arg("-c")
            .arg("ulimit -v 200000 && exec \"$0\" \"$@\"")
            .arg(env!("CARGO_BIN_EXE_auditwatch"))
            .args(["status", "--files", "--root", root])
            .output()
            .expect("the program starts");
        refused(&output)
    };
    let error = says(&|rules| {
        for number in 0..60 {
            sparse(&rules.join(format!("{number}.rules")), 64 << 20);
        }
    });
    assert!(error.contains("more than 16 MiB together"), "{error}");
    let error = says(&|rules| {
        let lines = "#\n".repeat(100_000);
        for number in 0..3 {
            std::fs::write(rules.join(format!("{number}.rules")), &lines).expect("a file");
        }
    });
    assert!(error.contains("more than 262144 lines together"), "{error}");
    let error = says(&|rules| {
        for number in 0..16_384 {
            sparse(&rules.join(number.to_string()), 0);
        }
    });
    assert!(error.contains("more than 16384 names"), "{error}");
}

#[test]
fn a_disks_journal_names_no_file_but_rules() {
    let disk = disk(&[("etc/audit/rules.d/a.rules", "-b 77\n"), ("var/lib/x", "")]);
    let at = |path: &str| disk.path().join(path.trim_start_matches('/'));
    let root = disk.path().to_str().expect("text");
    let output = run(&["apply", "8192", "--yes", "--json", "--root", root]);
    assert_eq!(decent(&output), 0, "{}", text(&output.stderr));
    let journal = at("var/lib/auditwatch/journal.jsonl");
    let lines = std::fs::read_to_string(&journal).expect("a journal");
    let begin: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    let path = begin
        .pointer("/plan/files/0/path")
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no path in {begin}"));
    // What it would find as it was left, and take back.
    std::fs::copy(at(path), at("/etc/shadow")).expect("a file");
    let shadow = std::fs::read(at("/etc/shadow")).expect("a file");
    std::fs::write(&journal, lines.replace(path, "/etc/shadow")).expect("a journal");
    let error = refused(&run(&["undo", "--root", root]));
    assert!(error.contains("the journal names /etc/shadow"), "{error}");
    assert_eq!(std::fs::read(at("/etc/shadow")).expect("a file"), shadow);
    std::fs::write(&journal, &lines).expect("a journal");
    let output = run(&["undo", "--root", root]);
    assert_eq!(decent(&output), 0, "{}", text(&output.stderr));
}
