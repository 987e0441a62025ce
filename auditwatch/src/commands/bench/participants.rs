//! The participants of a storm: consumer, producers, and the rules that make records of what
//! they do.
//!
//! In: the setup and the storm. Out: processes in place, that wait for the word to
//! begin. Each change is announced to the keeper before it is made.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::setup::Setup;
use crate::{
    bench::{
        board::Board, child::ChildId, consumer::Consumer, directory::Directory,
        ground_truth::ProducerReport, producers::ProducersOrder, work,
    },
    netlink::{control, rule::SyscallRule},
    storm::Storm,
};

/// Everybody who takes part.
pub(super) struct Participants {
    pub(super) board: Board,
    pub(super) consumer: Consumer,
    pub(super) producers: Producers,
    rules: Vec<SyscallRule>,
    /// For the files of this run.
    directory: Directory,
}

impl Participants {
    /// Puts everybody in place.
    pub(super) async fn assemble(setup: &mut Setup, storm: &Storm) -> Result<Self> {
        let board = Board::create().context("cannot create the shared counters")?;
        let directory = setup.directory.make_unique("run-")?;
        let consumer = Consumer::start(
            &storm.consumer,
            setup.host_auditd,
            &board,
            &directory,
            &mut setup.keeper,
        )?;
        let producers = Producers::start(setup, storm, &board, &directory).await?;
        let mut rules: Vec<SyscallRule> = Vec::new();
        for producer in storm.phases.iter().flat_map(|phase| &phase.producers) {
            for rule in work::rules(producer, producers.pid) {
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
        setup
            .keeper
            .announce(|changes| changes.rules.clone_from(&rules))?;
        for rule in &rules {
            control::add_rule(&mut setup.socket, rule).context("cannot add an audit rule")?;
        }
        Ok(Self {
            board,
            consumer,
            producers,
            rules,
            directory,
        })
    }

    /// Sends everybody home.
    pub(super) async fn dismiss(self, setup: &mut Setup) -> Result<()> {
        for rule in &self.rules {
            control::remove_rule(&mut setup.socket, rule).context("cannot remove an audit rule")?;
        }
        self.producers.end().await?;
        self.consumer.end()?;
        self.directory.remove_all()?;
        setup.keeper.announce(|changes| {
            changes.rules.clear();
            changes.children.clear();
        })
    }
}

/// The process of the producers.
pub(super) struct Producers {
    child: Child,
    words: ChildStdin,
    reports: Lines<BufReader<ChildStdout>>,
    pid: u32,
}

impl Producers {
    async fn start(
        setup: &mut Setup,
        storm: &Storm,
        board: &Board,
        directory: &Directory,
    ) -> Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .args(["bench", "producers"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the producer process")?;
        let pid = child.id().context("the producer process has ended")?;
        setup
            .keeper
            .announce(|changes| changes.children.extend(ChildId::of(pid)))?;
        let mut words = child
            .stdin
            .take()
            .context("the producer process has no stdin")?;
        let mut order = serde_json::to_vec(&ProducersOrder {
            storm: storm.clone(),
            board: board.path().into(),
            directory: directory.path().into(),
        })?;
        order.push(b'\n');
        words.write_all(&order).await?;
        let reports = child
            .stdout
            .take()
            .context("the producer process has no stdout")?;
        Ok(Self {
            child,
            words,
            reports: BufReader::new(reports).lines(),
            pid,
        })
    }

    /// Has the next phase begin.
    pub(super) async fn begin(&mut self) -> Result<()> {
        self.words
            .write_all(b"begin\n")
            .await
            .context("the producer process has ended")
    }

    /// What became of the phase, when it has ended.
    pub(super) async fn reports(&mut self) -> Result<Vec<ProducerReport>> {
        let line = self.reports.next_line().await?;
        let line = line.context("the producer process ended before the storm")?;
        serde_json::from_str(&line).context("cannot parse the report of the producer process")
    }

    async fn end(self) -> Result<()> {
        let Self {
            mut child, words, ..
        } = self;
        drop(words);
        let status = child.wait().await?;
        ensure!(status.success(), "the producer process failed: {status}");
        Ok(())
    }
}
