//! Who takes the records, and how it is set up: files of the host come in, a [`ConsumerSetup`] goes
//! out.
//!
//! It only reads. Nothing is asked of auditd, and what cannot be read is `None`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::control_group;
use crate::{
    auditd::{
        ConsumerSetup, CpuTimes,
        conf::{AuditdConf, plugin_is_active},
        state::AuditdState,
    },
    kernel::process_stat::ProcessStat,
    untrusted::Untrusted,
};

/// Where auditd's configuration lies, unless it was told otherwise.
const CONF_DIR: &str = "/etc/audit";
/// Where auditd leaves its state: 4.0 and later, and before.
const STATES: [&str; 3] = [
    "/run/audit/auditd.state",
    "/run/auditd.state",
    "/var/run/auditd.state",
];
/// Longest file that is read, bytes: none of these comes near it.
const MOST_BYTES: u64 = 1 << 20;

/// The set-up of the process that takes the records; `None` without one.
pub(crate) fn consumer(pid: Option<u32>) -> Option<ConsumerSetup> {
    consumer_below(Path::new("/"), pid, SystemTime::now())
}

/// What the main thread of that process has had of the CPUs so far; `None` where nobody tells.
pub(crate) fn times(pid: Option<u32>) -> Option<CpuTimes> {
    Tree {
        root: Path::new("/"),
    }
    .times(pid.filter(|&pid| pid > 0)?)
}

/// The same below a root directory.
fn consumer_below(root: &Path, pid: Option<u32>, now: SystemTime) -> Option<ConsumerSetup> {
    let pid = pid.filter(|&pid| pid > 0)?;
    let tree = Tree { root };
    let process = format!("/proc/{pid}");
    let comm = tree
        .text(&format!("{process}/comm"))
        .map(|comm| Untrusted::from(comm.trim()));
    let mut setup = ConsumerSetup {
        pid,
        nice: tree
            .text(&format!("{process}/stat"))
            .and_then(|stat| ProcessStat::parse(&stat))
            .map(|stat| stat.nice),
        times: tree.times(pid),
        cpu_quota: control_group::cpu_quota(root, pid),
        is_stopped: control_group::is_stopped(root, pid),
        comm,
        rmem_default_bytes: tree
            .text("/proc/sys/net/core/rmem_default")
            .and_then(|text| text.trim().parse().ok()),
        ..ConsumerSetup::default()
    };
    if setup.is_auditd() != Some(true) {
        return Some(setup);
    }
    let command = tree.text(&format!("{process}/cmdline")).unwrap_or_default();
    let directory = conf_dir(&command).unwrap_or_else(|| CONF_DIR.to_owned());
    let path = format!("{}/auditd.conf", directory.trim_end_matches('/'));
    setup.conf = tree.text(&path).map(|text| AuditdConf::parse(&text));
    setup.plugins = setup
        .conf
        .as_ref()
        .and_then(|conf| tree.plugins(&conf.plugin_dir));
    setup.conf_path = Some(path);
    for path in STATES {
        let Some(state) = tree.text(path).and_then(|text| AuditdState::parse(&text)) else {
            continue;
        };
        setup.state = Some(state);
        setup.state_path = Some(path.to_owned());
        setup.state_age_ns = tree.age_ns(path, now);
        break;
    }
    Some(setup)
}

/// Files below a root.
struct Tree<'a> {
    root: &'a Path,
}

impl Tree<'_> {
    fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// A file's text; a byte that is no text is replaced.
    fn text(&self, absolute: &str) -> Option<String> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        fs::File::open(self.path(absolute))
            .ok()?
            .take(MOST_BYTES)
            .read_to_end(&mut bytes)
            .ok()?;
        Some(Untrusted::from_bytes(&bytes).into_raw())
    }

    /// A process's `schedstat`: time on a CPU, time that it waited for one, ns.
    fn times(&self, pid: u32) -> Option<CpuTimes> {
        let text = self.text(&format!("/proc/{pid}/schedstat"))?;
        let mut fields = text.split_whitespace().map(str::parse);
        Some(CpuTimes {
            pid,
            ran_ns: fields.next()?.ok()?,
            waited_ns: fields.next()?.ok()?,
        })
    }

    /// Plugins that are switched on, in the order of their names.
    fn plugins(&self, directory: &str) -> Option<Vec<String>> {
        let mut names: Vec<String> = fs::read_dir(self.path(directory))
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| Some(name.strip_suffix(".conf")?.to_owned()))
            .filter(|name| {
                self.text(&format!("{directory}/{name}.conf"))
                    .is_some_and(|text| plugin_is_active(&text))
            })
            .collect();
        names.sort_unstable();
        Some(names)
    }

    fn age_ns(&self, absolute: &str, now: SystemTime) -> Option<u64> {
        let written = fs::metadata(self.path(absolute)).ok()?.modified().ok()?;
        // One from the future was written just now.
        let age = now.duration_since(written).unwrap_or_default();
        u64::try_from(age.as_nanos()).ok()
    }
}

/// The directory that auditd was told to take its configuration from (`auditd -c DIR`).
fn conf_dir(command: &str) -> Option<String> {
    let mut words = command.split('\0').skip(1);
    while let Some(word) = words.next() {
        if word == "-c" {
            return words.next().map(str::to_owned);
        }
        if let Some(directory) = word.strip_prefix("-c") {
            return Some(directory.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;

    /// A temporary root directory with these files.
    fn root_with(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().expect("a temporary directory");
        for (file, text) in files {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().expect("a directory")).expect("made");
            fs::write(file, text).expect("written");
        }
        root
    }

    const STAT: &str = "7 (audit (d) S 1 7 7 0 -1 4194624 1 0 0 0 1 2 0 0 16 -4 2 0 100 9 9";

    #[test]
    fn auditd_is_found_with_its_own_configuration() {
        let root = root_with(&[
            ("proc/7/comm", "auditd\n"),
            ("proc/7/stat", STAT),
            ("proc/7/schedstat", "5000 70 3\n"),
            ("proc/7/cmdline", "/sbin/auditd\0-n\0-c\0/etc/other\0"),
            ("proc/sys/net/core/rmem_default", "212992\n"),
            ("etc/audit/auditd.conf", "flush = none\n"),
            (
                "etc/other/auditd.conf",
                "flush = sync\nplugin_dir = /etc/p\n",
            ),
            ("etc/p/af_unix.conf", "active = yes\n"),
            ("etc/p/syslog.conf", "active = no\n"),
            ("etc/p/au-remote.conf", "active = yes\n"),
            ("etc/p/README", "active = yes\n"),
            (
                "run/auditd.state",
                "audit version = 3.0.9\nlogging suspended = yes\n",
            ),
        ]);
        let later = SystemTime::now() + Duration::from_mins(10);
        let setup = consumer_below(root.path(), Some(7), later).expect("there");
        assert_eq!(setup.is_auditd(), Some(true));
        assert_eq!(setup.nice, Some(-4));
        let (pid, ran_ns, waited_ns) = (7, 5000, 70);
        let times = CpuTimes {
            pid,
            ran_ns,
            waited_ns,
        };
        assert_eq!(setup.times, Some(times));
        let later_times = CpuTimes {
            ran_ns: 6000,
            ..times
        };
        let grown = later_times.since(&times).expect("the same process");
        assert_eq!((grown.ran_ns, grown.waited_ns), (1000, 0));
        assert_eq!(times.since(&later_times), None);
        assert_eq!(times.since(&CpuTimes { pid: 8, ..times }), None);
        let (conf, path) = setup.configuration().expect("read");
        assert_eq!(path, "/etc/other/auditd.conf");
        assert!(conf.flush.waits_for_each());
        assert_eq!(
            setup.plugins.as_deref(),
            Some(["af_unix".to_owned(), "au-remote".to_owned()].as_slice())
        );
        assert_eq!(setup.state_path.as_deref(), Some("/run/auditd.state"));
        assert!(setup.state_age_ns.is_some_and(|ns| ns >= 500_000_000_000));
        assert_eq!(setup.rmem_default_bytes, Some(212_992));
        assert_eq!(consumer_below(root.path(), Some(0), later), None);
        assert_eq!(consumer_below(root.path(), None, later), None);
    }

    #[test]
    fn another_consumer_has_no_configuration_of_auditds() {
        let root = root_with(&[
            ("proc/9/comm", "osqueryd\n"),
            ("etc/audit/auditd.conf", "flush = sync\n"),
        ]);
        let setup = consumer_below(root.path(), Some(9), SystemTime::now()).expect("there");
        assert_eq!(setup.comm, Some("osqueryd".into()));
        assert_eq!((setup.conf, setup.conf_path), (None, None));
        // Whoever is gone by then has left nothing but its number.
        let gone = consumer_below(root.path(), Some(10), SystemTime::now()).expect("there");
        assert_eq!(gone.is_auditd(), None);
    }

    #[test]
    fn a_directory_may_stand_right_behind_its_option() {
        assert_eq!(conf_dir("auditd\0-c/a\0").as_deref(), Some("/a"));
        assert_eq!(conf_dir("auditd\0-n\0"), None);
    }
}
