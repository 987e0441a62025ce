//! Reading the maps into a [`Sample`].

use std::{collections::BTreeMap, time::Duration};

use auditwatch_ebpf as bpf;
use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray, PerCpuValues, RingBuf};

use super::{
    cpu_sampler::CpuSampler,
    demand_reader::DemandReader,
    error::ProbeError,
    globals::Capabilities,
    maps::{first, typed},
    object::Object,
    talker_reader::TalkerReader,
    wire::{self, Wire},
};
use crate::{
    hooks::{
        health::{HookReport, Verdict},
        plan::Role,
    },
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
    capabilities: Capabilities,
    /// Of the traced command, where one is followed.
    cpu: Option<CpuSampler>,
    /// Where talkers are counted.
    talkers: Option<TalkerReader>,
}

/// What each CPU has counted of attempts.
type Rows = PerCpuValues<Wire<bpf::AttemptRow>>;

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
    /// Takes the maps out of the object. `capabilities` is what its programs can see.
    pub(super) fn take(
        object: &mut Object,
        reports: &[HookReport],
        capabilities: Capabilities,
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
                Role::Stalls => capabilities.stalls,
                Role::Consumer => capabilities.sockets,
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
            talkers: if capabilities.talkers && in_place.contains(&Role::Attempts) {
                Some(TalkerReader::take(object)?)
            } else {
                None
            },
            capabilities,
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

    /// Reads the counts: those that an interval is made of first and together, since counting goes on. Names are
    /// for later.
    pub(super) fn sample(&mut self) -> Result<Sample, ProbeError> {
        let state = self.state()?;
        let drain = first(&self.drain, bpf::DRAIN_MAP)?;
        let rows = self.rows()?;
        let losses = self.when(Role::Losses, || self.loss_entries())?;
        let ledger = self.when(Role::Stalls, || first(&self.stalls, bpf::STALLS_MAP))?;
        let consumer = self.when(Role::Consumer, || {
            first(&self.consumer, bpf::CONSUMER_MAP).map(|ledger| wire::consumer(&ledger))
        })?;
        let types = first(&self.types, bpf::TYPES_MAP)?;
        let live = first(&self.live, bpf::LIVE_MAP)?;
        let demand = self.demand.read(state.jiffies, live.lagging != 0)?;
        let mut readable = wire::state(&state);
        // While the limit or the queue is not known, no attempt is seen to meet a full one.
        let stalls = match &ledger {
            Some(ledger) if live.limits_known != 0 && readable.depth.is_some() => {
                Some(self.stalls(ledger, &live)?)
            }
            _ => None,
        };
        if stalls.is_none() {
            readable.waiters = None;
        }
        let command = if self.capabilities.command {
            self.when(Role::Attempts, || {
                Ok(command(&rows, losses.as_deref(), ledger.as_ref()))
            })?
        } else {
            None
        };
        let cpu = match (&command, &mut self.cpu) {
            (Some(_), Some(cpu)) => Some(cpu.samples()?),
            _ => None,
        };
        let by = |count: fn(&bpf::LossCount) -> u64| {
            losses.as_ref().map(|entries| wire::losses(entries, count))
        };
        Ok(Sample {
            at_ns: state.at_ns,
            source: Source::Bpf,
            attempts: self.when(Role::Attempts, || {
                Ok(attempts(&rows, readable.depth.is_some()))
            })?,
            losses: by(|count| count.calls),
            own_losses: by(|count| count.own),
            drain: self.when(Role::Drain, || {
                Ok(self.drained(&drain, &types, readable.depth.is_some()))
            })?,
            delivery: self.when(Role::Delivery, || {
                Ok(Delivery {
                    delivered: drain.delivered,
                    refused: drain.refused,
                })
            })?,
            demand: self.when(Role::Attempts, || Ok(demand))?,
            consumer,
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
            talkers: None,
            command: command.map(|command| CommandCounts { cpu, ..command }),
            shortfalls: Shortfalls {
                missed: BTreeMap::new(),
                rare_missed: drain.rare_missed,
                losses_unnamed: drain.losses_unnamed,
            },
            state: readable,
            events: self.events(),
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

    fn rows(&self) -> Result<Rows, ProbeError> {
        self.attempts.get(&0, 0).map_err(|source| ProbeError::Map {
            name: bpf::ATTEMPTS_MAP,
            source,
        })
    }

    /// Whether talkers are due to be read.
    pub(super) fn talkers_are_due(&mut self, now_ns: u64) -> bool {
        self.talkers
            .as_mut()
            .is_some_and(|talkers| talkers.is_due(now_ns))
    }

    /// Reads which talkers have changed, where they are counted.
    pub(super) fn read_talkers(&mut self) -> Result<(), ProbeError> {
        let rows = self.rows()?;
        let runs: Vec<_> = rows.iter().map(|Wire(row)| row.run).collect();
        self.talkers
            .as_mut()
            .map_or(Ok(()), |talkers| talkers.read(&runs))
    }

    /// Looks for their names, for so long or until all have theirs.
    pub(super) fn name_talkers(&mut self, budget: Option<Duration>) {
        if let Some(talkers) = &mut self.talkers {
            talkers.name(budget);
        }
    }

    /// Talkers that have changed and have their names.
    pub(super) fn hand_out_talkers(&mut self) -> Option<Vec<Talker>> {
        self.talkers.as_mut()?.hand_out()
    }

    /// Whether talkers are counted.
    pub(super) const fn counts_talkers(&self) -> bool {
        self.talkers.is_some()
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
        types: &bpf::TypeCounts,
        depth_is_readable: bool,
    ) -> Drain {
        let types = (bpf::TYPE_BASE..)
            .zip(types.counts)
            .filter(|&(_, count)| count > 0)
            .collect();
        Drain {
            drained: drain.drained,
            areas: self.capabilities.areas.then_some(Areas {
                total_bytes: drain.area_bytes,
                max_bytes: drain.area_max_bytes,
            }),
            depths: depth_is_readable.then(|| Depths {
                max: drain.depth_max,
                hist: drain.depth_hist.to_vec(),
            }),
            types: self.capabilities.types.then_some(types),
        }
    }

    /// Who waits is not looked at yet: [`look_at_waiters`].
    fn stalls(
        &self,
        ledger: &bpf::StallLedger,
        live: &bpf::LiveState,
    ) -> Result<Stalls, ProbeError> {
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
                asleep: None,
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

/// Adds up what the CPUs have counted.
fn attempts(rows: &Rows, depth_is_readable: bool) -> Attempts {
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
    sum
}

/// What the tasks of the traced command did, without its samples.
fn command(
    rows: &Rows,
    losses: Option<&[(u64, bpf::LossCount)]>,
    ledger: Option<&bpf::StallLedger>,
) -> CommandCounts {
    let sum = |pick: fn(&bpf::AttemptRow) -> u64| rows.iter().map(|Wire(row)| pick(row)).sum();
    CommandCounts {
        attempted: sum(|row| row.command),
        filtered: sum(|row| row.command_filtered),
        lost: losses.map(|entries| entries.iter().map(|(_, count)| count.command).sum()),
        stalls: ledger.map(|ledger| CommandStalls {
            count: ledger.command,
            total_ns: ledger.command_total_ns,
            max_ns: ledger.command_max_ns,
        }),
        cpu: None,
    }
}

/// Looks where those who wait are asleep: a file of `/proc` each.
pub(super) fn look_at_waiters(sample: &mut Sample) {
    for waiter in sample
        .stalls
        .iter_mut()
        .flat_map(|stalls| &mut stalls.waiters)
    {
        waiter.asleep = sleeps_in_audit(waiter.thread);
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
