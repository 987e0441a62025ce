//! [`Facts`]: everything about the host that can be read before anything is tried.
//!
//! In: `/proc`, `/sys` and `/boot`. Out: values; what could not be read is `None`.
//! It must not change anything, and must not ask the audit subsystem.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    btf::Btf, cmdline::AuditBoot, privileges::Privileges, symbols::Symbols, types::KernelTypes,
};

/// Facts of the running kernel and of this process.
#[derive(Debug)]
pub struct Facts {
    /// Kernel release.
    pub release: Option<String>,
    /// Ticks a second (`CONFIG_HZ`).
    pub hz: Option<u32>,
    /// CPUs that the kernel may use.
    pub cpus: Option<u32>,
    /// The kernel's types.
    pub types: Option<KernelTypes>,
    /// Why there are none.
    pub types_missing: Option<String>,
    /// The kernel's symbols.
    pub symbols: Symbols,
    /// Whether the kernel offers kprobes.
    pub kprobes: Option<bool>,
    /// Audit's boot options.
    pub boot: Option<AuditBoot>,
    /// The kernel's lockdown mode: `none`, `integrity` or `confidentiality`.
    pub lockdown: Option<String>,
    /// Security modules in force.
    pub lsm: Option<Vec<String>>,
    /// What this process may do.
    pub privileges: Privileges,
    /// `kernel.kptr_restrict`.
    pub kptr_restrict: Option<u32>,
    /// `kernel.perf_event_paranoid` where it is not negative. At 3 and more Debian's kernels refuse kprobes to all
    /// without `CAP_SYS_ADMIN`.
    pub perf_event_paranoid: Option<u32>,
    /// `kernel.unprivileged_bpf_disabled`.
    pub unprivileged_bpf_disabled: Option<u32>,
    /// What makes this look like a container.
    pub container: Option<String>,
}

impl Facts {
    /// Reads the facts of the running host.
    #[must_use]
    pub fn gather() -> Self {
        Self::gather_below(Path::new("/"))
    }

    /// Reads the facts below a root directory.
    #[must_use]
    pub fn gather_below(root: &Path) -> Self {
        let tree = Tree { root };
        let release = tree.word("proc/sys/kernel/osrelease");
        let symbols = Symbols::parse(&tree.bytes("proc/kallsyms").unwrap_or_default());
        let (types, types_missing) = tree.types();
        Self {
            hz: tree.hz(release.as_deref()),
            cpus: tree
                .text("sys/devices/system/cpu/possible")
                .and_then(|list| count_cpus(&list)),
            types,
            types_missing,
            kprobes: tree.kprobes(&symbols),
            symbols,
            boot: tree
                .text("proc/cmdline")
                .map(|cmdline| AuditBoot::parse(&cmdline)),
            lockdown: tree
                .text("sys/kernel/security/lockdown")
                .and_then(|modes| chosen(&modes)),
            lsm: tree
                .text("sys/kernel/security/lsm")
                .map(|list| list.trim().split(',').map(str::to_owned).collect()),
            privileges: Privileges::parse(
                &tree.text("proc/self/status").unwrap_or_default(),
                tree.link("proc/self/ns/user").as_deref(),
                tree.link("proc/self/ns/pid").as_deref(),
            ),
            kptr_restrict: tree.number("proc/sys/kernel/kptr_restrict"),
            perf_event_paranoid: tree.number("proc/sys/kernel/perf_event_paranoid"),
            unprivileged_bpf_disabled: tree.number("proc/sys/kernel/unprivileged_bpf_disabled"),
            container: tree.container(),
            release,
        }
    }
}

/// Ticks a second of the running kernel, by its configuration where that can be read: a fact that costs no walk over
/// the kernel's symbols and types.
#[must_use]
pub fn running_hz() -> Option<u32> {
    let tree = Tree {
        root: Path::new("/"),
    };
    tree.hz(tree.word("proc/sys/kernel/osrelease").as_deref())
}

/// The facts that cost next to nothing.
#[derive(Clone, Debug, Default)]
pub struct Basics {
    /// Kernel release.
    pub release: Option<String>,
    /// Ticks a second (`CONFIG_HZ`).
    pub hz: Option<u32>,
    /// Audit's boot options.
    pub boot: Option<AuditBoot>,
    /// Whether this process sees the process ids of the host; `None` where that cannot be told.
    pub initial_pid_namespace: Option<bool>,
}

impl Basics {
    /// Reads those of the running host.
    #[must_use]
    pub fn gather() -> Self {
        let tree = Tree {
            root: Path::new("/"),
        };
        let release = tree.word("proc/sys/kernel/osrelease");
        let link = tree.link("proc/self/ns/pid");
        Self {
            hz: tree.hz(release.as_deref()),
            boot: tree
                .text("proc/cmdline")
                .map(|cmdline| AuditBoot::parse(&cmdline)),
            initial_pid_namespace: Privileges::parse("", None, link.as_deref())
                .initial_pid_namespace,
            release,
        }
    }
}

/// Files below a root.
struct Tree<'a> {
    root: &'a Path,
}

impl Tree<'_> {
    fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    fn bytes(&self, relative: &str) -> Option<Vec<u8>> {
        fs::read(self.path(relative)).ok()
    }

    fn text(&self, relative: &str) -> Option<String> {
        fs::read_to_string(self.path(relative)).ok()
    }

    fn word(&self, relative: &str) -> Option<String> {
        Some(self.text(relative)?.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn number(&self, relative: &str) -> Option<u32> {
        self.word(relative)?.parse().ok()
    }

    fn link(&self, relative: &str) -> Option<String> {
        let target = fs::read_link(self.path(relative)).ok()?;
        Some(target.to_str()?.to_owned())
    }

    fn types(&self) -> (Option<KernelTypes>, Option<String>) {
        let path = self.path("sys/kernel/btf/vmlinux");
        let parsed = fs::read(&path)
            .map_err(|error| error.to_string())
            .and_then(|blob| Btf::parse(blob).map_err(|error| error.to_string()));
        match parsed {
            Ok(btf) => (Some(KernelTypes::extract(&btf)), None),
            Err(cause) => (None, Some(format!("{}: {cause}", path.display()))),
        }
    }

    /// `CONFIG_HZ` from where distributions leave the configuration in plain text.
    /// A trace measures HZ where this finds none.
    fn hz(&self, release: Option<&str>) -> Option<u32> {
        let release = release?;
        [
            format!("boot/config-{release}"),
            format!("lib/modules/{release}/config"),
            format!("usr/lib/modules/{release}/config"),
            format!("lib/modules/{release}/build/.config"),
        ]
        .iter()
        .find_map(|path| config_hz(&self.bytes(path)?))
    }

    /// The kernel lists its probe types as event sources; where that cannot be
    /// seen, the function that registers probes tells.
    fn kprobes(&self, symbols: &Symbols) -> Option<bool> {
        if self.path("sys/bus/event_source/devices/kprobe").exists() {
            return Some(true);
        }
        if symbols.is_empty() {
            return None;
        }
        Some(symbols.present("register_kprobe"))
    }

    fn container(&self) -> Option<String> {
        if self.path(".dockerenv").exists() {
            return Some("/.dockerenv is there".to_owned());
        }
        if self.path("run/.containerenv").exists() {
            return Some("/run/.containerenv is there".to_owned());
        }
        let environ = self.bytes("proc/1/environ")?;
        environ
            .split(|&byte| byte == 0)
            .find_map(|entry| entry.strip_prefix(b"container="))
            .map(|kind| format!("container={}", String::from_utf8_lossy(kind)))
    }
}

/// `0-3,8` is five.
fn count_cpus(list: &str) -> Option<u32> {
    list.trim()
        .split(',')
        .map(|range| {
            let (low, high) = range.split_once('-').unwrap_or((range, range));
            let (low, high): (u32, u32) = (low.parse().ok()?, high.parse().ok()?);
            high.checked_sub(low)?.checked_add(1)
        })
        .sum()
}

/// `none [integrity] confidentiality` is `integrity`.
fn chosen(modes: &str) -> Option<String> {
    let (_, rest) = modes.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

fn config_hz(config: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"CONFIG_HZ=";
    // A quarter of a megabyte: searched as bytes.
    let at = memchr::memmem::find_iter(config, NAME)
        .find(|&at| at == 0 || config.get(at - 1) == Some(&b'\n'))?;
    let value = config
        .get(at + NAME.len()..)?
        .split(|&byte| byte == b'\n')
        .next()?;
    let hz: u32 = std::str::from_utf8(value).ok()?.trim().parse().ok()?;
    (hz > 0).then_some(hz)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_counted() {
        assert_eq!(count_cpus("0\n"), Some(1));
        assert_eq!(count_cpus("0-3,8\n"), Some(5));
        assert_eq!(count_cpus("3-0"), None);
        assert_eq!(count_cpus(""), None);
    }

    #[test]
    fn the_mode_in_brackets_is_in_force() {
        assert_eq!(
            chosen("none [integrity] confidentiality\n").as_deref(),
            Some("integrity")
        );
        assert_eq!(chosen("none"), None);
    }

    #[test]
    fn hz_is_read_from_the_configuration() {
        assert_eq!(
            config_hz(b"CONFIG_HZ_250=y\n# CONFIG_HZ=1\nCONFIG_HZ=250\n"),
            Some(250)
        );
        assert_eq!(config_hz(b"# CONFIG_HZ is not set\n"), None);
        assert_eq!(config_hz(b"CONFIG_HZ=0\n"), None);
    }

    #[test]
    fn an_empty_root_yields_no_facts_and_no_panic() {
        let facts = Facts::gather_below(Path::new("/nonexistent"));
        assert_eq!(facts.release, None);
        assert_eq!(facts.hz, None);
        assert_eq!(facts.cpus, None);
        assert!(facts.types.is_none());
        assert!(
            facts
                .types_missing
                .is_some_and(|why| why.contains("vmlinux"))
        );
        assert_eq!(facts.kprobes, None);
        assert_eq!(facts.privileges, Privileges::default());
    }
}
