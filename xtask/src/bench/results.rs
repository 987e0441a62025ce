//! The results file: the figures of one kernel come in, what `docs/overhead.json` keeps of them goes out, ratios included.
//! Pure.
//!
//! Everything that the document says is in here, so that its tables can be made again without measuring. Keys are only
//! ever added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    cost::{Added, Cost, RECORDS_PER_CALL, hundredths},
    figures::{Figures, ProgramCost},
    variants::{BASE_AGAIN, COMPARED, FLOOR, LEFT_OUT, LIKE, OURS, OURS_PLAIN, Variant},
};

/// The version of the file's keys.
const SCHEMA: u32 = 1;
/// At most so many times the cost of empty programs may auditwatch cost.
const TIMES_FLOOR_MAX: f64 = 2.0;
/// At least so many times auditwatch's cost should bpftrace cost, counting the same.
const TIMES_OURS_MIN: f64 = 4.0;

/// All that was measured, by kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Results {
    /// The version of the keys.
    pub(super) schema: u32,
    /// What every cost is counted in.
    pub(super) unit: String,
    /// Records of a call.
    pub(super) records_per_call: u64,
    /// The bar for auditwatch by the cost of empty programs: at most.
    pub(super) times_floor_max: f64,
    /// The bar for bpftrace by the cost of auditwatch: at least.
    pub(super) times_ours_min: f64,
    /// Oldest first.
    pub(super) kernels: Vec<KernelResult>,
}

/// What was measured in one guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct KernelResult {
    /// The kernel as the command line spells it.
    pub(super) kernel: String,
    /// What `uname -r` says.
    pub(super) release: String,
    /// The day, as YYYY-MM-DD.
    pub(super) date: String,
    /// What was run on the host.
    pub(super) command: String,
    /// What the emulator says of its version.
    pub(super) emulator: String,
    /// What the other tools say of theirs, by name.
    pub(super) tools: BTreeMap<String, String>,
    /// In the order of measurement.
    pub(super) rows: Vec<Row>,
    /// What each hook of auditwatch costs.
    pub(super) hooks: Vec<HookCost>,
    /// What each program of auditwatch costs by the kernel's own count.
    pub(super) programs: Vec<ProgramCost>,
    /// auditwatch beside the floor, and bpftrace beside auditwatch.
    pub(super) ratios: Vec<Ratio>,
}

/// A way to look at the audit path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    /// Its short name.
    pub(super) name: String,
    /// What tables call it.
    pub(super) label: String,
    /// What ran in the guest.
    pub(super) command: String,
    /// What was measured, if it was.
    pub(super) cost: Option<Cost>,
    /// What that is more than without tracing.
    pub(super) added: Option<Added>,
    /// Why it was not measured.
    pub(super) failure: Option<String>,
}

/// Hooks of auditwatch, by what its cost lacks without them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HookCost {
    /// The variant that leaves them out.
    pub(super) name: String,
    /// What tables call them.
    pub(super) label: String,
    /// What ran in the guest.
    pub(super) command: String,
    /// What is lacking, if it was measured.
    pub(super) lacking: Option<Added>,
    /// Why it was not measured.
    pub(super) failure: Option<String>,
}

/// How many times the cost of one row another one costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ratio {
    /// The row above the line.
    pub(super) of: String,
    /// The row below it.
    pub(super) to: String,
    /// Of what a record costs in the task.
    pub(super) task: Option<f64>,
    /// Of what it costs in kauditd.
    pub(super) kauditd: Option<f64>,
    /// Of both together.
    pub(super) total: Option<f64>,
}

/// Where and when figures were measured.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// The kernel as the command line spells it.
    pub(super) kernel: String,
    /// What `uname -r` says.
    pub(super) release: String,
    /// The day, as YYYY-MM-DD.
    pub(super) date: String,
    /// What was run on the host.
    pub(super) command: String,
    /// What the emulator says of its version.
    pub(super) emulator: String,
}

impl Results {
    /// None yet.
    pub(super) fn new() -> Self {
        Self {
            schema: SCHEMA,
            unit: "instructions".to_owned(),
            records_per_call: RECORDS_PER_CALL,
            times_floor_max: TIMES_FLOOR_MAX,
            times_ours_min: TIMES_OURS_MIN,
            kernels: Vec::new(),
        }
    }

    /// Puts a result in the place of an older one of the same kernel, or behind all others.
    pub(super) fn put(&mut self, result: KernelResult) {
        let same = |old: &&mut KernelResult| old.kernel == result.kernel;
        if let Some(old) = self.kernels.iter_mut().find(same) {
            *old = result;
        } else {
            self.kernels.push(result);
        }
    }

    /// The result of a kernel.
    pub(super) fn kernel(&self, name: &str) -> Option<&KernelResult> {
        self.kernels.iter().find(|result| result.kernel == name)
    }
}

impl KernelResult {
    /// Takes together what one guest measured.
    pub(super) fn new(origin: Origin, variants: &[Variant], figures: Figures) -> Self {
        let failure = |name: &str| {
            let failed = figures.failures.get(name).cloned();
            let measured = figures.costs.contains_key(name);
            failed.or_else(|| (!measured).then(|| "the guest ended before".to_owned()))
        };
        let rows = variants
            .iter()
            .filter(|variant| !variant.label.is_empty() && variant.name != BASE_AGAIN)
            .map(|variant| Row {
                name: variant.name.to_owned(),
                label: variant.label.to_owned(),
                command: variant.command.clone(),
                cost: figures.costs.get(variant.name).cloned(),
                added: figures.added(variant.name),
                failure: failure(variant.name),
            })
            .collect();
        let hooks = LEFT_OUT
            .iter()
            .filter_map(|hooks| {
                let variant = variants.iter().find(|variant| variant.name == hooks.name)?;
                Some(HookCost {
                    name: hooks.name.to_owned(),
                    label: hooks.label.to_owned(),
                    command: variant.command.clone(),
                    lacking: figures.lacking(hooks.name),
                    failure: failure(hooks.name),
                })
            })
            .collect();
        // Like is compared with like: who causes records is not among what the floor's hooks are for, nor
        // among what the programs of like content count.
        let ratios = [(OURS_PLAIN, FLOOR)]
            .into_iter()
            .chain(COMPARED.map(|peer| {
                let ours = if LIKE.contains(&peer) {
                    OURS_PLAIN
                } else {
                    OURS
                };
                (peer, ours)
            }))
            .filter(|(of, _)| variants.iter().any(|variant| variant.name == *of))
            .map(|(of, to)| Ratio::new((of, figures.added(of)), (to, figures.added(to))))
            .collect();
        let Origin {
            kernel,
            release,
            date,
            command,
            emulator,
        } = origin;
        Self {
            kernel,
            release,
            date,
            command,
            emulator,
            rows,
            hooks,
            ratios,
            programs: figures.programs,
            tools: figures.tools,
        }
    }

    /// The row of this name.
    pub(super) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// What a row adds, if it was measured.
    pub(super) fn added(&self, name: &str) -> Option<Added> {
        self.row(name)?.added
    }

    /// The ratio of this row to another one.
    pub(super) fn ratio(&self, of: &str) -> Option<&Ratio> {
        self.ratios.iter().find(|ratio| ratio.of == of)
    }
}

impl Ratio {
    fn new(of: (&str, Option<Added>), to: (&str, Option<Added>)) -> Self {
        let ratio = |part: fn(Added) -> i64| {
            let (above, below) = (part(of.1?), part(to.1?));
            (below > 0).then(|| hundredths(float(above) / float(below)))
        };
        Self {
            of: of.0.to_owned(),
            to: to.0.to_owned(),
            task: ratio(|added| added.task_per_record),
            kauditd: ratio(|added| added.kauditd_per_record),
            total: ratio(Added::total_per_record),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "instructions of a record are far below 2^52"
)]
fn float(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bench::variants::{Scope, variants};

    /// A guest's line: `task` instructions a call; kauditd's costs 100 a record, and 1000 a wake-up, and `more` a record.
    fn calls(name: &str, task: u64, more: u64) -> String {
        format!(
            r#"calls {name} {{"calls":1,"rounds":[{{"p10":{task},"mean":{task}}}],"drains":[{{"calls":4,"instructions":{}}},{{"calls":64,"instructions":{}}}]}}
"#,
            2200 + 12 * more,
            20_200 + 192 * more
        )
    }

    /// auditwatch adds 600 in the task and 500 in kauditd, empty programs 400 and 300, bpftrace 3000 and 1000.
    pub(in crate::bench) fn result(kernel: &str) -> KernelResult {
        let mut text = [
            calls("base", 27_000, 0),
            calls("floor", 28_200, 300),
            calls("ours", 28_800, 500),
            calls("ours-plain", 28_800, 500),
            calls("bpftrace-like", 36_000, 1000),
            calls("without-attempts", 27_600, 500),
        ]
        .concat();
        text.push_str("failed ours-kprobe exit status 1: no kprobes\n");
        let origin = Origin {
            kernel: kernel.to_owned(),
            release: format!("{kernel}.0-1"),
            date: "2026-01-02".to_owned(),
            command: "cargo xtask bench overhead --write".to_owned(),
            emulator: "an emulator".to_owned(),
        };
        let figures = Figures::parse(&text).expect("lines");
        KernelResult::new(origin, &variants(Scope::Peers), figures)
    }

    #[test]
    fn result_distinguishes_measured_from_unmeasured() {
        let result = result("6.1");
        let ours = result.added(OURS).expect("figures");
        assert_eq!((ours.task_per_record, ours.kauditd_per_record), (600, 500));
        let kprobe = result.row("ours-kprobe").expect("a row");
        assert_eq!(kprobe.cost, None);
        assert_eq!(kprobe.failure.as_deref(), Some("exit status 1: no kprobes"));
        let unmeasured = result.row("perf-stat").expect("a row");
        assert_eq!(
            unmeasured.failure.as_deref(),
            Some("the guest ended before")
        );
        let attempts = result.hooks.first().and_then(|hook| hook.lacking);
        assert_eq!(attempts.map(|lacking| lacking.task_per_record), Some(400));
    }

    #[test]
    fn ratios_compare_the_added_costs() {
        let result = result("6.1");
        let floor = result.ratio(OURS_PLAIN).expect("a ratio");
        assert_eq!((floor.task, floor.total), (Some(1.5), Some(1.57)));
        let like = result.ratio("bpftrace-like").expect("a ratio");
        assert_eq!((like.task, like.kauditd), (Some(5.0), Some(2.0)));
        let missing = result.ratio("bpftrace-like-kprobe").expect("a ratio");
        assert_eq!(missing.task, None);
    }

    #[test]
    fn the_file_is_read_as_it_is_written_and_a_kernel_stands_in_it_once() {
        let mut results = Results::new();
        results.put(result("6.1"));
        results.put(result("7.2"));
        results.put(result("6.1"));
        assert_eq!(results.kernels.len(), 2);
        let text = serde_json::to_string(&results).expect("JSON");
        let read: Results = serde_json::from_str(&text).expect("the same");
        assert_eq!(read, results);
        assert!(read.kernel("7.2").is_some() && read.kernel("5.10").is_none());
    }
}
