//! Which load a disk's host runs, by its units and init scripts: what `status --files` and `apply` say of it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

const RULES: [(&str, &str); 3] = [
    ("etc/audit/rules.d/audit.rules", "-D\n-b 8192\n"),
    ("etc/audit/audit.rules", "-D\n-b 320\n"),
    ("usr/sbin/auditd", ""),
];
const UNIT: &str = "[Service]\nExecStart=/sbin/auditd\nExecStartPost=-/sbin/augenrules --load\n";
const VENDOR: &str = "usr/lib/systemd/system/auditd.service";

fn disk(files: &[(&str, &str)], links: &[(&str, &str)]) -> TempDir {
    let disk = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(disk.path().join("usr/bin")).expect("a directory");
    let make = |path: &str| {
        let path = disk.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("directories");
        path
    };
    for (path, text) in RULES.iter().chain(files) {
        fs::write(make(path), text).expect("a file");
    }
    for (path, to) in links {
        symlink(to, make(path)).expect("a link");
    }
    disk
}

fn run(words: &[&str], disk: &TempDir) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_auditwatch"))
        .args(words)
        .arg("--root")
        .arg(disk.path())
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The limit of the next boot, and the kind of the load.
fn status(disk: &TempDir) -> (Option<i32>, u64, String) {
    let (code, out, err) = run(&["status", "--files", "--json"], disk);
    let found: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    let limit = found["at_boot"]["backlog_limit"]
        .as_u64()
        .expect("a number");
    (
        code,
        limit,
        found["loader"]["kind"].as_str().expect("a kind").to_owned(),
    )
}

#[test]
fn the_load_is_the_one_that_the_unit_runs() {
    let usual = disk(&[(VENDOR, UNIT)], &[]);
    assert_eq!(status(&usual), (Some(0), 8192, "usual".to_owned()));
    let own =
        "[Service]\nExecStartPost=\nExecStartPost=-/sbin/auditctl -R /etc/audit/audit.rules\n";
    let drop_in = "etc/systemd/system/auditd.service.d/override.conf";
    let dropped = disk(&[(VENDOR, UNIT), (drop_in, own)], &[]);
    assert_eq!(status(&dropped), (Some(0), 320, "auditctl".to_owned()));
    let (code, _, err) = run(&["apply", "9000", "--yes"], &dropped);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(status(&dropped).1, 9000);
    let edited = fs::read_to_string(dropped.path().join("etc/audit/audit.rules")).expect("text");
    assert!(edited.contains("-b 9000"), "{edited}");
    let replaced = "[Service]\nExecStart=/sbin/auditd\nExecStartPost=-/sbin/auditctl -R /etc/audit/audit.rules\n";
    let replaced = disk(
        &[
            (VENDOR, UNIT),
            ("etc/systemd/system/auditd.service", replaced),
        ],
        &[],
    );
    assert_eq!(status(&replaced).1, 320);
}

#[test]
fn init_scripts_follow_their_settings() {
    let script = "case $USE_AUGENRULES in no) auditctl -R /etc/audit/audit.rules;; *) augenrules --load;; esac\n";
    for (settings, text, limit) in [
        ("etc/default/auditd", "USE_AUGENRULES=\"no\"\n", 320),
        ("etc/sysconfig/auditd", "USE_AUGENRULES=\"no\"\n", 320),
        ("etc/default/auditd", "USE_AUGENRULES=\"yes\"\n", 8192),
        (
            "etc/conf.d/auditd",
            "RULEFILE_STARTUP=/etc/audit/audit.rules\n",
            320,
        ),
    ] {
        let disk = disk(&[("etc/init.d/auditd", script), (settings, text)], &[]);
        assert_eq!(status(&disk).1, limit, "{settings} {text}");
    }
}

#[test]
fn a_load_that_does_not_happen_or_is_not_known_is_refused() {
    let masked = disk(&[], &[("etc/systemd/system/auditd.service", "/dev/null")]);
    let late = "[Service]\nExecStartPost=-/sbin/auditctl -R /opt/late.rules\n";
    let twice = disk(
        &[
            (VENDOR, UNIT),
            ("etc/systemd/system/auditd.service.d/x.conf", late),
        ],
        &[],
    );
    let disabled = disk(
        &[
            (VENDOR, UNIT),
            ("etc/systemd/system/multi-user.target.wants/x.service", ""),
        ],
        &[],
    );
    let off = disk(
        &[
            (VENDOR, UNIT),
            (
                "boot/grub/grub.cfg",
                "linux /vmlinuz root=/dev/sda1 audit=0\n",
            ),
        ],
        &[],
    );
    let procd = "#!/bin/sh /etc/rc.common\nauditctl -R /etc/audit/rules.d/audit.rules\n";
    let procd = disk(&[("etc/init.d/auditd", procd)], &[]);
    let removed = disk(&[(VENDOR, UNIT)], &[]);
    fs::remove_file(removed.path().join("usr/sbin/auditd")).expect("it is there");
    for (disk, kind, words) in [
        (&masked, "nothing", "masked"),
        (&twice, "not_known", "/opt/late.rules"),
        (&disabled, "nothing", "not enabled"),
        (&off, "nothing", "audit=0"),
        (&procd, "not_known", "rules.d/audit.rules"),
        (&removed, "nothing", "not installed"),
    ] {
        let (code, _, found) = status(disk);
        assert_eq!((code, &*found), (Some(3), kind), "{words}");
        let (_, text, _) = run(&["status", "--files"], disk);
        assert!(text.contains(words), "{text}");
        let before = fs::read(disk.path().join("etc/audit/rules.d/audit.rules")).expect("rules");
        let (code, _, err) = run(&["apply", "9000", "--yes"], disk);
        assert_eq!(code, Some(1), "{words}");
        assert!(err.contains(words) && err.lines().count() == 1, "{err}");
        let after = fs::read(disk.path().join("etc/audit/rules.d/audit.rules")).expect("rules");
        assert_eq!(before, after);
        assert!(
            !disk
                .path()
                .join("etc/audit/rules.d/zz-auditwatch.rules")
                .exists()
        );
    }
}

#[test]
fn units_in_two_parts_are_put_together() {
    let auditd = "[Unit]\nWants=audit-rules.service\n[Service]\nExecStart=/usr/sbin/auditd\n";
    let rules = "[Service]\nType=oneshot\nExecStart=/usr/sbin/augenrules --load\n";
    let split = [
        (VENDOR, auditd),
        ("usr/lib/systemd/system/audit-rules.service", rules),
    ];
    assert_eq!(status(&disk(&split, &[])).1, 8192);
    let masked = disk(
        &split,
        &[("etc/systemd/system/audit-rules.service", "/dev/null")],
    );
    assert_eq!(status(&masked).2, "nothing");
}

/// The limit of the kernel's command line, and the file that has it.
fn command_line(files: &[(&str, &str)]) -> (Option<u64>, String) {
    let (_, out, err) = run(&["status", "--files", "--json"], &disk(files, &[]));
    let found: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    let from = found["cmdline"]["from"].as_str().unwrap_or_default();
    (found["cmdline"]["backlog_limit"].as_u64(), from.to_owned())
}

#[test]
fn the_kernels_command_line_is_the_one_that_the_boot_loader_gives() {
    let old = (
        "boot/loader/entries/a-5.14.0-70.conf",
        "title x\noptions root=/dev/sda1\n",
    );
    let new = (
        "boot/loader/entries/a-5.14.0-362.conf",
        "title x\noptions root=/dev/sda1 $kernelopts $tuned_params\n",
    );
    let block = (
        "boot/grub2/grubenv",
        "# GRUB\nkernelopts=ro audit_backlog_limit=8192 \n####",
    );
    let (limit, from) = command_line(&[old, new, block]);
    assert_eq!(limit, Some(8192), "the newest kernel's: {from}");
    let saved = (
        "boot/grub2/grubenv",
        "saved_entry=a-5.14.0-70\nkernelopts=audit_backlog_limit=8192\n",
    );
    assert_eq!(command_line(&[old, new, saved]).0, None);
    let main = (
        "etc/default/grub",
        "GRUB_CMDLINE_LINUX=\"quiet\"\nGRUB_CMDLINE_LINUX_RECOVERY=\"audit_backlog_limit=64\"\n",
    );
    let more = (
        "etc/default/grub.d/99-hardening-audit.cfg",
        "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX audit_backlog_limit=8192\"\n",
    );
    assert_eq!(command_line(&[main]).0, None);
    let (limit, from) = command_line(&[main, more]);
    assert_eq!(
        (limit, from.ends_with("99-hardening-audit.cfg")),
        (Some(8192), true)
    );
    for file in [
        (
            "boot/efi/EFI/debian/grub.cfg",
            "linux /vmlinuz audit_backlog_limit=8192\n",
        ),
        (
            "boot/extlinux/extlinux.conf",
            "LABEL l\n  append root=/dev/sda audit_backlog_limit=8192\n",
        ),
        (
            "etc/kernel/cmdline",
            "root=/dev/sda audit_backlog_limit=8192\n",
        ),
    ] {
        assert_eq!(command_line(&[file]).0, Some(8192), "{}", file.0);
    }
}

#[test]
fn commands_for_a_disk_act_on_the_disk() {
    let managed = "## This file is managed by Ansible, YOUR CHANGES WILL BE LOST!\n  -b 4096\n";
    let disk = disk(
        &[
            ("etc/audit/rules.d/99_auditd.rules", managed),
            ("etc/default/grub", "GRUB_CMDLINE_LINUX=\"\"\n"),
            ("etc/os-release", "ID=debian\n"),
        ],
        &[],
    );
    let (code, out, err) = run(&["apply", "9000", "--dry-run"], &disk);
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.contains(&format!("chroot {} sh -c ", disk.path().display())),
        "{out}"
    );
    let bare = disk_without_boot_loader();
    let (_, out, _) = run(&["apply", "9000", "--dry-run"], &bare);
    assert!(out.contains("not known"), "{out}");
}

fn disk_without_boot_loader() -> TempDir {
    disk(&[], &[])
}

#[test]
fn a_newer_augenrules_reads_lines_that_end_as_on_windows() {
    let rules =
        "-D\r\n-b 4096\r\n--backlog_wait_time 500\r\n-w /etc/passwd -p wa -k id\r\n-e 2\r\n";
    let new = ("usr/sbin/augenrules", "awk '{ sub(/\\r$/, \"\") } 1'\n");
    let found = |files: &[(&str, &str)]| {
        let disk = disk(files, &[]);
        fs::write(disk.path().join("etc/audit/rules.d/audit.rules"), rules).expect("rules");
        let (_, out, _) = run(&["status", "--files", "--json", "--awk", "gawk"], &disk);
        let found: Value = serde_json::from_str(&out).expect("JSON");
        let boot = &found["at_boot"];
        (
            boot["backlog_limit"].as_u64(),
            boot["enabled"].as_u64(),
            boot["stopped_at"].is_null(),
        )
    };
    assert_eq!(found(&[new]), (Some(4096), Some(2), true));
    assert_ne!(found(&[]), (Some(4096), Some(2), true));
}

#[test]
fn a_unit_of_another_name_may_load_the_rules() {
    let auditd = "[Unit]\nWants=augenrules.service\n[Service]\nExecStart=/sbin/auditd\n";
    let rules = "[Service]\nType=oneshot\nExecStart=/sbin/augenrules --load\n";
    let suse = [
        (VENDOR, auditd),
        ("usr/lib/systemd/system/augenrules.service", rules),
    ];
    assert_eq!(
        status(&disk(&suse, &[])),
        (Some(0), 8192, "usual".to_owned())
    );
    assert_eq!(status(&disk(&[(VENDOR, auditd)], &[])).2, "not_known");
}
