//! Comparisons of traces: their laws, and what they make of known differences.

#[path = "fixtures/traces.rs"]
mod traces;

use auditwatch::{
    render,
    trace::comparison::{Comparison, Figure, LEAST_INTERVALS, Trace, Verdict, compare},
};
use proptest::{collection::vec, prelude::*};
use traces::{CALM, Second, about, lines, read, runner, trace};

fn figure<'a>(comparison: &'a Comparison, name: &str) -> &'a Figure {
    comparison
        .figures
        .iter()
        .find(|figure| figure.name == name)
        .unwrap_or_else(|| panic!("no figure {name}"))
}

fn verdict(comparison: &Comparison, name: &str) -> Verdict {
    figure(comparison, name).verdict
}

#[test]
fn a_trace_is_the_same_as_itself() {
    let storm = Second {
        lost: 20,
        stalls: 4,
        ..CALM
    };
    let trace = trace(&about(storm, 3));
    let comparison = compare(&trace, &trace);
    assert_eq!(comparison.verdict, Verdict::Same);
    for figure in &comparison.figures {
        assert_eq!(figure.verdict, Verdict::Same, "{figure:?}");
    }
    assert!(comparison.circumstances.is_empty());
}

#[test]
fn more_loss_or_stall_is_worse_and_less_is_better() {
    let calm = trace(&about(CALM, 3));
    let storm = trace(&about(
        Second {
            lost: 20,
            stalls: 4,
            depth: 60,
            ..CALM
        },
        3,
    ));
    let forth = compare(&calm, &storm);
    let back = compare(&storm, &calm);
    assert_eq!(forth.verdict, Verdict::Worse);
    for name in [
        "records lost",
        "attempts lost",
        "stalls",
        "time in stalls",
        "queue length",
    ] {
        assert_eq!(verdict(&forth, name), Verdict::Worse, "{name}");
        assert_eq!(verdict(&back, name), Verdict::Better, "{name}");
    }
    assert_eq!(verdict(&forth, "attempts"), Verdict::Same);
    // One value each: nobody knows the noise of a peak.
    assert_eq!(verdict(&forth, "memory at the peak"), Verdict::Same);
    let first_line = |comparison: &Comparison| {
        let text = render::comparison::table(comparison, render::style::Style::plain());
        text.lines().next().expect("a verdict").to_owned()
    };
    let worse =
        "the second is worse: records lost, attempts lost, stalls, time in stalls, queue length";
    assert_eq!(first_line(&forth), worse);
    let heavy = trace(&about(
        Second {
            attempted: 250,
            depth: 60,
            ..CALM
        },
        3,
    ));
    assert_eq!(
        first_line(&compare(&calm, &heavy)),
        "the second is worse: queue length; the load differs too: attempts +141.5 %"
    );
}

#[test]
fn another_load_is_neither_good_nor_bad() {
    let more = Second {
        attempted: 300,
        ..CALM
    };
    let comparison = compare(&trace(&about(CALM, 3)), &trace(&about(more, 3)));
    assert_eq!(comparison.verdict, Verdict::Changed);
    assert_eq!(verdict(&comparison, "attempts"), Verdict::Changed);
    assert_eq!(verdict(&comparison, "records lost"), Verdict::Same);
}

#[test]
fn change_within_the_noise_is_not_a_difference() {
    let noisy = |shift: u64| -> Vec<Second> {
        (0..20_u64)
            .map(|number| Second {
                attempted: 100 + (number * 37 + shift) % 50,
                ..CALM
            })
            .collect()
    };
    let comparison = compare(&trace(&noisy(0)), &trace(&noisy(11)));
    assert_eq!(
        verdict(&comparison, "attempts"),
        Verdict::Same,
        "{comparison:?}"
    );
}

/// Numbers below 100 as if by chance, the same ones each time.
fn draws() -> impl FnMut() -> u64 {
    let mut state = 7_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % 100
    }
}

/// The test seldom cries wolf: traces of one load, many times.
#[test]
fn one_load_seldom_differs_from_itself() {
    let mut draw = draws();
    let mut seconds = |count: usize| -> Vec<Second> {
        let mut level = 50;
        (0..count)
            .map(|_| {
                // Each second is like the one before.
                level = u64::midpoint(level, draw());
                Second {
                    attempted: 1_000 + 10 * level,
                    ..CALM
                }
            })
            .collect()
    };
    let alarms = (0..400)
        .filter(|_| {
            let comparison = compare(&trace(&seconds(30)), &trace(&seconds(20)));
            verdict(&comparison, "attempts") != Verdict::Same
        })
        .count();
    assert!(alarms <= 8, "{alarms} of 400");
}

/// A trace whose intervals have these lengths.
fn uneven(seconds: &[Second], lengths_ms: &[u64]) -> Trace {
    let mut trace = trace(seconds);
    for (interval, ms) in trace.intervals.iter_mut().zip(lengths_ms) {
        interval.duration_ns = ms * 1_000_000;
    }
    trace.summary.duration_ns = trace.intervals.iter().map(|i| i.duration_ns).sum();
    trace
}

/// Whatever the intervals, a figure is what the summary says of the whole.
#[test]
fn figures_are_those_of_the_whole_trace() {
    let interval = || (second(), 1..1_500_u64);
    runner(1_000)
        .run(&vec(interval(), 1..9), |intervals| {
            let (seconds, lengths): (Vec<_>, Vec<_>) = intervals.into_iter().unzip();
            let trace = uneven(&seconds, &lengths);
            let own = compare(&trace, &trace);
            let near = |name, expected: f64| {
                let found = figure(&own, name).a.expect("measured");
                prop_assert!(
                    (found - expected).abs() <= 1e-9 * expected.max(1.0),
                    "{name}: {found}, {expected}"
                );
                Ok(())
            };
            let summary = &trace.summary;
            let duration_s = number(summary.duration_ns) / 1e9;
            let (lost, attempted) = (
                summary.lost.map(number),
                summary.ledger.attempted.map(number),
            );
            let (lost, attempted) = (lost.expect("counted"), attempted.expect("counted"));
            near("records lost", lost / duration_s)?;
            near("attempts", attempted / duration_s)?;
            if attempted > 0.0 {
                near("attempts lost", lost / attempted)?;
            }
            let stalls = number(summary.stalls.as_ref().expect("counted").count);
            near("stalls", stalls / duration_s)
        })
        .expect("lawful");
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count >> 20).expect("not so many")) * 1_048_576.0
        + f64::from(u32::try_from(count & 0xf_ffff).expect("20 bits"))
}

/// How often two traces of one load differ in the share of attempts that are lost, of 400 pairs.
fn alarms(mut load: impl FnMut(&mut dyn FnMut() -> u64) -> Vec<Second>) -> usize {
    let mut draw = draws();
    (0..400)
        .filter(|_| {
            let comparison = compare(&trace(&load(&mut draw)), &trace(&load(&mut draw)));
            matches!(
                verdict(&comparison, "attempts lost"),
                Verdict::Worse | Verdict::Better
            )
        })
        .count()
}

fn lossy(attempted: u64, percent: u64) -> Second {
    Second {
        attempted,
        lost: attempted * percent / 100,
        ..CALM
    }
}

/// Where one interval holds nearly all attempts, the others say nothing of how many are lost.
#[test]
fn one_burst_is_one_value() {
    let burst = |draw: &mut dyn FnMut() -> u64| {
        let mut seconds = vec![lossy(2, 50); 12];
        seconds[5] = lossy(100_000, 20 + draw() * 2 / 5);
        seconds
    };
    assert_eq!(alarms(burst), 0);
    let mut draw = || 50;
    let comparison = compare(&trace(&burst(&mut draw)), &trace(&burst(&mut || 0)));
    assert_eq!(verdict(&comparison, "attempts lost"), Verdict::Unclear);
    let in_few = "almost all counts fall into a few intervals (attempts lost";
    assert!(
        comparison.notes.iter().any(|note| note.contains(in_few)),
        "{comparison:?}"
    );
}

/// A share that changes slowly is not less alike for the idle seconds in between, nor for small ones.
#[test]
fn pauses_do_not_make_values_independent() {
    for pause in [0, 50] {
        let slow = |draw: &mut dyn FnMut() -> u64| {
            let mut percent = 50;
            (0..60)
                .map(|number| {
                    if number % 2 == 1 {
                        return lossy(pause, percent);
                    }
                    percent = (4 * percent + draw()) / 5;
                    lossy(1_000, percent)
                })
                .collect()
        };
        let alarms = alarms(slow);
        assert!(alarms <= 8, "{alarms} of 400 with {pause} attempts between");
    }
}

#[test]
fn few_intervals_say_nothing() {
    let short = vec![CALM; LEAST_INTERVALS - 1];
    let busy = vec![
        Second {
            attempted: 200,
            ..CALM
        };
        LEAST_INTERVALS - 1
    ];
    let comparison = compare(&trace(&short), &trace(&busy));
    assert_eq!(verdict(&comparison, "attempts"), Verdict::Unclear);
    assert!(
        comparison
            .notes
            .iter()
            .any(|note| note.contains("trace for longer"))
    );
    let none = trace(&[]);
    assert_eq!(compare(&none, &none).verdict, Verdict::Unknown);
    assert_eq!(comparison.verdict, Verdict::Unclear);
    assert_eq!(
        verdict(&compare(&none, &trace(&short)), "attempts"),
        Verdict::Unknown
    );
}

#[test]
fn none_against_many_needs_no_more_intervals() {
    let lossy = |lost: u64| trace(&[Second { lost, ..CALM }; 3]);
    let of = |a: u64, b: u64| verdict(&compare(&lossy(a), &lossy(b)), "records lost");
    assert_eq!(of(0, 9), Verdict::Worse);
    assert_eq!(of(9, 0), Verdict::Better);
    let long = |lost: u64| trace(&[Second { lost, ..CALM }; 9]);
    let comparison = compare(&long(0), &long(9));
    assert_eq!(figure(&comparison, "records lost").noise, None);
    assert!(figure(&comparison, "attempts").noise.is_some());
    // Six in three seconds: none in another three is no wonder.
    assert_eq!(of(0, 2), Verdict::Unclear);
    assert_eq!(of(3, 9), Verdict::Unclear);
}

#[test]
fn a_recording_that_breaks_off_is_said_to() {
    let whole = lines(&about(CALM, 3));
    let cut = read(&whole[..whole.len() - 1]).expect("whole up to there");
    let comparison = compare(&trace(&about(CALM, 3)), &cut);
    let breaks_off = |side: &str| {
        comparison
            .notes
            .iter()
            .any(|note| note.contains(side) && note.contains("cut off"))
    };
    assert!(
        breaks_off("second") && !breaks_off("first"),
        "{:?}",
        comparison.notes
    );
}

/// Where the queue was longest differs, and nobody can say of one value each what that means.
#[test]
fn first_line_names_figures_that_were_not_compared() {
    let a = trace(&about(CALM, 3));
    let mut b = a.clone();
    b.summary.depth.max = Some(99);
    let text = render::comparison::table(&compare(&a, &b), render::style::Style::plain());
    assert!(
        text.starts_with("no difference beyond the noise (unknown for peak queue length)\n"),
        "{text}"
    );
}

/// Half of the time a lot and half of the time nothing, in two blocks: a value each.
#[test]
fn noise_that_no_difference_could_exceed_is_said_to_be() {
    let blocks = |attempted: u64| {
        let mut seconds = [Second { attempted, ..CALM }; 20];
        for second in &mut seconds[10..] {
            second.attempted = 0;
        }
        trace(&seconds)
    };
    let comparison = compare(&blocks(100), &blocks(200));
    assert_eq!(verdict(&comparison, "attempts"), Verdict::Unclear);
    let text = render::comparison::table(&comparison, render::style::Style::plain());
    let line = text.lines().find(|line| line.starts_with("attempts "));
    assert!(line.is_some_and(|line| line.contains("> both")), "{text}");
}

#[test]
fn other_differences_of_the_traces_are_named() {
    let a = trace(&about(CALM, 3));
    let mut b = a.clone();
    b.summary.status.limit_end = Some(8192);
    b.summary.kernel.release = "7.2.0".into();
    let comparison = compare(&a, &b);
    let named: Vec<&str> = comparison
        .circumstances
        .iter()
        .map(|circumstance| circumstance.what.as_str())
        .collect();
    assert_eq!(named, ["kernel", "backlog limit"]);
}

fn second() -> impl Strategy<Value = Second> {
    (0..5_000_u64, 0..100_u64, 0..50_u64, 0..70_u32).prop_map(|(attempted, lost, stalls, depth)| {
        Second {
            attempted: attempted + lost,
            lost,
            stalls,
            depth,
        }
    })
}

#[test]
fn comparisons_obey_their_laws() {
    let seconds = || vec(second(), 0..9);
    runner(1_000)
        .run(&(seconds(), seconds()), |(a, b)| {
            let (a, b) = (trace(&a), trace(&b));
            let (forth, back) = (compare(&a, &b), compare(&b, &a));
            for (forth, back) in forth.figures.iter().zip(&back.figures) {
                let turned = match forth.verdict {
                    Verdict::Better => Verdict::Worse,
                    Verdict::Worse => Verdict::Better,
                    other => other,
                };
                prop_assert_eq!(back.verdict, turned, "{}", forth.name);
                prop_assert_eq!((forth.a, forth.b), (back.b, back.a));
            }
            let own = compare(&a, &a);
            for figure in &own.figures {
                prop_assert!(
                    matches!(figure.verdict, Verdict::Same | Verdict::Unknown),
                    "{:?}",
                    figure
                );
            }
            Ok(())
        })
        .expect("lawful");
}
