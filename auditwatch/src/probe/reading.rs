//! Reading the maps into a [`Sample`].

use std::collections::BTreeMap;

use auditwatch_ebpf as bpf;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, RingBuf};

use super::{
    cpu_sampler::CpuSampler,
    demand_reader::DemandReader,
    error::ProbeError,
    globals::Sight,
    object::Object,
    talker_reader::TalkerReader,
    wire::{self, Wire},
};
use crate::{
    health::{HookReport, Verdict},
    plan::Role,
    sample::{
        Areas, Attempts, CommandCounts, CommandStalls, Delivery, Depths, Drain, Event, Kept,
        Sample, Shortfalls, Source, Stalls, Talker, Waiter,
    },
};

/// The maps, and which hooks fill them.
pub(super) struct Maps {
    attempts: PerCpuArray<MapData, Wire<bpf::AttemptRow>>,
    drain: Array<MapData, Wire<bpf::DrainLedger>>,
    losses: HashMap<MapData, u64, Wire<bpf::LossCount>>,
    types: Array<MapData, Wire<bpf::TypeCounts>>,
    waiters: HashMap<MapData, u32, Wire<bpf::StallStart>>,
    stalls: Array<MapData, Wire<bpf::StallLedger>>,
    demand: DemandReader,
    consumer: Array<MapData, Wire<bpf::ConsumerLedger>>,
    state: Array<MapData, Wire<bpf::KernelState>>,
    live: Array<MapData, Wire<bpf::LiveState>>,
    rare: RingBuf<MapData>,
    served: Vec<Role>,
    no_auxiliary: bool,
    sight: Sight,
    /// Of the traced command, where one is followed.
    cpu: Option<CpuSampler>,
    /// Where talkers are counted.
    talkers: Option<TalkerReader>,
}

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// What each interval needs, and the rest now and then.
    Usual,
    /// Nothing but what an interval needs.
    Least,
    /// Everything.
    Whole,
}

/// Losses by the kernel's message.
type ByMessage = BTreeMap<String, u64>;

/// Hooks that tell deliveries from failed ones together.
const DELIVERY_NEEDS: [Role; 6] = [
    Role::Delivery,
    Role::Passes,
    Role::Drain,
    Role::Retry,
    Role::Hold,
    Role::Rehold,
];

impl Maps {
    /// Takes the maps out of the object. `sight` is what its programs can see.
    pub(super) fn take(
        object: &mut Object,
        reports: &[HookReport],
        sight: Sight,
        ticks_per_bin: u32,
        cpu: Option<CpuSampler>,
    ) -> Result<Self, ProbeError> {
        let in_place: Vec<Role> = reports
            .iter()
            .filter(|report| matches!(report.verdict, Verdict::Ok | Verdict::Degraded))
            .map(|report| report.role)
            .collect();
        let served = in_place
            .iter()
            .copied()
            .filter(|role| match role {
                Role::Stalls => sight.stalls,
                Role::Consumer => sight.sockets,
                Role::Delivery => DELIVERY_NEEDS.iter().all(|need| in_place.contains(need)),
                _ => true,
            })
            .collect();
        let no_auxiliary = reports
            .iter()
            .any(|report| report.role == Role::Auxiliary && report.verdict == Verdict::Unneeded);
        Ok(Self {
            attempts: typed(object, bpf::ATTEMPTS_MAP)?,
            drain: typed(object, bpf::DRAIN_MAP)?,
            losses: typed(object, bpf::LOSSES_MAP)?,
            types: typed(object, bpf::TYPES_MAP)?,
            waiters: typed(object, bpf::WAITERS_MAP)?,
            stalls: typed(object, bpf::STALLS_MAP)?,
            demand: DemandReader::take(object, ticks_per_bin)?,
            consumer: typed(object, bpf::CONSUMER_MAP)?,
            state: typed(object, bpf::STATE_MAP)?,
            live: typed(object, bpf::LIVE_MAP)?,
            rare: typed(object, bpf::RARE_MAP)?,
            served,
            no_auxiliary,
            talkers: if sight.talkers && in_place.contains(&Role::Attempts) {
                Some(TalkerReader::take(object)?)
            } else {
                None
            },
            sight,
            cpu,
        })
    }

    /// The kernel's variables as last read.
    pub(super) fn state(&self) -> Result<bpf::KernelState, ProbeError> {
        first(&self.state, bpf::STATE_MAP)
    }

    /// Records of our own that were lost while the gate was not open.
    pub(super) fn own_lost(&self) -> Result<u32, ProbeError> {
        first(&self.live, bpf::LIVE_MAP).map(|live| live.own_lost)
    }

    /// Reads the counts.
    pub(super) fn sample(&mut self, depth: Depth) -> Result<Sample, ProbeError> {
        let state = self.state()?;
        let drain = first(&self.drain, bpf::DRAIN_MAP)?;
        let mut readable = wire::state(&state);
        let events = self.events();
        let (losses, own_losses) = self.when(Role::Losses, || self.losses())?.unzip();
        // While the limit or the queue is not known, no attempt is seen to meet a full one.
        let live = first(&self.live, bpf::LIVE_MAP)?;
        let stalls = self
            .when(Role::Stalls, || self.stalls(&live))?
            .filter(|_| live.limits_known != 0 && readable.depth.is_some());
        if stalls.is_none() {
            readable.waiters = None;
        }
        let command = if self.sight.command {
            self.when(Role::Attempts, || self.command())?
        } else {
            None
        };
        let cpu = match (&command, &mut self.cpu) {
            (Some(_), Some(cpu)) => Some(cpu.samples()?),
            _ => None,
        };
        let demand = self.demand.read(state.jiffies, live.lagging != 0)?;
        let talkers = self.talkers(state.at_ns, depth)?;
        Ok(Sample {
            at_ns: state.at_ns,
            source: Source::Bpf,
            attempts: self.when(Role::Attempts, || self.attempts(readable.depth.is_some()))?,
            losses,
            own_losses,
            drain: self.when(Role::Drain, || {
                self.drained(&drain, readable.depth.is_some())
            })?,
            delivery: self.when(Role::Delivery, || {
                Ok(Delivery {
                    delivered: drain.delivered,
                    refused: drain.refused,
                })
            })?,
            demand: self.when(Role::Attempts, || Ok(demand))?,
            consumer: self.when(Role::Consumer, || {
                first(&self.consumer, bpf::CONSUMER_MAP).map(|ledger| wire::consumer(&ledger))
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
            stalls,
            talkers,
            command: command.map(|command| CommandCounts { cpu, ..command }),
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
        let mut understood = 0;
        for Wire(row) in rows.iter() {
            sum.attempted += row.attempted;
            sum.own += row.own;
            sum.filtered += row.filtered;
            sum.own_filtered += row.own_filtered;
            sum.user_filtered += row.user_filtered;
            understood += row.understood;
            depth_max = depth_max.max(row.depth_max);
        }
        sum.understood = Some(understood);
        sum.depth_max = depth_is_readable.then_some(depth_max);
        Ok(sum)
    }

    /// Talkers that have changed, where they are due.
    fn talkers(&mut self, now_ns: u64, depth: Depth) -> Result<Option<Vec<Talker>>, ProbeError> {
        let Some(reader) = &mut self.talkers else {
            return Ok(None);
        };
        let due = match depth {
            Depth::Least => false,
            Depth::Usual => reader.is_due(now_ns),
            Depth::Whole => true,
        };
        if !due {
            return Ok(None);
        }
        let rows = self.attempts.get(&0, 0).map_err(|source| ProbeError::Map {
            name: bpf::ATTEMPTS_MAP,
            source,
        })?;
        let runs: Vec<_> = rows.iter().map(|Wire(row)| row.run).collect();
        reader.read(&runs).map(Some)
    }

    /// What the tasks of the traced command did, without its samples.
    fn command(&self) -> Result<CommandCounts, ProbeError> {
        let rows = self.attempts.get(&0, 0).map_err(|source| ProbeError::Map {
            name: bpf::ATTEMPTS_MAP,
            source,
        })?;
        let sum = |pick: fn(&bpf::AttemptRow) -> u64| rows.iter().map(|Wire(row)| pick(row)).sum();
        let ledger = self.when(Role::Stalls, || first(&self.stalls, bpf::STALLS_MAP))?;
        Ok(CommandCounts {
            attempted: sum(|row| row.command),
            filtered: sum(|row| row.command_filtered),
            lost: self.when(Role::Losses, || {
                let entries = self.loss_entries()?;
                Ok(entries.iter().map(|(_, count)| count.command).sum())
            })?,
            stalls: ledger.map(|ledger| CommandStalls {
                count: ledger.command,
                total_ns: ledger.command_total_ns,
                max_ns: ledger.command_max_ns,
            }),
            cpu: None,
        })
    }

    /// By message, and those of auditwatch's own among them.
    fn losses(&self) -> Result<(ByMessage, ByMessage), ProbeError> {
        let entries = self.loss_entries()?;
        Ok((
            wire::losses(&entries, |count| count.calls),
            wire::losses(&entries, |count| count.own),
        ))
    }

    fn loss_entries(&self) -> Result<Vec<(u64, bpf::LossCount)>, ProbeError> {
        self.losses
            .iter()
            .map(|entry| {
                let (address, Wire(count)) = entry.map_err(|source| ProbeError::Map {
                    name: bpf::LOSSES_MAP,
                    source,
                })?;
                Ok((address, count))
            })
            .collect()
    }

    fn drained(
        &self,
        drain: &bpf::DrainLedger,
        depth_is_readable: bool,
    ) -> Result<Drain, ProbeError> {
        let counts = first(&self.types, bpf::TYPES_MAP)?.counts;
        let types = (bpf::TYPE_BASE..)
            .zip(counts)
            .filter(|&(_, count)| count > 0)
            .collect();
        Ok(Drain {
            drained: drain.drained,
            areas: self.sight.areas.then_some(Areas {
                total_bytes: drain.area_bytes,
                max_bytes: drain.area_max_bytes,
            }),
            depths: depth_is_readable.then(|| Depths {
                max: drain.depth_max,
                hist: drain.depth_hist.to_vec(),
            }),
            types: self.sight.types.then_some(types),
        })
    }

    fn stalls(&self, live: &bpf::LiveState) -> Result<Stalls, ProbeError> {
        let ledger = first(&self.stalls, bpf::STALLS_MAP)?;
        // By thread: where a task leaves while the map is read, the walk may begin again.
        let mut since = BTreeMap::new();
        if live.waiters > 0 {
            for entry in &self.waiters {
                match entry {
                    Ok((thread, Wire(start))) => {
                        since.insert(thread, start.at_ns);
                    }
                    // It has left, and waits no more.
                    Err(MapError::KeyNotFound) => {}
                    Err(source) => {
                        return Err(ProbeError::Map {
                            name: bpf::WAITERS_MAP,
                            source,
                        });
                    }
                }
            }
        }
        let waiters = since
            .into_iter()
            .map(|(thread, since_ns)| Waiter {
                thread,
                since_ns,
                asleep: sleeps_in_audit(thread),
            })
            .collect();
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

/// Whether a thread sleeps in the audit code, by the kernel function that it
/// sleeps in; `None` where the kernel does not show that. One that does something
/// else has an end of its attempt that was missed.
fn sleeps_in_audit(thread: u32) -> Option<bool> {
    let function = std::fs::read_to_string(format!("/proc/{thread}/wchan")).ok()?;
    let function = function.trim();
    (!function.is_empty() && function != "0").then(|| function.starts_with("audit_"))
}

pub(super) fn typed<T: TryFrom<Map, Error = MapError>>(
    object: &mut Object,
    name: &'static str,
) -> Result<T, ProbeError> {
    let map = object
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
