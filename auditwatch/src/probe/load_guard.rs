//! Whether BPF programs may be loaded on this host now, and what loading them costs its audit trail.
//!
//! In: the kernel's audit variables and rules, by its memory first, by netlink if that cannot be read. Out: a
//! [`LoadGuard`], without which the probe loads nothing, and at the end a [`Footprint`].
//!
//! Each program that is loaded or taken out makes a record that cannot wait for room (`bpf_audit_prog`,
//! kernel/bpf/syscall.c, with `GFP_ATOMIC`). A full queue drops it, and under failure mode 2 the kernel panics at the
//! first drop (`audit_panic`, kernel/audit.c). Room at the moment is no guarantee, since a burst may fill the queue
//! before the record is made. Two things are: auditing is off, or an exclude rule keeps such records out, which the
//! kernel looks at before it looks at the queue (`audit_log_start`). It must not send a message while tasks sleep in
//! the audit code, and must not change a setting.

use std::{
    error::Error as _,
    io::{self, Write as _},
    thread,
    time::{Duration, Instant},
};

use thiserror::Error;

use crate::{
    kernel::{
        audit_state::KernelState,
        core_memory::KernelMemory,
        facts::Facts,
        filter_memory::FilterLists,
        filter_rule::{self, BPF_RECORD, FilterRule, keeps_out},
    },
    netlink::{
        question,
        socket::{AuditSocket, NetlinkError},
    },
    sample::footprint::{
        Footprint, LEAST_RECORDS_AN_UNLOAD, MOST_RECORDS_AN_UNLOAD, RECORDS_A_LOAD,
    },
};

/// `audit_failure`: a lost record is a panic (`AUDIT_FAIL_PANIC`, uapi).
const PANIC: u32 = 2;
/// Shortest wait time with which a record of ours is sure to find room on a host that is only busy, ticks: one second
/// at 1000 HZ, four at 250.
const LEAST_WAIT_TICKS: u32 = 1_000;
/// Time between two looks at the queue.
const LOOK: Duration = Duration::from_millis(1);
/// Time between two looks at settings that stand in the way.
const NEXT_LOOK: Duration = Duration::from_millis(200);
/// Longest wait for room in all of a phase, loading or unloading: a queue that stays full is what the user wants to
/// see measured.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why no program may be loaded.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LoadRisk {
    /// The host panics when it loses a record.
    #[error(
        "loading BPF programs can panic this host: a lost record panics it (auditctl -f 2), each load makes an audit \
         record that cannot wait, and {0}. Exclude these records first: auditctl -a always,exclude -F msgtype=BPF; \
         or accept the risk: --accept-panic-risk"
    )]
    Panic(String),
    /// It is not known whether it does.
    #[error(
        "loading BPF programs could panic this host: its failure mode is unknown ({0}). Run as root on the host, so \
         that /proc/kcore or audit netlink can be read; or accept the risk: --accept-panic-risk"
    )]
    Unknown(String),
}

/// The right to load programs, and the account of doing so.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact by itself, and none excludes another"
)]
pub struct LoadGuard {
    memory: Option<KernelMemory>,
    lists: Option<FilterLists>,
    /// Nobody needs to look: the user takes the risk, or the kernel will load nothing for this process.
    unconditional: bool,
    patience: Duration,
    loads: u64,
    unloads: u64,
    /// What each load and unload makes here.
    audits: Option<bool>,
    exact: bool,
    own_lost: u64,
    /// Some step that lost a record was seen by nobody but the kernel's count, which is everybody's.
    is_upper_bound: bool,
    /// The programs count our own losses by themselves now.
    witnessed: bool,
}

/// The kernel's count of lost records before a step.
#[derive(Clone, Copy, Debug)]
pub struct Before(Option<u32>);

impl LoadGuard {
    /// Looks whether programs may be loaded.
    ///
    /// # Errors
    /// When a record that is lost could panic the host, or when that is not known.
    pub fn open(facts: &Facts, accepts_risk: bool) -> Result<Self, LoadRisk> {
        let memory = KernelMemory::open(&facts.symbols, facts.types.as_ref());
        let why = memory.as_ref().err().map(ToString::to_string);
        let mut guard = Self {
            memory: memory.ok(),
            lists: FilterLists::find(&facts.symbols, facts.types.as_ref()),
            unconditional: accepts_risk || !facts.privileges.can_load_bpf(),
            patience: PATIENCE,
            loads: 0,
            unloads: 0,
            audits: None,
            exact: false,
            own_lost: 0,
            is_upper_bound: false,
            witnessed: false,
        };
        guard.may_load(why.as_deref())?;
        guard.expect_records();
        Ok(guard)
    }

    /// Waits for room and looks again whether a program may be loaded, right before it is.
    ///
    /// # Errors
    /// As [`LoadGuard::open`].
    pub fn before_load(&mut self) -> Result<Before, LoadRisk> {
        self.wait_for_room();
        self.may_load(None)?;
        Ok(self.before())
    }

    /// Books a load.
    pub fn after_load(&mut self, before: Before, loaded: bool) {
        if loaded {
            self.loads += 1;
        }
        self.after(before, loaded);
    }

    /// Waits for room, right before a program is taken out.
    pub fn before_unload(&mut self) -> Before {
        self.wait_for_room();
        self.before()
    }

    /// Books that a program was taken out.
    pub fn after_unload(&mut self, before: Before) {
        self.unloads += 1;
        self.after(before, true);
    }

    /// Whether programs may be taken out now. The settings may have changed since they were loaded.
    ///
    /// # Errors
    /// As [`LoadGuard::open`].
    pub fn may_unload(&mut self) -> Result<(), LoadRisk> {
        // Loading has taken its own time; this is another phase.
        self.patience = PATIENCE;
        if self.loads == self.unloads {
            return Ok(());
        }
        self.may_load(None)
    }

    /// Waits until taking programs out cannot panic the host, where nothing else can wait for that. Only a process that
    /// is killed takes them out before.
    pub fn wait_until_unloadable(&mut self) {
        let mut is_said = false;
        while let Err(risk @ LoadRisk::Panic(_)) = self.may_unload() {
            if !std::mem::replace(&mut is_said, true) {
                // A closed stderr is no reason to go on.
                let _ = writeln!(
                    io::stderr(),
                    "auditwatch: waiting to detach the BPF programs, because detaching makes audit records too: {risk}. \
                     To detach them now, at that risk: kill -9 {}",
                    std::process::id()
                );
            }
            thread::sleep(NEXT_LOOK);
        }
    }

    /// What loading and taking out made so far.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let made = |an_unload| {
            let records = self.loads * (RECORDS_A_LOAD + an_unload);
            self.audits.map(|audits| if audits { records } else { 0 })
        };
        Footprint {
            programs: self.loads,
            records: made(LEAST_RECORDS_AN_UNLOAD),
            records_most: made(MOST_RECORDS_AN_UNLOAD).filter(|_| self.exact),
            lost: self.lost_now().map(|_| self.own_lost),
            lost_exact: !self.is_upper_bound,
        }
    }

    fn may_load(&self, why_no_memory: Option<&str>) -> Result<(), LoadRisk> {
        if self.unconditional {
            return Ok(());
        }
        let state = self.state().map_err(|error| {
            LoadRisk::Unknown(match why_no_memory {
                Some(why) => format!("cannot read the kernel's memory: {why}; {error}"),
                None => error,
            })
        })?;
        if state.failure.is_some_and(|failure| failure < PANIC) {
            return Ok(());
        }
        let Some(failure) = state.failure else {
            return Err(LoadRisk::Unknown("no source has it".to_owned()));
        };
        if failure == PANIC && state.enabled == Some(0) {
            return Ok(());
        }
        let excluded = self
            .rules(filter_rule::EXCLUDE, &state)
            .map_err(|why| LoadRisk::Panic(format!("the audit rules cannot be read ({why})")))?;
        if !keeps_out(&excluded, BPF_RECORD) {
            return Err(LoadRisk::Panic("no exclude rule filters it".to_owned()));
        }
        // Other records of ours wait for room as everybody's do, unless nobody waits long here.
        if state
            .wait_time_jiffies
            .is_some_and(|ticks| ticks < LEAST_WAIT_TICKS)
            && self.is_audited(&state) != Some(false)
        {
            return Err(LoadRisk::Panic(format!(
                "the wait time is below {LEAST_WAIT_TICKS} ticks while a rule audits the bpf system call, which is called \
                 often; set a longer wait time, or remove that rule"
            )));
        }
        Ok(())
    }

    /// What is made of each load here.
    fn expect_records(&mut self) {
        let Ok(state) = self.state() else { return };
        let on = state.enabled.map(|enabled| enabled != 0);
        let lists = self
            .rules(filter_rule::EXCLUDE, &state)
            .and_then(|excluded| Ok((excluded, self.rules(filter_rule::TASK, &state)?)));
        let Ok((excluded, task)) = lists else {
            self.audits = on;
            return;
        };
        let kept_out = keeps_out(&excluded, BPF_RECORD);
        self.audits = on.map(|on| on && !kept_out);
        self.exact = match self.audits {
            Some(true) => {
                excluded.is_empty() && task.is_empty() && self.is_audited(&state) == Some(false)
            }
            Some(false) => on == Some(false) || self.is_audited(&state) == Some(false),
            None => false,
        };
    }

    /// Whether some rule has our own system calls recorded.
    fn is_audited(&self, state: &KernelState) -> Option<bool> {
        let rules = self.rules(filter_rule::EXIT, state).ok()?;
        let calls = [libc::SYS_bpf, libc::SYS_perf_event_open];
        Some(rules.iter().any(|rule| {
            calls
                .iter()
                .any(|&call| u32::try_from(call).is_ok_and(|call| rule.records(call)))
        }))
    }

    fn state(&self) -> Result<KernelState, String> {
        if let Some(memory) = &self.memory {
            let state = memory.state().map_err(|error| error.to_string())?;
            if state.failure.is_some() && state.enabled.is_some() {
                return Ok(state);
            }
        }
        Ok(self.ask(AuditSocket::status)?.state())
    }

    /// Asks netlink, unless that could leave tasks asleep.
    fn ask<T>(
        &self,
        question: impl FnOnce(&mut AuditSocket) -> Result<T, NetlinkError>,
    ) -> Result<T, String> {
        question::allow(self.memory.as_ref()).map_err(|refusal| refusal.to_string())?;
        AuditSocket::open()
            .and_then(|mut socket| question(&mut socket))
            .map_err(|error| match error.source() {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            })
    }

    fn rules(&self, list: u32, state: &KernelState) -> Result<Vec<FilterRule>, String> {
        if let (Some(memory), Some(lists)) = (&self.memory, &self.lists) {
            return lists.rules(memory, list).map_err(|error| error.to_string());
        }
        if state.is_half_full() {
            return Err("netlink was not used: the queue is more than half full".to_owned());
        }
        let rules = self.ask(AuditSocket::rules)?;
        Ok(rules.into_iter().filter(|rule| rule.list == list).collect())
    }

    /// Waits until half of the queue is free, as long as patience lasts.
    fn wait_for_room(&mut self) {
        let begun = Instant::now();
        while self.is_crowded() && begun.elapsed() < self.patience {
            thread::sleep(LOOK);
        }
        self.patience = self.patience.saturating_sub(begun.elapsed());
    }

    fn is_crowded(&self) -> bool {
        let state = self.memory.as_ref().and_then(|memory| memory.state().ok());
        state.is_some_and(|state| state.is_half_full())
    }

    /// From here on the programs count our own losses; or they do no longer, and have counted so many.
    pub fn set_witness(&mut self, in_place: bool, counted: u32) {
        self.witnessed = in_place;
        self.own_lost += u64::from(counted);
    }

    fn before(&self) -> Before {
        Before(self.lost_now().filter(|_| !self.witnessed))
    }

    /// A step makes one record that can be lost. What was lost meanwhile may have been somebody else's.
    fn after(&mut self, before: Before, made_record: bool) {
        if let (Before(Some(before)), Some(now)) = (before, self.lost_now())
            && now != before
            && made_record
            && self.audits != Some(false)
        {
            self.own_lost += 1;
            self.is_upper_bound = true;
        }
    }

    fn lost_now(&self) -> Option<u32> {
        self.memory.as_ref()?.state().ok()?.lost
    }
}
