//! The producers: a process whose threads make the events of a storm.
//!
//! In: the storm, and a word to begin each phase. Out: for each producer the events
//! made and how long they took. It must not touch a setting: rules and limits are
//! its parent's.

use std::{
    io::{self, BufRead as _, Write as _},
    path::PathBuf,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{
    board::{Board, Slot},
    child,
    work::Work,
};
use crate::{
    bench::ground_truth::ProducerReport,
    storm::{Phase, Producer, Storm, schedule::Schedule},
};

/// Longest time of an event that is told apart: an hour, ns.
const LONGEST_NS: u64 = 3_600_000_000_000;
/// Significant digits of latencies.
const DIGITS: u8 = 3;
/// Events that are faster than this did not sleep.
const SURELY_AWAKE: Duration = Duration::from_micros(20);

/// What the process of the producers is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProducersOrder {
    /// What to make.
    pub storm: Storm,
    /// Where the board is.
    pub board: PathBuf,
    /// A directory for files, which its parent removes.
    pub directory: PathBuf,
}

/// Makes each phase when a line comes in, and answers with a line of reports; ends
/// when no more come in.
///
/// # Errors
/// When a producer cannot be made ready.
pub fn run(order: &ProducersOrder) -> Result<()> {
    child::name(c"aw-producers");
    child::die_with_parent()?;
    let board = Board::open(&order.board).context("cannot find the board")?;
    let mut words = io::stdin().lock().lines();
    let mut out = io::stdout().lock();
    for phase in &order.storm.phases {
        if words.next().transpose()?.is_none() {
            break;
        }
        let reports = make(phase, order, &board)?;
        serde_json::to_writer(&mut out, &reports)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}

fn make(phase: &Phase, order: &ProducersOrder, board: &Board) -> Result<Vec<ProducerReport>> {
    let threads: usize = phase
        .producers
        .iter()
        .map(|producer| usize::try_from(producer.threads).unwrap_or(usize::MAX))
        .sum();
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        let producers: Vec<_> = phase
            .producers
            .iter()
            .map(|producer| {
                let threads: Vec<_> = (0..producer.threads)
                    .map(|number| {
                        let start = &start;
                        scope.spawn(move || {
                            let work = Work::prepare(producer, number, &order.directory);
                            // Everybody has to come, also who cannot be made ready.
                            start.wait();
                            anyhow::Ok(Thread::new().run(work?, producer, number, board))
                        })
                    })
                    .collect();
                (producer, threads)
            })
            .collect();
        producers
            .into_iter()
            .map(|(producer, threads)| {
                let mut sum = Thread::new();
                for thread in threads {
                    let done = thread
                        .join()
                        .map_err(|_| anyhow::anyhow!("a producer panicked"))?
                        .with_context(|| format!("producer {}", producer.name))?;
                    sum.merge(done)?;
                }
                Ok(sum.report(&phase.name, producer))
            })
            .collect()
    })
}

/// What one thread did, or several together.
struct Thread {
    latencies_ns: Histogram<u64>,
    failed: u64,
    failure: Option<String>,
    slept: u64,
    slept_ns: u64,
}

impl Thread {
    fn new() -> Self {
        Self {
            latencies_ns: Histogram::new_with_bounds(1, LONGEST_NS, DIGITS)
                .unwrap_or_else(|_| unreachable!("invariant: these bounds are allowed")),
            failed: 0,
            failure: None,
            slept: 0,
            slept_ns: 0,
        }
    }

    fn run(mut self, mut work: Work, producer: &Producer, number: u32, board: &Board) -> Self {
        let begin = Instant::now() + Duration::from_millis(producer.start_ms);
        sleep_until(begin);
        let schedule = Schedule::new(producer, number);
        let until = schedule
            .until_ns()
            .map(|ns| begin + Duration::from_nanos(ns));
        // What the pauses have slipped, where missed deadlines are not made up for.
        let mut slip = Duration::ZERO;
        let mut switches = voluntary_switches();
        for (event, due) in (0..).zip(schedule) {
            if let Some(at_ns) = due.at_ns {
                let at = begin + Duration::from_nanos(at_ns) + slip;
                let now = Instant::now();
                if at > now {
                    sleep_until(at);
                    switches = voluntary_switches();
                } else if !producer.catch_up {
                    slip += now - at;
                }
            }
            let before = Instant::now();
            if until.is_some_and(|until| before >= until) {
                break;
            }
            let done = work.once(event);
            let took = before.elapsed();
            let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            self.latencies_ns.saturating_record(took_ns.max(1));
            if took > SURELY_AWAKE {
                let now = voluntary_switches();
                if now != switches {
                    self.slept += 1;
                    self.slept_ns += took_ns;
                    switches = now;
                }
            }
            if let Err(error) = done {
                self.failed += 1;
                self.failure.get_or_insert_with(|| format!("{error:#}"));
            }
            board.add(Slot::Events, 1);
        }
        self
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.latencies_ns
            .add(&other.latencies_ns)
            .context("cannot add latencies up")?;
        self.failed += other.failed;
        self.slept += other.slept;
        self.slept_ns += other.slept_ns;
        self.failure = self.failure.take().or(other.failure);
        Ok(())
    }

    fn report(self, phase: &str, producer: &Producer) -> ProducerReport {
        ProducerReport {
            phase: phase.to_owned(),
            name: producer.name.clone(),
            kind: producer.kind,
            threads: producer.threads,
            events: self.latencies_ns.len(),
            failed: self.failed,
            failure: self.failure,
            slept: self.slept,
            slept_ns: self.slept_ns,
            p50_ns: self.latencies_ns.value_at_quantile(0.5),
            p99_ns: self.latencies_ns.value_at_quantile(0.99),
            max_ns: self.latencies_ns.max(),
        }
    }
}

fn sleep_until(at: Instant) {
    let left = at.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        thread::sleep(left);
    }
}

/// How often this thread has gone to sleep.
fn voluntary_switches() -> libc::c_long {
    // SAFETY: the structure is plain integers, for which zeroes are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes to `usage`, which lives beyond the call. It does not
    // fail for this thread.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    usage.ru_nvcsw
}

/// Reads an order from one line of JSON.
///
/// # Errors
/// When it is none.
pub fn read_order<T: for<'de> Deserialize<'de>>() -> Result<T> {
    let mut line = String::new();
    let length = io::stdin().lock().read_line(&mut line)?;
    ensure!(length > 0, "this is run by `auditwatch bench` alone");
    serde_json::from_str(&line).context("this is run by `auditwatch bench` alone")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_fall_into_separate_bins_and_add_up() {
        let thread = |times_ns: &[u64]| {
            let mut thread = Thread::new();
            for &ns in times_ns {
                thread.latencies_ns.saturating_record(ns);
            }
            thread
        };
        let mut sum = thread(&[1_000; 98]);
        sum.merge(thread(&[5_000_000, 2 * LONGEST_NS]))
            .expect("of the same kind");
        let of = |per_cent: f64| sum.latencies_ns.value_at_quantile(per_cent / 100.0);
        assert_eq!(sum.latencies_ns.len(), 100);
        assert!(of(50.0).abs_diff(1_000) <= 1);
        assert!(of(99.0).abs_diff(5_000_000) <= 5_000);
        assert!(sum.latencies_ns.max().abs_diff(LONGEST_NS) <= LONGEST_NS / 500);
    }
}
