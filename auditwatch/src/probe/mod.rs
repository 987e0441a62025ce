//! The probe: the BPF programs in place, read as [`Sample`]s.
//!
//! In: kernel facts and the hook plan. Out: samples of raw totals. It must not
//! derive anything from them, and it changes nothing on the host: dropping a
//! [`Probe`] detaches and unloads all of it.

mod attach;
mod bpf;
mod cgroup_names;
mod cpu_sampler;
mod demand_reader;
mod diagnostics;
mod error;
mod globals;
pub mod load_guard;
mod maps;
mod object;
mod reading;
pub mod realtime;
mod talker_reader;
mod wire;

use std::{collections::BTreeMap, time::Duration};

pub use self::error::{ObjectError, ProbeError, ProgramError};
use self::{
    attach::attach,
    cpu_sampler::CpuSampler,
    diagnostics::Diagnostics,
    error::REFUSED_REMEDY,
    globals::Globals,
    object::Object,
    reading::{Maps, look_at_waiters},
    realtime::Undisturbed,
};
use auditwatch_ebpf::{GATE_AHEAD, GATE_AS_IT_IS, GATE_OPEN, GATE_SHUT, SET_LIMITS};

use crate::{
    hooks::{
        health::{HookReport, Verdict},
        plan::{HookPlan, Role},
    },
    kernel::{audit_state::KernelState, symbols::Symbols, types::KernelTypes},
    probe::load_guard::{LoadGuard, LoadRisk},
    sample::{Sample, footprint::Footprint},
};

/// Reads the kernel's variables, and sets the gate.
const READER: &str = "read_state";

/// What is counted beside what each trace needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeOptions {
    /// What this process's descendants do is counted apart.
    pub follows_command: bool,
    /// Most talkers told apart by their process; 0: it is not counted who causes records.
    pub talker_slots: u32,
}

impl ProbeOptions {
    /// Talkers that are told apart unless asked otherwise.
    pub const TALKER_SLOTS: u32 = auditwatch_ebpf::TALKER_SLOTS;
}

/// The programs in place.
pub struct Probe {
    object: Object,
    maps: Maps,
    diagnostics: Diagnostics,
    reports: Vec<HookReport>,
    programs: Vec<(Role, &'static str)>,
    misses_at_zero: Vec<u64>,
    /// Some program is a probe, which reading the maps may disturb.
    by_probes: bool,
    blind_spots: Vec<String>,
    /// Time of the last sample, ns of `CLOCK_MONOTONIC`.
    sampled_ns: u64,
}

impl Probe {
    /// Loads and attaches what the plan names. `hz`: ticks a second of the kernel's clock, where known.
    /// Nothing is counted before [`Probe::open_gate`].
    ///
    /// # Errors
    /// When the kernel refuses BPF, or has none of the functions that the counts
    /// rest on, and when loading more programs would risk a panic.
    pub fn attach(
        guard: LoadGuard,
        symbols: &Symbols,
        types: Option<&KernelTypes>,
        plan: &[HookPlan],
        extent: ProbeOptions,
        hz: Option<u32>,
    ) -> Result<Self, ProbeError> {
        let globals = Globals::new(symbols, types, extent, hz);
        let mut object = Object::new(&globals, guard)?;
        load_reader(&mut object)?;
        // The programs learn from it which process is auditwatch.
        read(&object, GATE_AHEAD)?;
        let attached = attach(&mut object, types, plan)?;
        if let Some(cause) = attached.refused {
            return Err(ProbeError::Refused {
                cause,
                remedy: REFUSED_REMEDY,
            });
        }
        // Without attempts and drains there is no ledger.
        for role in [Role::Attempts, Role::Drain] {
            if let Some(report) = attached.reports.iter().find(|report| report.role == role)
                && !matches!(report.verdict, Verdict::Ok | Verdict::Degraded)
            {
                return Err(ProbeError::EssentialHook {
                    function: report.name.clone(),
                    cause: report.reason.clone().unwrap_or_default(),
                });
            }
        }
        if symbols.address("audit_queue").is_none() {
            // The programs learn where the queue is from a record that passes: one of loading the reader anew.
            object.unload(READER);
            load_reader(&mut object)?;
        }
        let capabilities = globals.capabilities();
        let mut blind_spots = Vec::new();
        let cpu = if capabilities.command {
            CpuSampler::attach(&mut object, symbols.audit_code())
                .map_err(|cause| {
                    blind_spots.push(format!(
                        "audit's share of COMMAND's system time is not measured: {cause}"
                    ));
                })
                .ok()
        } else {
            if extent.follows_command {
                blind_spots.push(
                    "COMMAND's records are not counted separately: the kernel's types do not give the parent of a \
                     task"
                        .to_owned(),
                );
            }
            None
        };
        let maps = Maps::take(
            &mut object,
            &attached.reports,
            capabilities,
            globals.ticks_per_bin(),
            cpu,
        )?;
        let diagnostics = Diagnostics::new(&object, READER);
        let by_probes = attached
            .programs
            .iter()
            .any(|(_, name)| object.is_probe(name));
        let misses_at_zero = vec![0; attached.programs.len()];
        Ok(Self {
            object,
            maps,
            diagnostics,
            reports: attached.reports,
            programs: attached.programs,
            misses_at_zero,
            by_probes,
            blind_spots,
            sampled_ns: 0,
        })
    }

    /// What of a command cannot be seen here, in sentences.
    #[must_use]
    pub fn blind_spots(&self) -> &[String] {
        &self.blind_spots
    }

    /// What became of each hook.
    #[must_use]
    pub fn hooks(&self) -> &[HookReport] {
        &self.reports
    }

    /// Tells the programs the limit and wait time in force, where they cannot read
    /// them; they follow them from there through each `AUDIT_SET`.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn set_limits(&mut self, limit: u32, wait_time_jiffies: u32) -> Result<(), ProbeError> {
        order(
            &self.object,
            [SET_LIMITS, limit, wait_time_jiffies].map(u64::from),
        )
    }

    /// Reads the kernel's variables now.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn state(&mut self) -> Result<KernelState, ProbeError> {
        self.read(GATE_AS_IT_IS)?;
        Ok(wire::state(&self.maps.state()?))
    }

    /// Starts to count: the zero point. Its totals are those of the moment before,
    /// in which nothing was counted yet, beside the kernel's variables of the very
    /// moment.
    ///
    /// # Errors
    /// When the program cannot be run or a map cannot be read.
    pub fn open_gate(&mut self) -> Result<Sample, ProbeError> {
        let _undisturbed = Undisturbed::begin();
        let mut zero = self.collect()?;
        // The kernel counts misses whatever the gate: they are read next to it.
        self.misses_at_zero = self.misses()?;
        zero.shortfalls.missed = self.missed(&self.misses_at_zero);
        self.read(GATE_OPEN)?;
        let state = self.maps.state()?;
        zero.at_ns = state.at_ns;
        zero.state = wire::state(&state);
        if zero.stalls.is_none() {
            zero.state.waiters = None;
        }
        Ok(zero)
    }

    /// Reads all totals while counting goes on. Talkers come with the sample after [`Probe::tend`] has found the
    /// names of all that have changed.
    ///
    /// # Errors
    /// As [`Probe::open_gate`].
    pub fn sample(&mut self) -> Result<Sample, ProbeError> {
        let mut sample = {
            let _undisturbed = self.by_probes.then(Undisturbed::begin);
            self.read(GATE_AS_IT_IS)?;
            self.collect()?
        };
        self.sampled_ns = sample.at_ns;
        look_at_waiters(&mut sample);
        sample.talkers = self.maps.hand_out_talkers();
        Ok(sample)
    }

    /// Does what no sample is to wait for, in about so much time: now and then it reads which talkers have changed,
    /// and looks for their names.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn tend(&mut self, budget: Duration) -> Result<(), ProbeError> {
        if self.maps.talkers_are_due(self.sampled_ns) {
            let _undisturbed = self.by_probes.then(Undisturbed::begin);
            self.maps.read_talkers()?;
        }
        self.maps.name_talkers(Some(budget));
        Ok(())
    }

    /// Stops to count, and reads the final totals.
    ///
    /// # Errors
    /// As [`Probe::open_gate`].
    pub fn close_gate(&mut self) -> Result<Sample, ProbeError> {
        let mut last = {
            let _undisturbed = Undisturbed::begin();
            self.read(GATE_SHUT)?;
            // As at the zero point.
            let misses = self.misses()?;
            let mut last = self.collect()?;
            last.shortfalls.missed = self.missed(&misses);
            last
        };
        look_at_waiters(&mut last);
        if self.maps.counts_talkers() {
            // Nothing is counted any more: there is time for all of them.
            self.maps.read_talkers()?;
            self.maps.name_talkers(None);
            last.talkers = Some(self.maps.hand_out_talkers().unwrap_or_default());
        }
        Ok(last)
    }

    fn collect(&mut self) -> Result<Sample, ProbeError> {
        let mut sample = self.maps.sample()?;
        self.diagnostics.flush();
        sample.shortfalls.missed = self.missed(&self.misses()?);
        Ok(sample)
    }

    /// Misses since the zero point, by program; those that missed nothing are left
    /// out.
    fn missed(&self, misses: &[u64]) -> BTreeMap<String, u64> {
        let since_zero = self
            .programs
            .iter()
            .zip(misses)
            .zip(&self.misses_at_zero)
            .map(|(((_, name), now), zero)| ((*name).to_owned(), now.saturating_sub(*zero)));
        since_zero.filter(|(_, missed)| *missed > 0).collect()
    }

    fn misses(&self) -> Result<Vec<u64>, ProbeError> {
        self.programs
            .iter()
            .map(|(_, name)| self.object.misses(name))
            .collect()
    }

    /// Reads the kernel's variables, and leaves the gate as ordered.
    fn read(&self, gate: u32) -> Result<(), ProbeError> {
        read(&self.object, gate)
    }

    /// Whether the programs may be taken out now: the host's settings may have changed since they were loaded.
    ///
    /// # Errors
    /// When that could panic the host.
    pub fn may_detach(&mut self) -> Result<(), LoadRisk> {
        self.object.may_unload()
    }

    /// Waits until the programs may be taken out.
    pub fn wait_until_detachable(&mut self) {
        self.object.wait_until_unloadable();
    }

    /// Takes all programs out of the kernel, each when the queue has room for the record that this makes, and says
    /// what loading them and this came to.
    #[must_use]
    pub fn detach(&mut self) -> Footprint {
        let losses: Vec<&'static str> = self
            .programs
            .iter()
            .filter(|(role, _)| *role == Role::Losses)
            .map(|&(_, name)| name)
            .collect();
        let maps = &self.maps;
        // What cannot be read was counted by nobody.
        self.object
            .unload_all(&losses, || maps.own_lost().unwrap_or_default())
    }
}

fn read(object: &Object, gate: u32) -> Result<(), ProbeError> {
    order(object, [gate, 0, 0].map(u64::from))
}

/// Runs the reader once, with an order and what belongs to it.
fn order(object: &Object, arguments: [u64; 3]) -> Result<(), ProbeError> {
    object
        .run(READER, &arguments)
        .map_err(|source| ProbeError::Run {
            name: READER,
            source: Box::new(source),
        })
}

fn load_reader(object: &mut Object) -> Result<(), ProbeError> {
    object.load(READER, 0).map_err(|error| match error {
        ProgramError::Risk(risk) => risk.into(),
        error if error::is_refusal(&error) => ProbeError::Refused {
            cause: error::one_line(&error),
            remedy: REFUSED_REMEDY,
        },
        error => ProbeError::Run {
            name: READER,
            source: Box::new(error),
        },
    })
}
