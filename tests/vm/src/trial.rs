//! A trial: a storm of known size under `auditwatch trace`, and the evidence it leaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::accounting::{Books, signed, stall_slack_ns, wrapping};
use crate::board::Board;
use crate::findings::Findings;
use crate::lab::{Lab, Setup, Sink};
use crate::netlink::AuditSocket;
use crate::process::{Ended, Process, tail};
use crate::rule::Rule;
use crate::sink;
use crate::storm_args::{Act, StormReport};
use crate::summary::Summary;
use crate::talking;
use crate::wire::Setting;

/// How auditwatch attaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it chooses.
    Auto,
    /// By kprobes alone.
    Kprobe,
}

impl Form {
    /// The value of `--attach`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Kprobe => "kprobe",
        }
    }
}

/// Who takes the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consumer {
    /// Nobody is registered.
    None,
    /// A sink.
    Sink {
        /// Microseconds it sleeps after each record.
        per_record_us: u64,
        /// Its receive buffer in bytes, the host's default without.
        rcvbuf: Option<i32>,
    },
}

/// A consumer that is never the bottleneck.
pub const FAST: Consumer = Consumer::Sink {
    per_record_us: 0,
    rcvbuf: Some(8 << 20),
};

/// What is tried.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The host's settings.
    pub setup: Setup,
    /// Who takes the records.
    pub consumer: Consumer,
    /// Arguments of `vmtest storm`.
    pub storm: String,
    /// Programs before auditwatch on its command line (strace).
    pub wrapper: Vec<String>,
    /// More options of `auditwatch trace`.
    pub options: Vec<&'static str>,
    /// How long all of it may take.
    pub time_limit: Duration,
}

impl Trial {
    /// A storm without anything in its way.
    pub fn new(storm: &str) -> Self {
        Self {
            setup: Setup::default(),
            consumer: FAST,
            storm: storm.to_owned(),
            wrapper: Vec::new(),
            options: Vec::new(),
            time_limit: Duration::from_secs(90),
        }
    }

    /// Sets the backlog limit, records.
    pub fn limit(mut self, limit: u32) -> Self {
        self.setup.limit = limit;
        self
    }

    /// Sets the backlog wait time, ms.
    pub fn wait_ms(mut self, wait_ms: u32) -> Self {
        self.setup.wait_ms = wait_ms;
        self
    }

    /// Sets the rate limit, records a second.
    pub fn rate_limit(mut self, rate_limit: u32) -> Self {
        self.setup.rate_limit = rate_limit;
        self
    }

    /// Sets the consumer.
    pub fn consumer(mut self, consumer: Consumer) -> Self {
        self.consumer = consumer;
        self
    }

    /// A sink with the host's default buffer that sleeps after each record.
    pub fn slow_sink(self, per_record_us: u64) -> Self {
        self.consumer(Consumer::Sink {
            per_record_us,
            rcvbuf: None,
        })
    }

    /// Adds a rule.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.setup.rules.push(rule);
        self
    }

    /// Gives `auditwatch trace` more options.
    pub fn options(mut self, options: &[&'static str]) -> Self {
        self.options.extend_from_slice(options);
        self
    }

    /// Replaces all rules.
    pub fn rules(mut self, rules: Vec<Rule>) -> Self {
        self.setup.rules = rules;
        self
    }
}

/// What a trial left.
pub struct Evidence {
    /// auditwatch's summary.
    pub summary: Summary,
    /// The accounts in it.
    pub books: Books,
    /// The storm's own report.
    pub report: StormReport,
    /// How auditwatch ended.
    pub ended: Ended,
    hz_tick_ns: i64,
}

/// A trial under way: the consumer runs, auditing is on.
pub struct Stage<'a> {
    lab: &'a Lab,
    sink: Option<Sink>,
}

impl<'a> Stage<'a> {
    /// Brings the lab to the trial's settings and starts the consumer.
    pub fn set(lab: &'a Lab, setup: &Setup, consumer: Consumer) -> Result<Self> {
        lab.clear()?;
        lab.configure(setup)?;
        let sink = match consumer {
            Consumer::None => None,
            Consumer::Sink {
                per_record_us,
                rcvbuf,
            } => Some(lab.sink(per_record_us, rcvbuf)?),
        };
        AuditSocket::open()?.set(Setting::Enabled(1))?;
        Ok(Self { lab, sink })
    }

    /// The command line of the storm, its result going to a file.
    pub fn storm(&self, arguments: &str) -> (Vec<String>, PathBuf) {
        let result = self.lab.directory.join("storm.json");
        drop(fs::remove_file(&result));
        let mut words: Vec<String> = vec!["vmtest".into(), "storm".into()];
        if let Ok(own) = std::env::current_exe() {
            words[0] = own.to_string_lossy().into_owned();
        }
        words.extend(arguments.split_ascii_whitespace().map(str::to_owned));
        words.extend([
            "--settle".into(),
            "30000".into(),
            "--result".into(),
            text(&result),
        ]);
        if let Some(sink) = &self.sink {
            words.extend(["--board".into(), text(&sink.path)]);
        }
        if let Some(path) = self.lab.words() {
            words.extend(["--words".into(), text(path)]);
        }
        (words, result)
    }

    /// The consumer's counts.
    pub fn board(&self) -> Result<Board> {
        Board::open(&self.board_path()?)
    }

    /// The file that they are in.
    pub fn board_path(&self) -> Result<PathBuf> {
        let sink = self.sink.as_ref().context("nobody counts here")?;
        Ok(sink.path.clone())
    }

    /// Takes everything back.
    pub fn strike(self) -> Result<()> {
        let mut socket = AuditSocket::open()?;
        socket.set(Setting::Enabled(0))?;
        socket.delete_rules()?;
        self.sink.map_or(Ok(()), Sink::end)
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// `auditwatch trace` with the options that all trials share.
pub fn trace_command(lab: &Lab, form: Form, wrapper: &[String]) -> Command {
    let mut words = wrapper.iter();
    let mut command = match words.next() {
        Some(program) => {
            let mut command = Command::new(program);
            command.args(words).arg(&lab.auditwatch);
            command
        }
        None => Command::new(&lab.auditwatch),
    };
    command.args(["trace", "--format", "json", "--interval", "500ms"]);
    if form != Form::Auto {
        command.args(["--attach", form.name()]);
    }
    command
}

/// Runs a trial. `log` gets what was said, as evidence of a failure.
pub fn run(lab: &Lab, form: Form, trial: &Trial, log: &mut Vec<String>) -> Result<Evidence> {
    run_watched(lab, form, trial, log, |_| Ok(()))
}

/// Runs a trial and something next to it, which gets the running tracer.
pub fn run_watched(
    lab: &Lab,
    form: Form,
    trial: &Trial,
    log: &mut Vec<String>,
    beside: impl FnOnce(&Process) -> Result<()>,
) -> Result<Evidence> {
    let stage = Stage::set(lab, &trial.setup, trial.consumer)?;
    let (storm, result) = stage.storm(&trial.storm);
    let mut command = trace_command(lab, form, &trial.wrapper);
    command.args(&trial.options).arg("--").args(storm);
    let process = Process::start(&lab.directory, command)?;
    let seen = beside(&process);
    let ended = process.wait(trial.time_limit);
    let struck = stage.strike();
    let ended = ended?;
    if let Some(line) = ended.stdout.lines().next_back() {
        log.push(format!("summary: {line}"));
    }
    log.push(format!(
        "exit {}, stderr: {}",
        ended.code(),
        tail(&ended.stderr, 1500)
    ));
    let report = fs::read(&result).context("the storm left no result");
    if let Ok(report) = &report {
        log.push(format!("storm: {}", String::from_utf8_lossy(report)));
    }
    seen?;
    let summary = Summary::parse(&ended.stdout)?;
    let report = serde_json::from_slice(&report?).context("parsing the storm's result")?;
    struck?;
    let books = Books::of(&summary)?;
    Ok(Evidence {
        summary,
        books,
        report,
        ended,
        hz_tick_ns: lab.tick_ns(),
    })
}

impl Evidence {
    /// Findings of what holds in every trial: the laws, the consumer's count, the exit status.
    pub fn common(&self) -> Findings {
        let mut findings = self.laws();
        self.books.against(&self.report, &mut findings);
        findings
    }

    /// The same where the consumer does not tell what was delivered (none, or one that died).
    pub fn laws(&self) -> Findings {
        let mut findings = Findings::default();
        self.books.laws(&mut findings);
        let expected = if self.books.losses() > 0 { 3 } else { 0 };
        findings.equal("exit status", self.ended.code(), expected);
        findings.equal("failed events", self.report.produced.failed, 0);
        findings.that(!self.ended.stderr.contains("panicked"), || {
            "it panicked".to_owned()
        });
        self.command(&mut findings);
        talking::laws(&self.summary, &mut findings);
        findings
    }

    /// The storm is the traced command: what was attempted, lost and delayed is the command's, but
    /// for the record of each setting that a consumer changes which is no child of it.
    fn command(&self, findings: &mut Findings) {
        let books = &self.books;
        if self.summary.at("command").is_null() {
            return;
        }
        let changes = findings.take(self.summary.list("limit_changes"));
        let changes = changes.unwrap_or_default().iter();
        let started = |pid: &Value| {
            let acts = &self.report.acts;
            acts.iter()
                .any(|done| done.timed.act == Act::StartSink && pid == done.pid)
        };
        let others = changes
            .filter(|change| change["comm"] == sink::COMM && !started(&change["pid"]))
            .count();
        let others = i64::try_from(others).unwrap_or(i64::MAX);
        for (path, expected) in [
            ("command.records", books.attempted - books.filtered - others),
            (
                "command.lost",
                books.backlog_limit + books.rate_limit + books.out_of_memory,
            ),
        ] {
            if let Some(got) = findings.take(self.summary.number(path)) {
                findings.near(path, got, expected, books.missed);
            }
        }
        for key in ["count", "total_ns", "max_ns"] {
            let own = findings.take(self.summary.number(&format!("command.stalls.{key}")));
            let all = findings.take(self.summary.number(&format!("stalls.{key}")));
            if let (Some(own), Some(all)) = (own, all) {
                findings.equal(&format!("command.stalls.{key}"), own, all);
            }
        }
        for (path, wall) in [("command.wall_ns", self.summary.at("duration_ns"))] {
            if let Some(got) = findings.take(self.summary.number(path)) {
                findings.between(path, got, 1, wall.as_i64().unwrap_or(0) + 1_000_000_000);
            }
        }
    }

    /// Records of one type that the consumer received.
    pub fn received_of(&self, kind: u16) -> i64 {
        signed(self.report.received_of(kind))
    }

    /// Records of one type that left the main queue by auditwatch's account.
    pub fn drained_of(&self, kind: &str, expected: i64, findings: &mut Findings) {
        let path = format!("types.{kind}");
        if let Some(got) = findings.take(self.summary.number(&path)) {
            findings.near(&path, got, expected, self.books.missed);
        }
    }

    /// Nothing was lost.
    pub fn no_loss(&self, findings: &mut Findings) {
        findings.equal("losses", self.books.losses(), 0);
        findings.equal("growth of the kernel's lost", self.books.lost, 0);
    }

    /// The stalls against the kernel's own account of time waited (>= 5.9).
    pub fn stalls(&self, findings: &mut Findings) {
        let (Some(count), Some(total)) = (
            findings.take(self.summary.number("stalls.count")),
            findings.take(self.summary.number("stalls.total_ns")),
        ) else {
            return;
        };
        findings.at_least("stalls.count", count, 1);
        if let Some(longest) = findings.take(self.summary.number("stalls.max_ns")) {
            findings.between("stalls.max_ns", longest, total / count.max(1), total);
            let latency = signed(self.report.produced.max_latency_ns);
            findings.that(longest <= latency, || {
                format!("stalls.max_ns {longest} exceeds the longest event, {latency} ns")
            });
        }
        let waited = |k: &crate::quiet::Snapshot| k.kernel.and_then(|k| k.waited);
        if let (Some(before), Some(after)) =
            (waited(&self.report.before), waited(&self.report.after))
        {
            let kernel = wrapping(before, after) * self.hz_tick_ns;
            if let Some(told) = findings.take(self.summary.number("stalls.kernel_total_ns")) {
                findings.equal("stalls.kernel_total_ns", told, kernel);
            }
            // Stalls may be missing where the kernel skipped a program, and the report says so.
            let missed = findings.take(self.summary.number("stalls.missed"));
            if missed.is_none_or(|missed| missed > 0) {
                return;
            }
            let slack = stall_slack_ns(kernel, count, self.hz_tick_ns);
            findings.near(
                "stalls.total_ns by the kernel's clock",
                total,
                kernel,
                slack,
            );
        }
    }

    /// The main queue overflowed: its greatest depth is where the kernel refuses, and no further
    /// than the producers can push it at a time.
    pub fn overflowed(&self, limit: i64, producers: i64, findings: &mut Findings) {
        if let Some(depth) = findings.take(self.summary.number("depth.max")) {
            findings.between("depth.max", depth, limit + 1, limit + 1 + producers);
        }
    }
}
