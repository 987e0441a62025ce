//! Samples of what the traced command's tasks do on the CPUs: how much of their time
//! in the kernel is audit's.
//!
//! In: the loaded object, and where the audit code is. Out: counts. It must leave the
//! rest of the probe alone: where it cannot be put in place, its counts are missing.

use std::collections::BTreeMap;

use auditwatch_ebpf as bpf;
use aya::{
    maps::{HashMap, MapData, MapError, PerCpuArray, StackTraceMap},
    util::online_cpus,
};

use super::{
    error::{ProbeError, one_line},
    maps::typed,
    object::Object,
    wire::Wire,
};
use crate::{kernel::symbols::AuditCode, sample::CpuSamples};

const PROGRAM: &str = "sample_cpu";
/// Samples a second on each CPU: often enough for a command of a second, and no
/// multiple or part of any usual clock rate.
const PER_S: u64 = 397;

/// The samples' maps; the programs are in place as long as the object is.
pub(super) struct CpuSampler {
    rows: PerCpuArray<MapData, Wire<bpf::CpuRow>>,
    stacks: StackTraceMap<MapData>,
    counts: HashMap<MapData, u32, u64>,
    code: AuditCode,
    /// Whether audit code is on a stack, by the stack's number: stacks never change.
    known: BTreeMap<u32, bool>,
}

impl CpuSampler {
    /// Puts the samplers in place, one on each CPU; the error says why not.
    pub(super) fn attach(object: &mut Object, code: &AuditCode) -> Result<Self, String> {
        if code.is_empty() {
            return Err("/proc/kallsyms does not have the address of the audit code".to_owned());
        }
        object.load(PROGRAM, 0).map_err(|error| one_line(&error))?;
        for cpu in online_cpus().map_err(|(file, error)| format!("{file}: {error}"))? {
            object
                .attach_clock(PROGRAM, cpu, PER_S)
                .map_err(|error| one_line(&error))?;
        }
        Self::take(object, code).map_err(|error| error.to_string())
    }

    fn take(object: &mut Object, code: &AuditCode) -> Result<Self, ProbeError> {
        Ok(Self {
            rows: typed(object, bpf::CPU_MAP)?,
            stacks: typed(object, bpf::STACKS_MAP)?,
            counts: typed(object, bpf::STACK_COUNTS_MAP)?,
            code: code.clone(),
            known: BTreeMap::new(),
        })
    }

    /// The samples so far.
    pub(super) fn samples(&mut self) -> Result<CpuSamples, ProbeError> {
        let failed = |name| move |source| ProbeError::Map { name, source };
        let mut samples = CpuSamples::default();
        let rows = self.rows.get(&0, 0).map_err(failed(bpf::CPU_MAP))?;
        for Wire(row) in rows.iter() {
            samples.user += row.outside;
            samples.unplaced += row.unplaced;
        }
        let mut counts = Vec::new();
        for entry in &self.counts {
            counts.push(entry.map_err(failed(bpf::STACK_COUNTS_MAP))?);
        }
        samples.system = samples.unplaced;
        for (stack, count) in counts {
            samples.system += count;
            match self.is_audit(stack).map_err(failed(bpf::STACKS_MAP))? {
                Some(true) => samples.audit += count,
                Some(false) => {}
                None => samples.unplaced += count,
            }
        }
        Ok(samples)
    }

    /// Whether audit code is on a stack; `None` where the stack is gone.
    fn is_audit(&mut self, stack: u32) -> Result<Option<bool>, MapError> {
        if let Some(&known) = self.known.get(&stack) {
            return Ok(Some(known));
        }
        let trace = match self.stacks.get(&stack, 0) {
            Ok(trace) => trace,
            Err(MapError::KeyNotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is = trace
            .frames()
            .iter()
            .any(|frame| self.code.contains(frame.ip));
        self.known.insert(stack, is);
        Ok(Some(is))
    }
}
