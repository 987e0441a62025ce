//! Names of control groups and of the containers in them, as the host has them now.
//!
//! In: ids from the programs. Out: paths, and the names that container runtimes leave on the host's
//! disk. It asks no runtime.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::DirEntryExt as _,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{sample::container::Place, untrusted::Untrusted};

/// Where the unified hierarchy is: alone, or beside those of version 1.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
/// Id of the root group (`kernfs`, 5.5 to 7.2).
const ROOT_ID: u64 = 1;
/// Most groups that are looked at in one walk.
const MOST_GROUPS: usize = 100_000;
/// Most ids and containers that are kept in mind although they may be gone.
const MOST_KEPT: usize = 10_000;

/// Paths by id, and containers by theirs.
#[derive(Debug, Default)]
pub(super) struct CgroupNames {
    paths: BTreeMap<u64, Untrusted>,
    /// Ids that no walk has found.
    unknown: BTreeSet<u64>,
    containers: BTreeMap<String, Option<Untrusted>>,
}

impl CgroupNames {
    /// Looks for ids that are not known yet, and for the names of their containers.
    pub(super) fn learn(&mut self, ids: impl Iterator<Item = u64>) {
        let fresh: BTreeSet<u64> = ids
            .filter(|id| *id != 0 && !self.paths.contains_key(id) && !self.unknown.contains(id))
            .collect();
        if fresh.is_empty() {
            return;
        }
        if self.unknown.len() > MOST_KEPT {
            self.unknown.clear();
        }
        if self.containers.len() > MOST_KEPT {
            self.containers.clear();
        }
        if let Some(root) = ROOTS
            .iter()
            .map(Path::new)
            .find(|root| root.join("cgroup.controllers").exists())
        {
            self.walk(root);
        }
        self.paths.entry(ROOT_ID).or_insert_with(|| "/".into());
        for id in fresh {
            match self.paths.get(&id) {
                None => {
                    self.unknown.insert(id);
                }
                Some(path) => {
                    if let Some(container) = Place::of(path.as_raw()).container_id {
                        self.containers
                            .entry(container)
                            .or_insert_with_key(|id| name_on_disk(id));
                    }
                }
            }
        }
    }

    /// Path of a group. Where the unified hierarchy has no groups (version 1), it is the one that
    /// systemd keeps for the process, while that runs.
    pub(super) fn path(&self, id: u64, pid: Option<u32>) -> Option<Untrusted> {
        if id == ROOT_ID
            && let Some(path) = pid.and_then(path_in_version_1)
        {
            return Some(path);
        }
        self.paths.get(&id).cloned()
    }

    /// Name of the container that a path is for.
    pub(super) fn container_name(&self, path: &Untrusted) -> Option<Untrusted> {
        let id = Place::of(path.as_raw()).container_id?;
        self.containers.get(&id)?.clone()
    }

    /// Notes all groups below a directory, and no longer those that are gone: their paths were told with the talkers.
    fn walk(&mut self, root: &Path) {
        self.paths.clear();
        let mut directories: Vec<PathBuf> = vec![root.to_owned()];
        let mut seen = 0;
        while let Some(directory) = directories.pop() {
            let Ok(entries) = fs::read_dir(&directory) else {
                // It is gone.
                continue;
            };
            for entry in entries.flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                seen += 1;
                if seen > MOST_GROUPS {
                    return;
                }
                let path = entry.path();
                if let Ok(below) = path.strip_prefix(root) {
                    let path = Untrusted::from_os(Path::new("/").join(below));
                    self.paths.insert(entry.ino(), path);
                }
                directories.push(path);
            }
        }
    }
}

/// `12:pids:/docker/…`, `1:name=systemd:/…`: the longest path of a process.
fn path_in_version_1(pid: u32) -> Option<Untrusted> {
    let text = Untrusted::from_bytes(&fs::read(format!("/proc/{pid}/cgroup")).ok()?);
    text.as_raw()
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .filter(|path| *path != "/")
        .max_by_key(|path| path.len())
        .map(Untrusted::from)
}

/// The name that a runtime has left: `config.v2.json` (docker), the link of the log (the kubelet:
/// `POD_NAMESPACE_CONTAINER-ID.log`).
fn name_on_disk(id: &str) -> Option<Untrusted> {
    let docker = format!("/var/lib/docker/containers/{id}/config.v2.json");
    if let Some(name) = fs::read(docker).ok().and_then(|bytes| docker_name(&bytes)) {
        return Some(name);
    }
    let logs = fs::read_dir("/var/log/containers").ok()?;
    logs.flatten()
        .find_map(|entry| kubelet_name(Untrusted::from_os(entry.file_name()).as_raw(), id))
}

fn docker_name(config: &[u8]) -> Option<Untrusted> {
    let config: Value = serde_json::from_slice(config).ok()?;
    let name = config.get("Name")?.as_str()?.trim_start_matches('/');
    (!name.is_empty()).then(|| name.into())
}

/// `NAMESPACE/POD/CONTAINER`.
fn kubelet_name(log: &str, id: &str) -> Option<Untrusted> {
    let name = log
        .strip_suffix(".log")?
        .strip_suffix(id)?
        .strip_suffix('-')?;
    let mut parts = name.split('_');
    let (pod, namespace, container) = (parts.next()?, parts.next()?, parts.next()?);
    Some(format!("{namespace}/{pod}/{container}").into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{CgroupNames, docker_name, kubelet_name};

    #[test]
    fn groups_that_are_gone_are_not_kept() {
        let root = tempfile::tempdir().expect("a directory");
        let mut names = CgroupNames::default();
        for number in 0..100 {
            let group = root.path().join(format!("job-{number}"));
            fs::create_dir(&group).expect("a directory");
            names.walk(root.path());
            assert_eq!(names.paths.len(), 1);
            fs::remove_dir(&group).expect("removed");
        }
    }

    #[test]
    fn container_names_come_from_the_paths_of_runtimes() {
        assert_eq!(
            docker_name(br#"{"ID":"0123","Name":"/web","Driver":"overlay2"}"#),
            Some("web".into())
        );
        assert_eq!(docker_name(b"{}"), None);
        assert_eq!(docker_name(b"not json"), None);
        assert_eq!(
            kubelet_name("web-7d4b_shop_nginx-0123abcd.log", "0123abcd"),
            Some("shop/web-7d4b/nginx".into())
        );
        assert_eq!(
            kubelet_name("web-7d4b_shop_nginx-0123abcd.log", "ffff"),
            None
        );
        assert_eq!(kubelet_name("0123abcd.log", "0123abcd"), None);
    }
}
