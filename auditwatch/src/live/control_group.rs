//! The control group of a process: its limits on CPU time, and whether it is frozen.
//!
//! In: a process id, and files below a root. Out: a [`CpuQuota`] or none. It only reads.

use std::{fs, path::Path};

use crate::auditd::CpuQuota;

/// Where the control groups are: version 2, and the CPU controller of version 1.
const UNIFIED: &str = "sys/fs/cgroup";
const CPU_V1: [&str; 2] = ["sys/fs/cgroup/cpu,cpuacct", "sys/fs/cgroup/cpu"];

/// The tightest quota of the process's group and of those above it; `None` without one, or if it cannot be read.
pub(super) fn cpu_quota(root: &Path, pid: u32) -> Option<CpuQuota> {
    groups(root, pid)
        .into_iter()
        .flat_map(|group| above(&group))
        .flat_map(|group| {
            let unified = root.join(UNIFIED).join(&group).join("cpu.max");
            let of_v1 = CPU_V1.map(|mount| root.join(mount).join(&group));
            let name = format!("/{group}");
            [
                read(&unified).and_then(|text| of_max(&text)),
                of_v1.iter().find_map(|directory| {
                    of_cfs(
                        &read(&directory.join("cpu.cfs_quota_us"))?,
                        &read(&directory.join("cpu.cfs_period_us"))?,
                    )
                }),
            ]
            .into_iter()
            .flatten()
            .map(move |(quota_us, period_us)| CpuQuota {
                quota_us,
                period_us,
                group: name.as_str().into(),
            })
        })
        .min_by(|one, other| one.cpus().total_cmp(&other.cpus()))
}

/// Whether the process is stopped by a signal (state T), or its group is frozen.
pub(super) fn is_stopped(root: &Path, pid: u32) -> Option<bool> {
    let stat = read(&root.join(format!("proc/{pid}/stat")))?;
    let (_, fields) = stat.rsplit_once(')')?;
    let state = fields.trim_start().chars().next()?;
    let is_frozen = groups(root, pid).iter().any(|group| {
        read(&root.join(UNIFIED).join(group).join("cgroup.events"))
            .is_some_and(|text| text.lines().any(|line| line == "frozen 1"))
    });
    Some(matches!(state, 'T' | 't') || is_frozen)
}

/// The process's groups, without the slash at their beginning: that of version 2, and that of the CPU controller.
fn groups(root: &Path, pid: u32) -> Vec<String> {
    let text = read(&root.join(format!("proc/{pid}/cgroup"))).unwrap_or_default();
    let mut groups: Vec<String> = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let matters =
                controllers.is_empty() || controllers.split(',').any(|name| name == "cpu");
            let path = path.trim_matches('/');
            // A group outside of this namespace cannot be looked up.
            let is_inside = path.split('/').all(|part| part != "..");
            (matters && is_inside).then(|| path.to_owned())
        })
        .collect();
    groups.dedup();
    groups
}

/// A group and all above it, without the root, which has no limits.
fn above(group: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut rest = group;
    while !rest.is_empty() {
        all.push(rest.to_owned());
        rest = rest.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    all
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// `cpu.max`: `4000 100000`, or `max 100000`.
fn of_max(text: &str) -> Option<(u64, u64)> {
    let (quota, period) = text.trim().split_once(' ')?;
    usable(quota.parse().ok()?, period.parse().ok()?)
}

/// `cpu.cfs_quota_us`, -1 for none, and `cpu.cfs_period_us`.
fn of_cfs(quota: &str, period: &str) -> Option<(u64, u64)> {
    usable(quota.trim().parse().ok()?, period.trim().parse().ok()?)
}

fn usable(quota_us: u64, period_us: u64) -> Option<(u64, u64)> {
    (quota_us > 0 && period_us > 0).then_some((quota_us, period_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::write(path, text).expect("written");
        }
        root
    }

    #[test]
    fn the_tightest_quota_of_the_group_and_those_above_it_counts() {
        let root = root(&[
            ("proc/7/cgroup", "0::/system.slice/auditd.service\n"),
            ("sys/fs/cgroup/system.slice/cpu.max", "5000 100000\n"),
            (
                "sys/fs/cgroup/system.slice/auditd.service/cpu.max",
                "max 100000\n",
            ),
        ]);
        let quota = cpu_quota(root.path(), 7).expect("a quota");
        assert_eq!((quota.quota_us, quota.period_us), (5_000, 100_000));
        assert_eq!(quota.group, "/system.slice");
        assert!((quota.cpus() - 0.05).abs() < 1e-9);
        assert_eq!(cpu_quota(root.path(), 8), None);
    }

    #[test]
    fn a_quota_of_version_1_counts_and_minus_one_is_none() {
        let root = root(&[
            ("proc/7/cgroup", "4:cpu,cpuacct:/a/b\n3:memory:/x\n0::/\n"),
            ("sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "20000\n"),
            ("sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "50000\n"),
            ("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "50000\n"),
        ]);
        let quota = cpu_quota(root.path(), 7).expect("a quota");
        assert_eq!((quota.quota_us, quota.period_us), (20_000, 50_000));
    }

    #[test]
    fn a_process_is_stopped_by_a_signal_or_with_its_group() {
        let root = root(&[
            ("proc/7/stat", "7 (au) d) S 1"),
            ("proc/7/cgroup", "0::/g\n"),
            ("proc/8/stat", "8 (auditd) T 1"),
            ("proc/9/stat", "9 (auditd) S 1"),
            ("proc/9/cgroup", "0::/frozen\n"),
            (
                "sys/fs/cgroup/frozen/cgroup.events",
                "populated 1\nfrozen 1\n",
            ),
        ]);
        assert_eq!(is_stopped(root.path(), 7), Some(false));
        assert_eq!(is_stopped(root.path(), 8), Some(true));
        assert_eq!(is_stopped(root.path(), 9), Some(true));
        assert_eq!(is_stopped(root.path(), 10), None);
    }
}
