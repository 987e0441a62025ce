//! Boots of small trees, one for each class of what a load may come to.

use super::{
    AuditRules, Awk, Boot, Entry, Era, Host, Leads, Lookup, Machine, Settings, Tree, boot,
    is_rules_file, placement,
};

const HZ: u32 = 250;

/// A host with /etc and a file in it.
struct Small;

impl Lookup for Small {
    fn path(&self, path: &[u8]) -> Leads {
        match path {
            b"/" | b"/etc" | b"/etc/" => Leads::Directory,
            b"/etc/passwd" => Leads::File,
            _ => Leads::Nowhere,
        }
    }

    fn user(&self, name: &[u8]) -> Option<u32> {
        (name == b"root").then_some(0)
    }

    fn group(&self, name: &[u8]) -> Option<u32> {
        (name == b"root").then_some(0)
    }

    fn is_label(&self, _: &[u8]) -> bool {
        true
    }
}

fn host(awk: Awk) -> Host<'static> {
    Host {
        awk,
        era: Era::default(),
        utf8: true,
        hz: HZ,
        before: Settings::of_kernel(HZ),
        machine: Machine::X86_64,
        lookup: &Small,
    }
}

/// 80,000 rules took 78 s with a search among those that are there for each.
#[test]
fn the_time_of_a_load_goes_with_its_rules() {
    use std::fmt::Write as _;

    let mut text = String::new();
    for number in 0..80_000 {
        writeln!(text, "-a always,exit -S all -F pid={number} -k k").expect("written");
    }
    for number in (0..80_000).rev() {
        writeln!(text, "-d always,exit -S all -F pid={number} -k k").expect("written");
    }
    text.push_str("-a always,exit -S all -F pid=7\n-A always,exit -S all -F pid=7\n");
    let began = std::time::Instant::now();
    let boot = boot(&hand_kept(&text), &host(Awk::Mawk));
    assert_eq!((boot.stopped_at, boot.rules), (None, 2));
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
}

#[test]
fn rules_files_are_distinguished_from_other_files() {
    for path in [
        "/etc/audit/audit.rules",
        "/etc/audit/rules.d/a.rules",
        "/etc/audit/rules.d/99-auditwatch.rules",
    ] {
        assert!(is_rules_file(path.as_ref()), "{path}");
    }
    for path in [
        "/etc/shadow",
        "/etc/audit/auditd.conf",
        "/etc/audit/rules.d",
        "/etc/audit/rules.d/a.conf",
        "/etc/audit/rules.d/../../cron.d/a.rules",
        "/etc/audit/rules.d/below/a.rules",
        "etc/audit/audit.rules",
        "/etc/audit/../audit/audit.rules",
        "",
    ] {
        assert!(!is_rules_file(path.as_ref()), "{path}");
    }
}

/// Files of rules.d.
pub(crate) fn compiled(files: &[(&str, &str)]) -> Tree {
    Tree {
        rules_d: Some(
            files
                .iter()
                .map(|(name, content)| Entry {
                    name: name.as_bytes().to_vec(),
                    content: Some(content.as_bytes().to_vec()),
                })
                .collect(),
        ),
        audit_rules: AuditRules::Missing,
    }
}

/// An audit.rules that is kept by hand.
pub(crate) fn hand_kept(content: &str) -> Tree {
    Tree {
        rules_d: None,
        audit_rules: AuditRules::File {
            content: content.as_bytes().to_vec(),
            mode: 0o640,
            owner: 0,
        },
    }
}

/// The limit, and the line that decides it.
fn limit(tree: &Tree, awk: Awk) -> (u32, Option<(String, u32)>) {
    let boot = boot(tree, &host(awk));
    let place = boot.decided_by.map(|place| {
        let name = place.file.rsplit('/').next().unwrap_or_default().to_owned();
        (name, place.line)
    });
    (boot.settings.backlog_limit, place)
}

fn at(file: &str, line: u32) -> (String, u32) {
    (file.to_owned(), line)
}

fn stop(boot: &Boot) -> Option<u32> {
    boot.stopped_at.as_ref().map(|stop| stop.place.line)
}

#[test]
fn the_last_file_by_version_decides() {
    let tree = compiled(&[
        ("99-auditwatch.rules", "-b 1\n"),
        ("audit.rules", "-D\n-b 2\n"),
    ]);
    assert_eq!(limit(&tree, Awk::Mawk), (2, Some(at("audit.rules", 2))));
    let tree = compiled(&[
        ("zz-auditwatch.rules", "\n-b 1\n"),
        ("audit.rules", "-b 2\n"),
    ]);
    assert_eq!(
        limit(&tree, Awk::Gawk),
        (1, Some(at("zz-auditwatch.rules", 2)))
    );
}

#[test]
fn a_file_without_a_line_break_swallows_the_next() {
    let tree = compiled(&[("1.rules", "-b 1"), ("2.rules", "-b 2\n")]);
    let boot = boot(&tree, &host(Awk::Gawk));
    // strtoul passes over the tail of "1-b", and the 2 belongs to no option.
    assert_eq!(boot.settings.backlog_limit, 1);
    assert_eq!(stop(&boot), Some(1));
    assert!(
        boot.remarks
            .iter()
            .any(|remark| remark.text.contains("2.rules"))
    );
}

#[test]
fn an_indented_line_is_moved_by_gawk_only() {
    let tree = compiled(&[("1.rules", "  -b 1\n"), ("2.rules", "-b 2\n")]);
    assert_eq!(limit(&tree, Awk::Mawk), (1, Some(at("1.rules", 1))));
    assert_eq!(limit(&tree, Awk::Gawk), (2, Some(at("2.rules", 1))));
}

#[test]
fn a_stop_loses_the_lock_and_what_comes_later() {
    let tree = compiled(&[(
        "1.rules",
        "-e 2\n-b 5\n-w relative\n--backlog_wait_time 7\n",
    )]);
    let boot = boot(&tree, &host(Awk::Mawk));
    assert_eq!(boot.settings.backlog_limit, 5);
    assert_eq!(boot.settings.enabled, 0);
    assert_eq!(boot.settings.backlog_wait_time, 60 * HZ);
    assert_eq!(stop(&boot), Some(3));
    let lost: Vec<u32> = boot.lost.iter().map(|lost| lost.place.line).collect();
    assert_eq!(lost, [4, 1]);
}

#[test]
fn errors_are_passed_over_once_a_line_says_so() {
    let tree = hand_kept("-i\n-x\n-b 9\n-e 2\n-b 10\n");
    let boot = boot(&tree, &host(Awk::Mawk));
    assert_eq!(boot.settings.backlog_limit, 9);
    assert_eq!(boot.settings.enabled, 2);
    assert_eq!(stop(&boot), None);
    let passed: Vec<u32> = boot
        .passed_over
        .iter()
        .map(|error| error.place.line)
        .collect();
    assert_eq!(passed, [2, 5]);
}

#[test]
fn an_option_acts_before_its_line_is_judged() {
    let boot = boot(&hand_kept("-b 712 # note\n-b 8\n"), &host(Awk::Mawk));
    assert_eq!(boot.settings.backlog_limit, 712);
    assert_eq!(stop(&boot), Some(1));
}

#[test]
fn a_duplicate_stops_the_load_unless_it_goes_to_the_front() {
    let rule = "-a always,exit -F arch=b64 -S open -k x\n";
    let twice = boot(&hand_kept(&rule.repeat(2)), &host(Awk::Mawk));
    assert_eq!(stop(&twice), Some(2));
    let front = format!("{rule}{}", rule.replace("-a", "-A"));
    assert_eq!(stop(&boot(&hand_kept(&front), &host(Awk::Mawk))), None);
}

#[test]
fn files_that_are_refused_as_a_whole_leave_everything() {
    let mut tree = hand_kept("-b 5\n");
    if let AuditRules::File { mode, .. } = &mut tree.audit_rules {
        *mode = 0o666;
    }
    assert_eq!(limit(&tree, Awk::Mawk), (64, None));
    // augenrules takes the permission away with the content that it changes.
    tree.rules_d = Some(vec![Entry {
        name: b"a.rules".to_vec(),
        content: Some(b"-b 6\n".to_vec()),
    }]);
    assert_eq!(limit(&tree, Awk::Mawk), (6, Some(at("a.rules", 1))));
}

#[test]
fn manual_rules_file_is_overwritten_if_rules_d_is_empty() {
    let mut tree = hand_kept("-b 5\n");
    tree.rules_d = Some(Vec::new());
    let boot = boot(&tree, &host(Awk::Gawk));
    assert_eq!(boot.settings.backlog_limit, 64);
    assert!(
        boot.remarks[0].text.contains("kept manually"),
        "{:?}",
        boot.remarks
    );
}

#[test]
fn limit_is_written_to_the_line_that_decides() {
    let tree = compiled(&[("audit.rules", "# note\n-b 8192 \n-f 1\n")]);
    let placed = placement::of(&tree, &host(Awk::Mawk), 20_000).expect("a place");
    assert_eq!(placed.file, "/etc/audit/rules.d/audit.rules");
    assert_eq!(placed.content, b"# note\n-b 20000 \n-f 1\n");

    let tree = compiled(&[("zz-b.rules", "-w /etc/passwd")]);
    let placed = placement::of(&tree, &host(Awk::Mawk), 20_000).expect("a place");
    assert_eq!(placed.file, "/etc/audit/rules.d/zz-zz-auditwatch.rules");
    assert_eq!(placed.content, b"\n-b 20000\n");
    assert_eq!(placed.boot.settings.backlog_limit, 20_000);
    assert_eq!(placed.boot.rules, 1);

    let tree = hand_kept("-D\n-x\n");
    let placed = placement::of(&tree, &host(Awk::Mawk), 20_000).expect("a place");
    assert_eq!(placed.content, b"-b 20000\n-D\n-x\n");
}
