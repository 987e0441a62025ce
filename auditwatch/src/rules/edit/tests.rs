//! Tests of the edits: that they win by the simulator's account, and leave all else as it is.

use proptest::prelude::*;

use super::*;
use crate::rules::{
    Awk, Era, Leads, Lookup, Machine, Settings,
    tests::{compiled, hand_kept},
};

/// A host where every path leads to a file, but for the directory that they are in.
struct Anywhere;

impl Lookup for Anywhere {
    fn path(&self, path: &[u8]) -> Leads {
        if path == b"/etc" {
            Leads::Directory
        } else {
            Leads::File
        }
    }
    fn user(&self, _: &[u8]) -> Option<u32> {
        None
    }
    fn group(&self, _: &[u8]) -> Option<u32> {
        None
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
        hz: 250,
        before: Settings {
            enabled: 1,
            ..Settings::of_kernel(250)
        },
        machine: Machine::X86_64,
        lookup: &Anywhere,
    }
}

fn limit(limit: u32) -> Wanted {
    Wanted {
        limit: Some(limit),
        wait_time: None,
        comment: vec!["why".to_owned()],
    }
}

fn text(edit: &Edit) -> String {
    String::from_utf8(edit.after.clone()).expect("text")
}

#[test]
fn the_drop_in_sorts_behind_the_distributions_own_file() {
    let tree = compiled(&[
        ("10-base.rules", "-D\n-f 1\n"),
        ("audit.rules", "-D\n-b 8192\n-w /etc/passwd -p wa"),
    ]);
    let edited = edit(&tree, &host(Awk::Mawk), &limit(20_000)).expect("it wins");
    assert_eq!(edited.edits.len(), 1);
    assert_eq!(
        edited.edits[0].file,
        "/etc/audit/rules.d/zz-auditwatch.rules"
    );
    assert_eq!(edited.edits[0].before, None);
    assert_eq!(text(&edited.edits[0]), "\n# auditwatch: why\n-b 20000\n");
    assert_eq!(edited.before.settings.backlog_limit, 8192);
    assert_eq!(edited.after.settings.backlog_limit, 20_000);
    assert_eq!(edited.after.rules, 1, "the glued rule is still there");
    // Once more: nothing to do.
    let again = placement::with(&tree, &edited.edits[0].file, &edited.edits[0].after);
    let edited = edit(&again, &host(Awk::Mawk), &limit(20_000)).expect("it wins");
    assert_eq!(edited.edits, []);
}

#[test]
fn an_indented_line_that_wins_is_edited_in_its_place() {
    // mawk leaves it among the rules, behind all that is hoisted.
    let tree = compiled(&[("50-site.rules", "# ours\n  -b 4096\n-w /etc/group -p wa\n")]);
    let edited = edit(&tree, &host(Awk::Mawk), &limit(8192)).expect("it wins");
    assert_eq!(edited.after.settings.backlog_limit, 8192);
    let in_place = edited
        .edits
        .iter()
        .find(|edit| edit.file.ends_with("50-site.rules"))
        .expect("that line");
    assert_eq!(
        text(in_place),
        "# ours\n# auditwatch: why\n  -b 8192\n-w /etc/group -p wa\n"
    );
    // With gawk the drop-in does.
    let edited = edit(&tree, &host(Awk::Gawk), &limit(8192)).expect("it wins");
    assert!(edited.edits[0].file.ends_with(DROP_IN));
}

#[test]
fn edited_file_keeps_its_comments_and_order() {
    let tree = hand_kept("# first\n-D\n# the buffer\n-b 320\n-f 1\n-w /etc/passwd -p wa\n");
    let edited = edit(&tree, &host(Awk::Gawk), &limit(8192)).expect("it wins");
    assert_eq!(
        text(&edited.edits[0]),
        "# first\n-D\n# the buffer\n# auditwatch: why\n-b 8192\n-f 1\n-w /etc/passwd -p wa\n"
    );
    // A later edit replaces our own comment.
    let again = placement::with(&tree, AUDIT_RULES, &edited.edits[0].after);
    let edited = edit(&again, &host(Awk::Gawk), &limit(9000)).expect("it wins");
    assert_eq!(text(&edited.edits[0]).matches(MARK).count(), 1);
    assert!(text(&edited.edits[0]).contains("-b 9000\n-f 1"));
}

#[test]
fn without_a_deciding_line_one_is_added_after_the_deletion() {
    let tree = hand_kept("# first\n-D\n-w /etc/passwd -p wa\n");
    let wanted = Wanted {
        wait_time: Some(15_000),
        ..limit(8192)
    };
    let edited = edit(&tree, &host(Awk::Gawk), &wanted).expect("it wins");
    let text = text(&edited.edits[0]);
    assert!(
        text.starts_with("# first\n-D\n# auditwatch: why\n-b 8192\n"),
        "{text}"
    );
    assert!(text.ends_with("-w /etc/passwd -p wa\n"), "{text}");
    assert_eq!(edited.after.settings.backlog_wait_time, 15_000);
    // An empty host gets a file.
    let nothing = Tree::default();
    let edited = edit(&nothing, &host(Awk::Gawk), &limit(8192)).expect("it wins");
    assert_eq!(edited.edits[0].file, AUDIT_RULES);
}

#[test]
fn a_load_that_stops_before_the_line_is_named() {
    let tree = hand_kept("-D\n-x nonsense\n-b 320\n");
    // The top of the file is before anything that could stop it.
    let edited = edit(&tree, &host(Awk::Gawk), &limit(8192)).expect("it wins");
    assert_eq!(edited.after.settings.backlog_limit, 8192);
}

#[test]
fn only_requested_settings_change() {
    let tree = compiled(&[("audit.rules", "-D\n-b 320\n--backlog_wait_time 60000\n")]);
    let waits = Wanted {
        limit: None,
        wait_time: Some(250),
        comment: Vec::new(),
    };
    let edited = edit(&tree, &host(Awk::Gawk), &waits).expect("it wins");
    assert_eq!(edited.after.settings.backlog_limit, 320);
    assert_eq!(edited.after.settings.backlog_wait_time, 250);
    // What an earlier run has put into our own file stays.
    let tree = placement::with(
        &tree,
        "/etc/audit/rules.d/zz-auditwatch.rules",
        b"\n-b 9000\n",
    );
    let edited = edit(&tree, &host(Awk::Gawk), &waits).expect("it wins");
    assert_eq!(edited.after.settings.backlog_limit, 9000);
}

/// augenrules keeps the last -b line only: another one would throw the broken line out, and the load would go on.
#[test]
fn an_edit_that_would_change_more_is_refused_with_all_of_it() {
    let rules = "-w /etc/passwd -p wa\n";
    let tree = compiled(&[
        (
            "audit.rules",
            "-D\n-b 8192 # bigger\n--backlog_wait_time 0\n",
        ),
        ("50.rules", rules),
    ]);
    let error = edit(&tree, &host(Awk::Gawk), &limit(16_384)).expect_err("it changes more");
    let text = error.to_string();
    for words in [
        "the wait time becomes 0 instead of 15000",
        "the kernel has 1 rule instead of 0",
        "no longer stops at /etc/audit/rules.d/audit.rules:2",
    ] {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn a_refusal_names_the_line_of_the_file_as_it_is() {
    let tree = hand_kept("-D\n-b 320 # small\n-w /etc/passwd -p wa\n");
    let error = edit(&tree, &host(Awk::Gawk), &limit(8192)).expect_err("the load stops");
    assert!(error.to_string().contains("audit.rules:2"), "{error}");
}

#[test]
fn a_line_at_the_end_of_a_hand_kept_file_is_tried_too() {
    for text in [
        "-D\n-b320\n-w /etc/passwd -p wa\n",
        "-D\n-e 1 -b 320 -f 1 -r 0\n-w /etc/passwd -p wa\n",
    ] {
        let tree = hand_kept(text);
        let edited = edit(&tree, &host(Awk::Gawk), &limit(8192)).expect("a line at the end wins");
        assert_eq!(edited.after.settings.backlog_limit, 8192);
        assert_eq!(edited.after.rules, edited.before.rules);
        assert!(edited.edits[0].after.starts_with(text.as_bytes()));
    }
}

#[test]
fn comments_are_single_short_lines() {
    assert_eq!(comment("a\nb"), "# auditwatch: a b");
    assert!(comment(&"x".repeat(7000)).len() <= MOST_COMMENT_BYTES);
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("-D".to_owned()),
        (1_u32..70_000).prop_map(|limit| format!("-b {limit}")),
        (1_u32..70_000).prop_map(|limit| format!("  -b {limit}")),
        (1_u32..70_000).prop_map(|wait| format!("--backlog_wait_time {wait}")),
        Just("# a comment".to_owned()),
        Just(String::new()),
        Just("-w /etc/passwd -p wa".to_owned()),
        Just("-f 1".to_owned()),
        Just("-e 2".to_owned()),
        Just("-b 300\r".to_owned()),
        Just("-x".to_owned()),
        Just("\t-b 5".to_owned()),
        Just("-i".to_owned()),
    ]
}

fn file() -> impl Strategy<Value = String> {
    (proptest::collection::vec(line(), 0..8), any::<bool>()).prop_map(|(lines, ends)| {
        let mut text = lines.join("\n");
        if ends {
            text.push('\n');
        }
        text
    })
}

proptest! {
    /// Whatever stands in the files: where an edit is made it wins, nothing else is worse, and every
    /// line that was there is there still, but for the one that decided.
    #[test]
    fn an_edit_wins_or_is_not_made(
        files in proptest::collection::vec(file(), 0..4),
        is_by_hand: bool,
        mawk: bool,
        wanted in 1_u32..100_000,
    ) {
        let names = ["10-a.rules", "99-b.rules", "audit.rules", "zzz.rules"];
        let tree = if is_by_hand {
            hand_kept(&files.concat())
        } else {
            let pairs: Vec<(&str, &str)> = names.iter().copied()
                .zip(files.iter().map(String::as_str)).collect();
            compiled(&pairs)
        };
        let awk = if mawk { Awk::Mawk } else { Awk::Gawk };
        if let Ok(edited) = edit(&tree, &host(awk), &limit(wanted)) {
            let mut after = tree.clone();
            for edit in &edited.edits {
                prop_assert_eq!(content(&tree, &edit.file), edit.before.as_deref());
                after = placement::with(&after, &edit.file, &edit.after);
                let lines = |bytes: &[u8]| bytes.split(|&byte| byte == b'\n')
                    .filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect::<Vec<_>>();
                let is = lines(&edit.after);
                let gone = lines(edit.before.as_deref().unwrap_or_default()).into_iter()
                    .filter(|line| !is.contains(line)).count();
                prop_assert!(gone <= 1, "{gone} lines are gone");
            }
            let boot = boot(&after, &host(awk));
            prop_assert_eq!(boot.settings.backlog_limit, wanted);
            let (was, is) = (edited.before.settings, boot.settings);
            prop_assert_eq!(
                (is.enabled, is.failure, is.rate_limit, is.backlog_wait_time),
                (was.enabled, was.failure, was.rate_limit, was.backlog_wait_time)
            );
            prop_assert_eq!(boot.rules, edited.before.rules);
        }
    }
}
