//! The probe: the BPF programs in place, read as [`Sample`]s.
//!
//! In: kernel facts and the hook plan. Out: samples of raw totals. It must not
//! derive anything from them, and it changes nothing on the host: dropping a
//! [`Probe`] detaches and unloads all of it.

mod attach;
mod cgroup_names;
mod cpu_sampler;
mod demand_reader;
mod diagnostics;
mod error;
mod globals;
mod loader;
mod misses;
mod reading;
mod sparse_btf;
mod talker_reader;
mod undisturbed;
mod wire;

use std::collections::BTreeMap;

use aya::{
    Ebpf,
    programs::{Program, RawTracePoint, RawTracePointRunOptions, TestRun as _},
};

pub use self::error::ProbeError;
use self::{
    attach::attach,
    cpu_sampler::CpuSampler,
    diagnostics::Diagnostics,
    error::REFUSED_REMEDY,
    globals::{Globals, Sight},
    loader::load,
    reading::{Depth, Maps},
    sparse_btf::sparse_btf,
    undisturbed::Undisturbed,
};
use crate::{
    health::{HookReport, Verdict},
    kernel::{symbols::Symbols, types::KernelTypes},
    plan::{HookPlan, Role},
    sample::{KernelState, Sample},
};

const READ_STATE: &str = "read_state";
const OPEN_GATE: &str = "open_gate";
const CLOSE_GATE: &str = "close_gate";
const SET_LIMITS: &str = "set_limits";

/// What is counted beside what each trace needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// What this process's descendants do is counted apart.
    pub follows_command: bool,
    /// Most talkers told apart by their process; 0: it is not counted who causes records.
    pub talker_slots: u32,
}

impl Extent {
    /// Talkers that are told apart unless asked otherwise.
    pub const TALKER_SLOTS: u32 = auditwatch_ebpf::TALKER_SLOTS;
}

/// The programs in place.
pub struct Probe {
    ebpf: Ebpf,
    maps: Maps,
    diagnostics: Diagnostics,
    reports: Vec<HookReport>,
    programs: Vec<(Role, &'static str)>,
    misses_at_zero: Vec<u64>,
    /// Some program is a probe, which reading the maps may disturb.
    by_probes: bool,
    blind_spots: Vec<String>,
}

impl Probe {
    /// Loads and attaches what the plan names. `hz`: ticks a second of the kernel's clock, where known.
    /// Nothing is counted before [`Probe::open_gate`].
    ///
    /// # Errors
    /// When the kernel refuses BPF, or has none of the functions that the counts
    /// rest on.
    pub fn attach(
        symbols: &Symbols,
        types: Option<&KernelTypes>,
        plan: &[HookPlan],
        extent: Extent,
        hz: Option<u32>,
    ) -> Result<Self, ProbeError> {
        let globals = Globals::new(symbols, types, extent, hz);
        let mut ebpf = load(&globals)?;
        let btf = types.map(|types| sparse_btf(types, plan));
        let attached = attach(&mut ebpf, btf.as_ref(), plan);
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
        load_readers(&mut ebpf)?;
        let sight = globals.sight();
        let mut blind_spots = Vec::new();
        let cpu = if sight.command {
            CpuSampler::attach(&mut ebpf, symbols.audit_code())
                .map_err(|cause| {
                    blind_spots.push(format!(
                        "how much of the command's system time is audit's is not measured: {cause}"
                    ));
                })
                .ok()
        } else {
            if extent.follows_command {
                blind_spots.push(
                    "what the command does is not counted apart: the kernel's types do not tell who \
                     descends from whom"
                        .to_owned(),
                );
            }
            None
        };
        let maps = Maps::take(
            &mut ebpf,
            &attached.reports,
            sight,
            globals.ticks_per_bin(),
            cpu,
        )?;
        let diagnostics = Diagnostics::new(&mut ebpf);
        let by_probes = attached.programs.iter().any(|(_, name)| {
            ebpf.program(name)
                .is_some_and(|program| matches!(program, Program::KProbe(_)))
        });
        let misses_at_zero = vec![0; attached.programs.len()];
        Ok(Self {
            ebpf,
            maps,
            diagnostics,
            reports: attached.reports,
            programs: attached.programs,
            misses_at_zero,
            by_probes,
            blind_spots,
        })
    }

    /// A probe with no hook in place, which reads the kernel's variables and nothing else.
    ///
    /// # Errors
    /// When the kernel refuses BPF.
    pub fn reader(symbols: &Symbols, types: Option<&KernelTypes>) -> Result<Self, ProbeError> {
        let globals = Globals::new(symbols, types, Extent::default(), None);
        let mut ebpf = load(&globals)?;
        load_readers(&mut ebpf)?;
        let maps = Maps::take(
            &mut ebpf,
            &[],
            Sight::default(),
            globals.ticks_per_bin(),
            None,
        )?;
        let diagnostics = Diagnostics::new(&mut ebpf);
        Ok(Self {
            ebpf,
            maps,
            diagnostics,
            reports: Vec::new(),
            programs: Vec::new(),
            misses_at_zero: Vec::new(),
            by_probes: false,
            blind_spots: Vec::new(),
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
        self.run_with(SET_LIMITS, [limit, wait_time_jiffies])
    }

    /// Reads the kernel's variables now.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn state(&mut self) -> Result<KernelState, ProbeError> {
        self.run(READ_STATE)?;
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
        let mut zero = self.collect(Depth::Least)?;
        // The kernel counts misses whatever the gate: they are read next to it.
        self.misses_at_zero = self.misses()?;
        zero.shortfalls.missed = self.missed(&self.misses_at_zero);
        self.run(OPEN_GATE)?;
        let state = self.maps.state()?;
        zero.at_ns = state.at_ns;
        zero.state = wire::state(&state);
        if zero.stalls.is_none() {
            zero.state.waiters = None;
        }
        Ok(zero)
    }

    /// Reads all totals while counting goes on.
    ///
    /// # Errors
    /// As [`Probe::open_gate`].
    pub fn sample(&mut self) -> Result<Sample, ProbeError> {
        self.run(READ_STATE)?;
        self.collect(Depth::Usual)
    }

    /// Stops to count, and reads the final totals.
    ///
    /// # Errors
    /// As [`Probe::open_gate`].
    pub fn close_gate(&mut self) -> Result<Sample, ProbeError> {
        let _undisturbed = Undisturbed::begin();
        self.run(CLOSE_GATE)?;
        // As at the zero point.
        let misses = self.misses()?;
        let mut last = self.collect(Depth::Whole)?;
        last.shortfalls.missed = self.missed(&misses);
        Ok(last)
    }

    fn collect(&mut self, depth: Depth) -> Result<Sample, ProbeError> {
        let _undisturbed = self.by_probes.then(Undisturbed::begin);
        let mut sample = self.maps.sample(depth)?;
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
            .map(|(_, name)| misses::recursion_misses(&self.ebpf, name))
            .collect()
    }

    fn run(&self, name: &'static str) -> Result<(), ProbeError> {
        self.run_with(name, [0; 2])
    }

    /// Runs a program on demand; it finds the words as its first arguments.
    fn run_with(&self, name: &'static str, words: [u32; 2]) -> Result<(), ProbeError> {
        let program: &RawTracePoint = self
            .ebpf
            .program(name)
            .and_then(|program| program.try_into().ok())
            .ok_or(ProbeError::Missing {
                kind: "program",
                name,
            })?;
        let mut options = RawTracePointRunOptions::new();
        options.args[..2].copy_from_slice(&words.map(u64::from));
        program
            .test_run(options)
            .map_err(|source| ProbeError::Run {
                name,
                source: Box::new(source),
            })?;
        Ok(())
    }
}

/// Reads the kernel's variables once, with no hook in place.
///
/// # Errors
/// When the kernel refuses BPF.
pub fn read_kernel_state(
    symbols: &Symbols,
    types: Option<&KernelTypes>,
) -> Result<KernelState, ProbeError> {
    Probe::reader(symbols, types)?.state()
}

fn load_readers(ebpf: &mut Ebpf) -> Result<(), ProbeError> {
    for name in [READ_STATE, OPEN_GATE, CLOSE_GATE, SET_LIMITS] {
        let program: &mut RawTracePoint = ebpf
            .program_mut(name)
            .and_then(|program| program.try_into().ok())
            .ok_or(ProbeError::Missing {
                kind: "program",
                name,
            })?;
        program.load().map_err(|source| {
            if error::is_refusal(&source) {
                ProbeError::Refused {
                    cause: error::one_line(&source),
                    remedy: REFUSED_REMEDY,
                }
            } else {
                ProbeError::Run {
                    name,
                    source: Box::new(source),
                }
            }
        })?;
    }
    Ok(())
}
