//! Reading the maps into a [`Sample`].

use std::collections::BTreeMap;

use auditwatch_ebpf as bpf;
use aya::{
    Ebpf,
    maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf},
};

use super::{
    error::ProbeError,
    wire::{self, Wire},
};
use crate::{
    health::{HookReport, Verdict},
    plan::Role,
    sample::{Attempts, Delivery, Drain, Event, Kept, Sample, Shortfalls, Source, Stalls, Waiter},
};

/// The maps, and which hooks fill them.
pub(super) struct Maps {
    attempts: PerCpuArray<MapData, Wire<bpf::AttemptRow>>,
    drain: Array<MapData, Wire<bpf::DrainLedger>>,
    losses: HashMap<MapData, u64, Wire<bpf::LossCount>>,
    types: Array<MapData, Wire<bpf::TypeCounts>>,
    waiters: HashMap<MapData, u32, Wire<bpf::StallStart>>,
    stalls: Array<MapData, Wire<bpf::StallLedger>>,
    state: Array<MapData, Wire<bpf::KernelState>>,
    live: Array<MapData, Wire<bpf::LiveState>>,
    rare: RingBuf<MapData>,
    served: Vec<Role>,
    no_auxiliary: bool,
}

impl Maps {
    /// Takes the maps out of the object.
    /// Stalls count as served only where the programs can see them.
    pub(super) fn take(
        ebpf: &mut Ebpf,
        reports: &[HookReport],
        stalls_show: bool,
    ) -> Result<Self, ProbeError> {
        let served = reports
            .iter()
            .filter(|report| matches!(report.verdict, Verdict::Ok | Verdict::Degraded))
            .map(|report| report.role)
            .filter(|&role| role != Role::Stalls || stalls_show)
            .collect();
        let no_auxiliary = reports
            .iter()
            .any(|report| report.role == Role::Auxiliary && report.verdict == Verdict::Unneeded);
        Ok(Self {
            attempts: typed(ebpf, bpf::ATTEMPTS_MAP)?,
            drain: typed(ebpf, bpf::DRAIN_MAP)?,
            losses: typed(ebpf, bpf::LOSSES_MAP)?,
            types: typed(ebpf, bpf::TYPES_MAP)?,
            waiters: typed(ebpf, bpf::WAITERS_MAP)?,
            stalls: typed(ebpf, bpf::STALLS_MAP)?,
            state: typed(ebpf, bpf::STATE_MAP)?,
            live: typed(ebpf, bpf::LIVE_MAP)?,
            rare: typed(ebpf, bpf::RARE_MAP)?,
            served,
            no_auxiliary,
        })
    }

    /// The kernel's variables as last read.
    pub(super) fn state(&self) -> Result<bpf::KernelState, ProbeError> {
        first(&self.state, bpf::STATE_MAP)
    }

    /// Writes the limit and wait time in force.
    pub(super) fn set_limits(&mut self, limit: u32, wait_time: u32) -> Result<(), ProbeError> {
        let mut live = first(&self.live, bpf::LIVE_MAP)?;
        live.limit = limit;
        live.wait_time = wait_time;
        live.limits_known = 1;
        self.live
            .set(0, Wire(live), 0)
            .map_err(|source| ProbeError::Map {
                name: bpf::LIVE_MAP,
                source,
            })
    }

    /// Reads everything.
    pub(super) fn sample(&mut self) -> Result<Sample, ProbeError> {
        let state = self.state()?;
        let drain = first(&self.drain, bpf::DRAIN_MAP)?;
        let readable = wire::state(&state);
        let events = self.events();
        Ok(Sample {
            at_ns: state.at_ns,
            source: Source::Bpf,
            attempts: self.when(Role::Attempts, || self.attempts(readable.depth.is_some()))?,
            losses: self.when(Role::Losses, || self.losses())?,
            drain: self.when(Role::Drain, || self.drained(&drain))?,
            delivery: self.when(Role::Delivery, || {
                Ok(Delivery {
                    delivered: drain.delivered,
                    refused: drain.refused,
                })
            })?,
            retry: self.when(Role::Retry, || {
                Ok(Kept {
                    calls: drain.retried,
                    depth_max: readable.retry_depth.map(|_| drain.retry_depth_max),
                })
            })?,
            hold: self.when(Role::Hold, || {
                Ok(Kept {
                    calls: drain.held,
                    depth_max: readable.hold_depth.map(|_| drain.hold_depth_max),
                })
            })?,
            reheld: self.when(Role::Rehold, || Ok(drain.reheld))?,
            resets: self.when(Role::Reset, || Ok(drain.resets))?,
            passes: self.when(Role::Passes, || Ok(drain.passes))?,
            auxiliary: if self.no_auxiliary {
                Some(0)
            } else {
                self.when(Role::Auxiliary, || Ok(drain.auxiliary))?
            },
            stalls: self.when(Role::Stalls, || self.stalls())?,
            shortfalls: Shortfalls {
                missed: BTreeMap::new(),
                rare_missed: drain.rare_missed,
                losses_unnamed: drain.losses_unnamed,
            },
            state: readable,
            events,
        })
    }

    fn when<T>(
        &self,
        role: Role,
        read: impl FnOnce() -> Result<T, ProbeError>,
    ) -> Result<Option<T>, ProbeError> {
        if self.served.contains(&role) {
            read().map(Some)
        } else {
            Ok(None)
        }
    }

    fn attempts(&self, depth_is_readable: bool) -> Result<Attempts, ProbeError> {
        let rows = self.attempts.get(&0, 0).map_err(|source| ProbeError::Map {
            name: bpf::ATTEMPTS_MAP,
            source,
        })?;
        let mut sum = Attempts::default();
        let mut depth_max = 0;
        for Wire(row) in rows.iter() {
            sum.attempted += row.attempted;
            sum.own += row.own;
            sum.filtered += row.filtered;
            sum.user_filtered += row.user_filtered;
            depth_max = depth_max.max(row.depth_max);
        }
        sum.depth_max = depth_is_readable.then_some(depth_max);
        Ok(sum)
    }

    fn losses(&self) -> Result<BTreeMap<String, u64>, ProbeError> {
        let mut entries = Vec::new();
        for entry in &self.losses {
            let (address, Wire(count)) = entry.map_err(|source| ProbeError::Map {
                name: bpf::LOSSES_MAP,
                source,
            })?;
            entries.push((address, count));
        }
        Ok(wire::losses(&entries))
    }

    fn drained(&self, drain: &bpf::DrainLedger) -> Result<Drain, ProbeError> {
        let counts = first(&self.types, bpf::TYPES_MAP)?.counts;
        let types = (bpf::TYPE_BASE..)
            .zip(counts)
            .filter(|&(_, count)| count > 0)
            .collect();
        Ok(Drain {
            drained: drain.drained,
            area_bytes: drain.area_bytes,
            area_max_bytes: drain.area_max_bytes,
            depth_max: drain.depth_max,
            depth_hist: drain.depth_hist.to_vec(),
            types,
        })
    }

    fn stalls(&self) -> Result<Stalls, ProbeError> {
        let ledger = first(&self.stalls, bpf::STALLS_MAP)?;
        let live = first(&self.live, bpf::LIVE_MAP)?;
        let mut waiters = Vec::new();
        if live.waiters > 0 {
            // A task may leave while the map is read: what cannot be read then
            // is no waiter any more.
            for (thread, Wire(start)) in self.waiters.iter().flatten() {
                waiters.push(Waiter {
                    thread,
                    since_ns: start.at_ns,
                });
            }
        }
        Ok(Stalls {
            count: ledger.count,
            total_ns: ledger.total_ns,
            max_ns: ledger.max_ns,
            refused: ledger.refused,
            met_full: ledger.met_full,
            untracked: ledger.untracked,
            hist: ledger.hist.to_vec(),
            waiters,
        })
    }

    fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(item) = self.rare.next() {
            events.extend(wire::events(&item).unwrap_or_default());
        }
        events
    }
}

fn typed<T: TryFrom<Map, Error = aya::maps::MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, ProbeError> {
    let map = ebpf
        .take_map(name)
        .ok_or(ProbeError::Missing { kind: "map", name })?;
    T::try_from(map).map_err(|source| ProbeError::Map { name, source })
}

fn first<T: Copy>(array: &Array<MapData, Wire<T>>, name: &'static str) -> Result<T, ProbeError>
where
    Wire<T>: aya::Pod,
{
    array
        .get(&0, 0)
        .map(|Wire(value)| value)
        .map_err(|source| ProbeError::Map { name, source })
}
