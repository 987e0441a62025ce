//! What tracing itself adds to the audit trail.
//!
//! In: how many programs were loaded and taken out, on which host. Out: a [`Footprint`]. Pure, plain data.

use serde::{Deserialize, Serialize};

use crate::units::{count, plural};

/// Records of one load: `BPF`, and the `SYSCALL`, `PROCTITLE` and `EOE` that it brings along
/// (`bpf_audit_prog`, kernel/bpf/syscall.c; `audit_log_exit`, kernel/auditsc.c).
pub const RECORDS_A_LOAD: u64 = 4;
/// Records of taking a program out: `BPF` alone, if it belongs to no system call; seen on 6.1.
pub const LEAST_RECORDS_AN_UNLOAD: u64 = 1;
/// The same if the kernel gives that record the context of the call, so that it brings along what a load does; seen
/// on 6.12 and 7.2.
pub const MOST_RECORDS_AN_UNLOAD: u64 = 4;

/// Audit records that auditwatch made by loading its programs and by taking them out again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// Programs that were loaded.
    pub programs: u64,
    /// Records that this made at least; `None` if it is not known whether the host audits.
    pub records: Option<u64>,
    /// Records that it made at most: kernels differ in how many taking a program out makes. `None` if a rule of the host
    /// adds records to these or excludes some of them; `records` is the usual number then.
    pub records_most: Option<u64>,
    /// How many of these records the kernel dropped; `None` if its count could not be read.
    pub lost: Option<u64>,
    /// Whether the programs themselves saw each loss. Before the first of them is in place, and after the last, only
    /// the kernel's count of all losses tells; `lost` is the most that it can be if that went up then.
    pub lost_exact: bool,
}

impl Footprint {
    /// All of it in a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let programs = format!(
            "{} BPF {} loaded and taken out",
            self.programs,
            plural(self.programs, "program")
        );
        let records = match (self.records, self.records_most) {
            (None, _) => "an unknown number of audit records".to_owned(),
            (Some(0), Some(0)) => "no audit record".to_owned(),
            (Some(least), Some(most)) => {
                format!("{} to {} audit records", count(least), count(most))
            }
            (Some(usual), None) => format!(
                "about {} audit records, by rules of this host",
                count(usual)
            ),
        };
        let lost = match (self.lost, self.lost_exact) {
            (None, _) => "; how many of them were dropped is unknown".to_owned(),
            (Some(0), _) => String::new(),
            (Some(lost), true) => format!("; the kernel dropped {} of them", count(lost)),
            (Some(lost), false) => format!("; the kernel dropped at most {} of them", count(lost)),
        };
        format!("{programs}: {records}{lost}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentence_distinguishes_exact_counts_from_lower_bounds() {
        let own = Footprint {
            programs: 15,
            records: Some(75),
            records_most: Some(120),
            lost: Some(0),
            lost_exact: true,
        };
        assert_eq!(
            own.sentence(),
            "15 BPF programs loaded and taken out: 75 to 120 audit records"
        );
        let lossy = Footprint {
            lost: Some(2),
            lost_exact: false,
            ..own
        };
        assert!(lossy.sentence().ends_with("dropped at most 2 of them"));
        let unknown = Footprint {
            records: None,
            lost: None,
            ..own
        };
        assert!(unknown.sentence().contains("unknown number"));
        assert!(unknown.sentence().ends_with("is unknown"));
    }
}
