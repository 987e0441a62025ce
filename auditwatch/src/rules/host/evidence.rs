//! What a root has of the load of its rules: units with their drop-ins, masks and wants, init scripts and their settings.
//! In: a [`Root`]. Out: [`Evidence`]. What cannot be read is taken as not there.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    files::root::Root,
    rules::loader::{Evidence, Unit},
};

/// Directories of units, the strongest first (systemd.unit(5)).
const UNIT_DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// A whole system has this directory; without it nothing says which units are enabled.
const WANTS: &str = "/etc/systemd/system/multi-user.target.wants";
/// Settings of init scripts: Debian, Red Hat, `OpenRC`.
const SETTINGS: [&str; 3] = [
    "/etc/default/auditd",
    "/etc/sysconfig/auditd",
    "/etc/conf.d/auditd",
];
/// Longest unit or script that is read, bytes.
const MOST_BYTES: u64 = 1 << 20;

/// All of it. `is_off`: `audit=0` is on the kernel's command line; `lacks_auditd`: a whole system without it.
pub(super) fn of(root: &Root, is_off: bool, lacks_auditd: bool) -> Evidence {
    let exists = |path: &str| root.metadata(Path::new(path)).is_ok();
    // A mask leads to a device, which a disk does not have.
    let has = |path: &str| root.symlink_metadata(Path::new(path)).is_ok();
    Evidence {
        is_off,
        lacks_auditd,
        has_systemd: exists("/usr/lib/systemd/systemd")
            || exists("/lib/systemd/systemd")
            || UNIT_DIRECTORIES
                .iter()
                .any(|directory| has(&format!("{directory}/auditd.service"))),
        auditd: unit(root, "auditd.service"),
        audit_rules: unit(root, "audit-rules.service").or_else(|| unit(root, "augenrules.service")),
        script: text(root, Path::new("/etc/init.d/auditd")),
        settings: SETTINGS
            .iter()
            .find_map(|path| Some(((*path).to_owned(), text(root, Path::new(path))?))),
        is_nixos: exists("/etc/NIXOS"),
    }
}

fn text(root: &Root, path: &Path) -> Option<String> {
    let bytes = root.read_at_most(path, MOST_BYTES).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A unit as systemd puts it together; `None` if there is none.
fn unit(root: &Root, name: &str) -> Option<Unit> {
    let found = UNIT_DIRECTORIES.iter().find_map(|directory| {
        let path = Path::new(directory).join(name);
        root.symlink_metadata(&path).ok().map(|_| path)
    })?;
    let is_masked = root
        .read_link(&found)
        .is_ok_and(|to| to == Path::new("/dev/null"))
        || root
            .metadata(&found)
            .is_ok_and(|found| found.is_file() && found.len() == 0);
    let mut unit = Unit {
        name: name.to_owned(),
        is_masked,
        is_wanted: is_wanted(root, name),
        ..Unit::default()
    };
    if is_masked {
        return Some(unit);
    }
    let shown = |path: &Path| path.display().to_string();
    unit.parts.push((shown(&found), text(root, &found)?));
    // Of drop-ins with one name the strongest directory's counts; all of them in the order of their names.
    let mut drop_ins: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for directory in UNIT_DIRECTORIES.iter().rev() {
        let directory = Path::new(directory).join(format!("{name}.d"));
        for file in root.names(&directory).unwrap_or_default() {
            let file = PathBuf::from(file);
            if file.extension().is_some_and(|end| end == "conf") {
                drop_ins.insert(file.clone(), directory.join(file));
            }
        }
    }
    for path in drop_ins.values() {
        if let Some(content) = text(root, path) {
            unit.parts.push((shown(path), content));
        }
    }
    Some(unit)
}

/// Whether a target wants or requires it.
fn is_wanted(root: &Root, name: &str) -> Option<bool> {
    root.names(Path::new(WANTS)).ok()?;
    let is_wanted = UNIT_DIRECTORIES.iter().any(|directory| {
        let targets = root.names(Path::new(directory)).unwrap_or_default();
        targets.iter().any(|target| {
            let target = target.to_string_lossy();
            (target.ends_with(".wants") || target.ends_with(".requires"))
                && root
                    .symlink_metadata(&Path::new(directory).join(&*target).join(name))
                    .is_ok()
        })
    });
    Some(is_wanted)
}
