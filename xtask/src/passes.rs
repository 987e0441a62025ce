//! The test matrix: what is asked for comes in, the guests to boot and what each runs go out.
//!
//! Pure. The short matrix is what every change must pass: it has each kernel, each boot mode, and the two
//! kernels that differ most in full on one CPU, and preempted on two.

use std::{ffi::OsString, fmt};

use crate::kernels::Release;

/// Which scenarios a pass runs; they are chosen by this name within the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenarios {
    /// All that need no special boot, in full size.
    Whole,
    /// All of these, smaller.
    Full,
    /// A choice of them.
    Short,
    /// Those for a kernel booted with `audit=1`, which keeps records where there is no daemon.
    Audit1,
    /// Those for a kernel booted with `audit=0`.
    Audit0,
    /// Those that time something, on a clock that counts instructions.
    Clock,
}

impl Scenarios {
    fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Full => "full",
            Self::Short => "short",
            Self::Audit1 => "audit1",
            Self::Audit0 => "audit0",
            Self::Clock => "clock",
        }
    }
}

/// One boot of a guest that runs scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    /// Its kernel.
    pub(crate) release: Release,
    /// Its number of CPUs.
    pub(crate) smp: u32,
    /// Whether tasks are preempted within the kernel.
    pub(crate) preempt: bool,
    /// What it runs.
    pub(crate) scenarios: Scenarios,
}

impl fmt::Display for Pass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}-{}-smp{}",
            self.release,
            self.scenarios.name(),
            self.smp
        )?;
        formatter.write_str(if self.preempt { "-preempt" } else { "" })
    }
}

impl Pass {
    /// What it adds to the kernel's command line.
    pub(crate) fn append(self) -> Vec<String> {
        // All that the kernel says in a pass: init.sh looks through it at the end.
        let mut append = vec!["log_buf_len=4M".to_owned()];
        match self.scenarios {
            Scenarios::Audit1 => append.push("audit=1".to_owned()),
            Scenarios::Audit0 => append.push("audit=0".to_owned()),
            Scenarios::Whole | Scenarios::Full | Scenarios::Short | Scenarios::Clock => {}
        }
        if self.preempt {
            append.push("preempt=full".to_owned());
        }
        append
    }

    /// Whether the guest's clock counts instructions.
    pub(crate) fn icount(self) -> bool {
        self.scenarios == Scenarios::Clock
    }

    /// What it runs in the guest.
    pub(crate) fn command(self, filter: Option<&str>) -> Vec<OsString> {
        let mut command = vec!["vmtest", "run", "--pass", self.scenarios.name()];
        if let Some(filter) = filter {
            command.extend(["--filter", filter]);
        }
        command.into_iter().map(OsString::from).collect()
    }
}

/// The passes of the short matrix, the longest first.
pub(crate) fn short_matrix() -> Vec<Pass> {
    use Release::{V5_10, V6_1, V6_12, V7_2};
    use Scenarios::{Audit0, Audit1, Clock, Full, Short};
    let pass = |release, smp, preempt, scenarios| Pass {
        release,
        smp,
        preempt,
        scenarios,
    };
    vec![
        pass(V6_1, 1, false, Full),
        pass(V7_2, 1, false, Full),
        pass(V7_2, 2, true, Short),
        pass(V6_1, 2, true, Short),
        pass(V5_10, 1, false, Short),
        pass(V6_12, 1, false, Short),
        pass(V6_1, 1, false, Audit1),
        pass(V7_2, 1, false, Audit1),
        pass(V7_2, 1, false, Clock),
        pass(V6_1, 1, false, Clock),
        pass(V6_1, 1, false, Audit0),
    ]
}

/// Every kernel in every way.
pub(crate) fn whole_matrix() -> Vec<Pass> {
    let mut passes = Vec::new();
    for release in Release::ALL {
        for smp in [2, 1] {
            for preempt in [false, true] {
                // 5.10 cannot choose its preemption at boot.
                if !(preempt && release == Release::V5_10) {
                    passes.push(Pass {
                        release,
                        smp,
                        preempt,
                        scenarios: Scenarios::Whole,
                    });
                }
            }
        }
    }
    for scenarios in [Scenarios::Audit1, Scenarios::Audit0, Scenarios::Clock] {
        passes.extend(Release::ALL.map(|release| Pass {
            release,
            smp: 1,
            preempt: false,
            scenarios,
        }));
    }
    passes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_matrix_has_every_kernel() {
        for release in Release::ALL {
            assert!(
                short_matrix().iter().any(|pass| pass.release == release),
                "{release}"
            );
        }
    }

    #[test]
    fn names_of_passes_differ() {
        for matrix in [short_matrix(), whole_matrix()] {
            let mut names: Vec<_> = matrix.iter().map(Pass::to_string).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), matrix.len());
        }
        assert_eq!(whole_matrix().len(), 14 + 12);
    }

    #[test]
    fn a_pass_says_how_it_boots_and_what_it_runs() {
        let pass = Pass {
            release: Release::V7_2,
            smp: 2,
            preempt: true,
            scenarios: Scenarios::Audit1,
        };
        assert_eq!(pass.to_string(), "7.2-audit1-smp2-preempt");
        assert_eq!(pass.append(), ["log_buf_len=4M", "audit=1", "preempt=full"]);
        assert_eq!(
            pass.command(Some("storm")),
            ["vmtest", "run", "--pass", "audit1", "--filter", "storm"]
        );
    }
}
