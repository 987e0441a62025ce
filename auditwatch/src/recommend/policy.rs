//! Baselines that ask for a limit, and which of their rules a limit would break.
//!
//! In: a limit. Out: rules, by number and title. Pure.

/// The lowest limit that keeps all of them, records.
pub const LEAST_LIMIT: u64 = 8192;

/// The rule of the CIS Benchmarks. Its number differs between them: 4.1.1.4 is that of RHEL 8 and
/// Ubuntu 18.04. It asks for a sufficient limit, its example is 8192, and so is what checkers take.
pub const CIS: &str =
    "CIS Benchmarks, 4.1.1.4 or its like: Ensure audit_backlog_limit is sufficient";
/// The rule of DISA's guides: less than 8192 is a finding.
pub const STIG: &str = "DISA STIG V-230469 (RHEL 8), V-258173 (RHEL 9), V-274168 (Amazon Linux 2023): allocate \
     an audit_backlog_limit of sufficient size";

/// Rules that a limit breaks, where it is set on the kernel's command line as well, which is what
/// they look at.
#[must_use]
pub fn broken_by(limit: u64) -> Vec<String> {
    if limit >= LEAST_LIMIT {
        return Vec::new();
    }
    [CIS, STIG].map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::{LEAST_LIMIT, broken_by};

    #[test]
    fn only_a_limit_below_the_policy_violates_it() {
        assert_eq!(broken_by(LEAST_LIMIT), Vec::<String>::new());
        let broken = broken_by(LEAST_LIMIT - 1);
        assert!(broken.iter().any(|rule| rule.contains("CIS")));
        assert!(broken.iter().any(|rule| rule.contains("V-230469")));
    }
}
