//! Whether this machine's package lists serve: what apt offers and the age of its lists come in, the next step goes out.
//!
//! Pure.

use std::time::Duration;

use crate::bpf_tools::Version;

/// Older lists are read anew before anything is installed from them.
const MAX_AGE: Duration = Duration::from_hours(24);

/// A package that is to be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// Its name.
    pub(crate) package: &'static str,
    /// The oldest version that serves; `None` if any does.
    pub(crate) at_least: Option<Version>,
}

impl Need {
    /// Any version of `package`.
    pub(crate) const fn any(package: &'static str) -> Self {
        Self {
            package,
            at_least: None,
        }
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Read the lists anew, for this reason.
    Refresh(String),
    /// Install: all that is needed is offered.
    Install,
    /// Give up, for this reason: new lists would not help.
    Refuse(String),
}

/// The candidate versions in the output of `apt-cache policy`, by package; `None` if apt knows none.
pub(crate) fn candidates(policy: &str) -> Vec<(&str, Option<&str>)> {
    let mut found = Vec::new();
    let mut package = None;
    for line in policy.lines() {
        if let Some(name) = line.strip_suffix(':')
            && !line.starts_with(' ')
        {
            package = Some(name);
        } else if let Some(version) = line.trim().strip_prefix("Candidate:")
            && let Some(name) = package.take()
        {
            let version = version.trim();
            found.push((name, (version != "(none)").then_some(version)));
        }
    }
    found
}

/// The version that the program has upstream: `1:22.1.8-1~deb12u1` is 22.1.8.
pub(crate) fn upstream(version: &str) -> Option<Version> {
    let (_epoch, version) = version.split_once(':').unwrap_or(("", version));
    Version::parse(version)
}

/// The next step towards `needs`, with `policy` of `apt-cache policy` and lists that were read `age` ago (`None`: never).
pub(crate) fn next_step(
    needs: &[Need],
    policy: &str,
    age: Option<Duration>,
    refreshed: bool,
) -> Step {
    let offered = candidates(policy);
    let lacks: Vec<String> = needs
        .iter()
        .filter_map(|need| lack(*need, &offered))
        .collect();
    match (refreshed, lacks.is_empty(), age) {
        (true, false, _) => Step::Refuse(lacks.join(", ")),
        (false, false, _) => Step::Refresh(lacks.join(", ")),
        (false, true, None) => Step::Refresh("they were never read".to_owned()),
        (false, true, Some(age)) if age > MAX_AGE => {
            let hours = age.as_secs() / 3600;
            Step::Refresh(format!("they are {hours} hours old"))
        }
        (true, true, _) | (false, true, Some(_)) => Step::Install,
    }
}

/// Why `need` cannot be had from what is `offered`, if so.
fn lack(need: Need, offered: &[(&str, Option<&str>)]) -> Option<String> {
    let Need { package, at_least } = need;
    let candidate = offered
        .iter()
        .find(|(name, _)| *name == package)
        .and_then(|(_, candidate)| *candidate);
    let Some(candidate) = candidate else {
        return Some(format!("apt has no package {package}"));
    };
    let at_least = at_least?;
    let serves = upstream(candidate).is_some_and(|version| version >= at_least);
    (!serves).then(|| format!("apt offers {package} {candidate}, and {at_least} is needed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "rustc-web:
  Installed: 1.85.0+dfsg3-1~deb12u3
  Candidate: 1.85.0+dfsg3-1~deb12u3
  Version table:
 *** 1.85.0+dfsg3-1~deb12u3 500
        500 http://mirror.example/debian bookworm/main amd64 Packages
llvm-22-dev:
  Installed: (none)
  Candidate: 1:22.1.8-1~deb12u1
  Version table:
mmdebstrap:
  Installed: (none)
  Candidate: (none)
";

    fn rustc(version: &str) -> Need {
        Need {
            package: "rustc-web",
            at_least: Version::parse(version),
        }
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn policy_gives_each_package_its_candidate() {
        assert_eq!(
            candidates(POLICY),
            [
                ("rustc-web", Some("1.85.0+dfsg3-1~deb12u3")),
                ("llvm-22-dev", Some("1:22.1.8-1~deb12u1")),
                ("mmdebstrap", None),
            ]
        );
        assert_eq!(candidates(""), []);
    }

    #[test]
    fn upstream_version_has_neither_epoch_nor_revision() {
        for (debian, plain) in [
            ("1:22.1.8-1~deb12u1", "22.1.8"),
            ("1.96.0+dfsg1-1~deb12u2", "1.96.0"),
            ("10.0~rc1-2", "10.0.0"),
        ] {
            assert_eq!(
                upstream(debian).map(|found| found.to_string()).as_deref(),
                Some(plain)
            );
        }
        assert_eq!(upstream("git2024"), None);
    }

    #[test]
    fn lists_that_offer_an_old_compiler_are_refreshed_once_and_then_refused() {
        let needs = [rustc("1.95")];
        let reason = "apt offers rustc-web 1.85.0+dfsg3-1~deb12u3, and 1.95.0 is needed".to_owned();
        assert_eq!(
            next_step(&needs, POLICY, Some(HOUR), false),
            Step::Refresh(reason.clone())
        );
        assert_eq!(
            next_step(&needs, POLICY, Some(HOUR), true),
            Step::Refuse(reason)
        );
        assert_eq!(
            next_step(&[rustc("1.85")], POLICY, Some(HOUR), false),
            Step::Install
        );
    }

    #[test]
    fn lists_are_refreshed_if_a_package_is_unknown_or_they_are_older_than_a_day() {
        let llvm = [Need::any("llvm-22-dev")];
        assert_eq!(
            next_step(&llvm, POLICY, Some(23 * HOUR), false),
            Step::Install
        );
        assert_eq!(
            next_step(&llvm, POLICY, Some(25 * HOUR), false),
            Step::Refresh("they are 25 hours old".to_owned())
        );
        assert_eq!(
            next_step(&llvm, POLICY, None, false),
            Step::Refresh("they were never read".to_owned())
        );
        for package in ["mmdebstrap", "never-heard-of"] {
            let reason = format!("apt has no package {package}");
            let needs = [Need::any(package)];
            assert_eq!(
                next_step(&needs, POLICY, Some(HOUR), false),
                Step::Refresh(reason.clone())
            );
            assert_eq!(next_step(&needs, POLICY, None, true), Step::Refuse(reason));
        }
    }

    #[test]
    fn lists_that_cannot_be_refreshed_serve_if_they_offer_enough() {
        let llvm = [Need::any("llvm-22-dev")];
        assert_eq!(
            next_step(&llvm, POLICY, Some(900 * HOUR), true),
            Step::Install
        );
    }
}
