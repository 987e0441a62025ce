//! The cast of a storm: consumer, producers, and the rules that make records of what
//! they do.
//!
//! In: the stage and the storm. Out: processes in place, that wait for the word to
//! begin. Each change is announced to the keeper before it is made.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::stage::Stage;
use crate::{
    audit_rule::SyscallRule,
    bench::{
        board::Board, child::ChildId, consumer::Consumer, directory::Directory,
        producers::ProducersOrder, work,
    },
    control,
    storm::Storm,
    truth::ProducerReport,
};

/// Everybody who takes part.
pub(super) struct Cast {
    pub(super) board: Board,
    pub(super) consumer: Consumer,
    pub(super) producers: Producers,
    rules: Vec<SyscallRule>,
    /// For the files of this run.
    directory: Directory,
}

impl Cast {
    /// Puts everybody in place.
    pub(super) async fn assemble(stage: &mut Stage, storm: &Storm) -> Result<Self> {
        let board = Board::create().context("cannot make the board")?;
        let directory = stage.directory.make_unique("run-")?;
        let consumer = Consumer::start(
            &storm.consumer,
            stage.host_auditd,
            &board,
            &directory,
            &mut stage.keeper,
        )?;
        let producers = Producers::start(stage, storm, &board, &directory).await?;
        let mut rules: Vec<SyscallRule> = Vec::new();
        for producer in storm.phases.iter().flat_map(|phase| &phase.producers) {
            for rule in work::rules(producer, producers.pid) {
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
        stage
            .keeper
            .announce(|changes| changes.rules.clone_from(&rules))?;
        for rule in &rules {
            control::add_rule(&mut stage.socket, rule).context("cannot add an audit rule")?;
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
    pub(super) async fn dismiss(self, stage: &mut Stage) -> Result<()> {
        for rule in &self.rules {
            control::remove_rule(&mut stage.socket, rule).context("cannot remove an audit rule")?;
        }
        self.producers.end().await?;
        self.consumer.end()?;
        self.directory.remove_all()?;
        stage.keeper.announce(|changes| {
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
        stage: &mut Stage,
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
            .context("cannot start the producers")?;
        let pid = child.id().context("the producers have ended")?;
        stage
            .keeper
            .announce(|changes| changes.children.extend(ChildId::of(pid)))?;
        let mut words = child.stdin.take().context("the producers have no input")?;
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
            .context("the producers have no output")?;
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
            .context("the producers are gone")
    }

    /// What became of the phase, when it has ended.
    pub(super) async fn reports(&mut self) -> Result<Vec<ProducerReport>> {
        let line = self.reports.next_line().await?;
        let line = line.context("the producers ended before the storm did")?;
        serde_json::from_str(&line).context("the producers make no sense")
    }

    async fn end(self) -> Result<()> {
        let Self {
            mut child, words, ..
        } = self;
        drop(words);
        let status = child.wait().await?;
        ensure!(status.success(), "the producers ended with {status}");
        Ok(())
    }
}
