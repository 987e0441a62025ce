//! Tests of the journal: what a crash leaves, and what damage is.

use proptest::prelude::*;

use super::*;

/// A change of the limit in the kernel and in a new file.
pub(crate) fn plan() -> Plan {
    Plan {
        purpose: Purpose::Apply,
        by: By::default(),
        why: Why::default(),
        target: Target::default(),
        settings: vec![SettingChange {
            field: Field::BacklogLimit,
            old: 320,
            new: 8192,
        }],
        files: vec![FileChange {
            path: "/etc/audit/rules.d/zz-auditwatch.rules".into(),
            before: None,
            after: Content::of(b"\n-b 8192\n"),
        }],
        pending_reboot: false,
    }
}

fn text(lines: &[(u64, State)]) -> Vec<u8> {
    let mut known = Vec::new();
    let mut bytes = Vec::new();
    for &(id, state) in lines {
        let first = !known.contains(&id);
        known.push(id);
        let line = Line {
            id,
            at_ms: 5,
            state,
            note: (!first).then(|| "a word".to_owned()),
            plan: first.then(plan),
        };
        bytes.extend(serde_json::to_vec(&line).expect("plain data"));
        bytes.push(b'\n');
    }
    bytes
}

#[test]
fn the_last_line_of_a_change_counts() {
    let bytes = text(&[
        (1, State::Planned),
        (1, State::RuntimeSet),
        (2, State::Planned),
        (1, State::Verified),
    ]);
    let journal = Journal::parse(&bytes).expect("whole lines");
    assert_eq!(journal.whole_bytes, bytes.len() as u64);
    let states: Vec<_> = journal.changes.iter().map(|change| change.state).collect();
    assert_eq!(states, [State::Verified, State::Planned]);
    assert_eq!(journal.changes[0].notes.len(), 2);
    assert_eq!(journal.next_id(), 3);
    assert_eq!(journal.interrupted().map(|change| change.id), Some(2));
    assert_eq!(journal.to_undo(Some(1)).map(|change| change.id), Some(1));
    assert_eq!(journal.to_undo(Some(7)), None);
}

#[test]
fn undone_change_is_not_undone_again() {
    let bytes = text(&[
        (1, State::Verified),
        (2, State::Reverted),
        (3, State::Failed),
    ]);
    let journal = Journal::parse(&bytes).expect("whole lines");
    assert_eq!(journal.to_undo(None).map(|change| change.id), Some(1));
    assert_eq!(journal.interrupted(), None);
}

#[test]
fn damage_in_the_middle_is_named() {
    let mut bytes = text(&[(1, State::Planned)]);
    bytes.extend(b"{}\n");
    bytes.extend(text(&[(2, State::Planned)]));
    assert!(matches!(
        Journal::parse(&bytes),
        Err(JournalError::Line { number: 2, .. })
    ));
    let strayed = b"{\"id\":9,\"at_ms\":1,\"state\":\"verified\"}\n";
    assert!(matches!(
        Journal::parse(strayed),
        Err(JournalError::Unplanned { number: 1, id: 9 })
    ));
}

proptest! {
    /// Wherever a crash cuts the file, the lines before are whole and count.
    #[test]
    fn a_cut_costs_the_last_line_only(cut in 0_usize..2000) {
        let all = text(&[(1, State::Planned), (1, State::RuntimeSet), (1, State::Persisted)]);
        let cut = cut.min(all.len());
        let journal = Journal::parse(&all[..cut]).expect("a cut is no damage");
        let lines = memchr::memchr_iter(b'\n', &all[..cut]).count();
        let expected = [None, Some(State::Planned), Some(State::RuntimeSet), Some(State::Persisted)];
        prop_assert_eq!(journal.changes.first().map(|change| change.state), expected[lines]);
    }

    #[test]
    fn every_file_comes_back_byte_for_byte(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let line = serde_json::to_vec(&Content::of(&bytes)).expect("plain data");
        let read: Content = serde_json::from_slice(&line).expect("what was written");
        prop_assert_eq!(read.bytes(), Some(bytes));
    }
}
