//! The live table and the summary at several widths: no line is wider than its output, whatever the numbers are.

use auditwatch::{
    bench::ground_truth::{Point, PointKind},
    recommend::{CurvePoint, Options, recommend},
    render::{bench, live_table::LiveTable, recommendation, style::Style, summary},
    trace::{
        command_cost::CommandCost,
        ledger::Ledger,
        report::{Interval, IntervalDepth, IntervalKind, IntervalStalls, PeakBy},
    },
};

#[path = "fixtures/loads.rs"]
mod loads;
#[expect(dead_code, reason = "others need more of it")]
#[path = "fixtures/traces.rs"]
mod traces;

const SECOND: u64 = 1_000_000_000;
/// From a phone's terminal to a wide one.
const WIDTHS: [usize; 6] = [40, 60, 79, 80, 100, 120];

/// A second of a storm at a limit of 64.
fn storm() -> Interval {
    Interval {
        kind: IntervalKind::Interval,
        at_ns: 875_000_000,
        duration_ns: SECOND,
        ledger: Ledger::default(),
        lost: Some(16_187),
        attempted_per_s: Some(22_671),
        drained_per_s: Some(6_484),
        dropped_per_s: Some(16_187),
        delivered_per_s: Some(6_420),
        depth: IntervalDepth {
            main: Some(0),
            retry: Some(0),
            hold: Some(0),
            max_so_far: Some(65),
            interval_max: Some(65),
            interval_max_by: Some(PeakBy::Measured),
        },
        limit: Some(64),
        stalls: Some(IntervalStalls {
            count: 0,
            total_ns: 0,
            waiting: 0,
        }),
    }
}

fn calm() -> Interval {
    let mut interval = storm();
    interval.at_ns = 240 * SECOND;
    interval.lost = Some(0);
    interval.dropped_per_s = Some(0);
    interval.limit = Some(8192);
    interval.depth.interval_max = Some(1024);
    interval
}

/// Tasks wait for a consumer that takes nothing.
fn stopped() -> Interval {
    let mut interval = calm();
    interval.limit = Some(320);
    interval.depth.interval_max = Some(321);
    interval.depth.retry = Some(319);
    interval.stalls = Some(IntervalStalls {
        count: 4,
        total_ns: 240 * SECOND,
        waiting: 1,
    });
    interval
}

/// As large as numbers get.
fn huge() -> Interval {
    let most = Some(u64::MAX);
    let mut interval = stopped();
    interval.at_ns = u64::MAX;
    (interval.lost, interval.dropped_per_s) = (most, most);
    (interval.attempted_per_s, interval.delivered_per_s) = (most, most);
    interval.limit = Some(u32::MAX);
    interval.depth.interval_max = most;
    interval.depth.retry = Some(u32::MAX);
    interval.depth.hold = Some(u32::MAX);
    interval.stalls = Some(IntervalStalls {
        count: u64::MAX,
        total_ns: u64::MAX,
        waiting: u64::MAX,
    });
    interval
}

/// Nothing was measured but the time.
fn poor() -> Interval {
    let mut interval = storm();
    (interval.lost, interval.dropped_per_s) = (None, None);
    (interval.attempted_per_s, interval.delivered_per_s) = (None, None);
    interval.limit = None;
    interval.depth = IntervalDepth {
        main: None,
        retry: None,
        hold: None,
        max_so_far: None,
        interval_max: None,
        interval_max_by: None,
    };
    interval.stalls = None;
    interval
}

fn without_limit() -> Interval {
    let mut interval = calm();
    interval.limit = Some(0);
    interval
}

fn rows(intervals: &[Interval], style: Style) -> String {
    let mut table = LiveTable::with_head_every(None);
    intervals
        .iter()
        .map(|interval| table.row(interval, style))
        .collect()
}

/// Columns of a line, escapes not counted.
fn columns(line: &str) -> usize {
    let mut columns = 0;
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        if character == '\u{1b}' {
            rest.by_ref().find(|&end| end == 'm');
        } else {
            columns += 1;
        }
    }
    columns
}

#[track_caller]
fn assert_fits(text: &str, width: usize) {
    for line in text.lines() {
        assert!(
            columns(line) <= width,
            "{} columns of {width}: {line}",
            columns(line)
        );
    }
}

#[test]
fn at_80_columns_each_row_is_one_line_with_gauge() {
    let style = Style::plain().with_width(80);
    assert_eq!(
        rows(&[storm(), calm(), without_limit()], style),
        "      time  made/s  lost/s  sent/s  peak/limit                 stalls    stalled\n    \
         875 ms  22,671  16,187   6,420       65/64 [####FULL#####]      0       0 ns\n\
         4 min 00 s  22,671       0   6,420 1,024/8,192 [##-----------]      0       0 ns\n\
         4 min 00 s  22,671       0   6,420  1,024/none [-------------]      0       0 ns\n"
    );
    // What is rare has a head from then on, and numbers of zero are not added to rows.
    assert_eq!(
        rows(&[calm(), stopped(), calm()], style),
        "      time  made/s  lost/s  sent/s  peak/limit                 stalls    stalled\n\
         4 min 00 s  22,671       0   6,420 1,024/8,192 [##-----------]      0       0 ns\n   \
         time made/s lost/s sent/s  peak/limit            stalls stalled retry waiting\n  \
         4m00s 22,671      0  6,420     321/320 [##FULL##]      4   4m00s   319       1\n  \
         4m00s 22,671      0  6,420 1,024/8,192 [#-------]      0    0 ns     0       0\n"
    );
}

#[test]
fn a_wider_terminal_has_a_longer_gauge() {
    assert_eq!(
        rows(&[storm()], Style::plain().with_width(120)),
        "       time     made/s     lost/s     sent/s       peak/limit                                        stalls      \
         stalled\n     875 ms     22,671     16,187      6,420            65/64 [###############FULL###############]        \
         0         0 ns\n"
    );
}

#[test]
fn no_row_is_wider_than_its_output() {
    for width in WIDTHS {
        let all = [
            storm(),
            calm(),
            stopped(),
            huge(),
            poor(),
            without_limit(),
            storm(),
        ];
        for style in [Style::plain(), Style::colored()] {
            let text = rows(&all, style.with_width(width));
            assert_fits(&text, width);
            // What a reader must not miss is there in the narrowest one.
            assert!(text.contains("lost/s"), "{text}");
            assert!(text.contains("FULL"), "{text}");
        }
    }
}

#[test]
fn the_gauge_is_red_while_records_are_lost() {
    let row = |interval: &Interval| rows(std::slice::from_ref(interval), Style::colored());
    let red = |text: &str| format!("\u{1b}[1m\u{1b}[31m{text}\u{1b}[0m");
    let green = |text: &str| format!("\u{1b}[32m{text}\u{1b}[0m");
    assert!(row(&storm()).contains(&format!("[{}]", red("####FULL#####"))));
    assert!(row(&calm()).contains(&format!("[{}]", green("##-----------"))));
    // Few in a long interval are still some.
    let mut few = calm();
    (few.lost, few.dropped_per_s) = (Some(1), Some(0));
    assert!(row(&few).contains(&format!("[{}]", red("##-----------"))));
    assert!(row(&few).contains(&red("      1")));
}

#[test]
fn a_terminal_gets_a_head_now_and_then() {
    let mut table = LiveTable::with_head_every(Some(20));
    let style = Style::plain().with_width(80);
    let text: String = (0..41).map(|_| table.row(&calm(), style)).collect();
    assert_eq!(text.matches("made/s").count(), 3);
    // And one when its width changes.
    let wider = table.row(&calm(), style.with_width(120));
    assert!(wider.contains("made/s"), "{wider}");
}

#[test]
fn a_summary_is_wrapped_at_words_under_its_labels() {
    let seconds = [traces::Second {
        attempted: 40_000,
        lost: 9_000,
        stalls: 40,
        depth: 60,
    }; 3];
    let mut summary = traces::trace(&seconds).summary;
    let word = "a-word-that-is-as-long-as-it-is";
    summary.notes = vec![[word; 6].join(" ")];
    summary.command = Some(CommandCost {
        wall_ns: Some(5 * SECOND),
        records: 120_000,
        records_per_s: Some(24_000),
        lost: Some(27_000),
        stalls: None,
        system_ns: Some(4 * SECOND),
        system_in_audit: Some(0.92),
        system_in_audit_error: Some(0.01),
        user_ns: None,
        samples: None,
    });
    for width in [60, 80, 120] {
        for style in [
            Style::plain(),
            Style::colored(),
            Style::plain().with_unicode(),
        ] {
            let text = summary::summary(&summary, summary::TOP, style.with_width(width));
            assert_fits(&text, width);
            assert_eq!(text.matches(word).count(), 6);
        }
    }
    let narrow = summary::summary(&summary, summary::TOP, Style::plain().with_width(80));
    assert!(narrow.is_ascii(), "{narrow}");
    assert!(narrow.contains("(+-1)"), "{narrow}");
    let note = narrow
        .split_once("\nnote       ")
        .expect("a note")
        .1
        .lines()
        .nth(1)
        .expect("a second line");
    assert!(note.starts_with(&format!("           {word}")), "{note}");
    // A pipe gets a line for each.
    let piped = summary::summary(&summary, summary::TOP, Style::plain());
    assert!(piped.contains(&summary.notes[0]), "{piped}");
    assert!(
        summary::summary(&summary, summary::TOP, Style::plain().with_unicode())
            .contains("(\u{b1}1)")
    );
}

#[test]
fn curve_and_sweep_fit_the_width_and_are_ascii_if_required() {
    let mut answer = recommend(&loads::burst(), &Options::default());
    answer.curve = [64, 320, u64::from(u32::MAX)]
        .into_iter()
        .map(|limit| CurvePoint {
            limit,
            lost: u64::MAX / limit,
            lost_pct: 100.0,
            stall_ns: u64::MAX / limit,
            ..answer.curve[0]
        })
        .collect();
    (answer.current, answer.limit) = (Some(64), Some(320));
    let points: Vec<Point> = [0, 64, u32::MAX]
        .into_iter()
        .map(|limit| Point {
            kind: PointKind::Point,
            limit,
            attempted: Some(u64::MAX),
            lost: Some(u64::MAX),
            stalls: Some(u64::MAX),
            stalled_ns: Some(u64::MAX),
            longest_stall_ns: Some(u64::MAX),
            p99_ns: None,
            peak: None,
            queue_peak_bytes: Some(1 << 40),
            agrees: limit == 64,
        })
        .collect();
    for width in [80, 120] {
        let style = Style::plain().with_width(width);
        let (curve, sweep) = (
            recommendation::block(&answer, style),
            bench::sweep(&points, style),
        );
        for text in [&curve, &sweep] {
            assert_fits(text, width);
            assert!(text.is_ascii(), "{text}");
            assert!(text.contains("####"), "{text}");
        }
        assert!(curve.contains("<- recommended"), "{curve}");
        assert!(sweep.contains("DISAGREE"), "{sweep}");
        let style = style.with_unicode();
        for text in [
            recommendation::block(&answer, style),
            bench::sweep(&points, style),
        ] {
            assert_fits(&text, width);
            assert!(text.contains('\u{2588}'), "{text}");
        }
    }
}
