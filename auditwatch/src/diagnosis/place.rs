//! Where the commands of the advice are run. In: the log's kernel, the host's os-release, the directory of `--root`.
//! Out: commands that exist there.

use super::report::{Boot, What};

/// The oldest kernel that auditwatch runs on.
const OLDEST: (u64, u64) = (5, 10);

/// Where a log is from, as far as the caller knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The directory at which the disk is mounted, as a word of a shell.
    pub root: Option<String>,
    /// The text of os-release.
    pub os_release: Option<String>,
}

/// How a distribution configures its boot loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    RedHat,
    Debian,
    Suse,
    Unknown,
}

/// A host on which commands are run, or whose disk is at hand.
#[derive(Clone, Debug)]
pub struct Place {
    root: Option<String>,
    kernel: Option<(u64, u64)>,
    family: Family,
    has_systemd: bool,
    /// Whether the log has words of software that is older than auditwatch supports.
    is_old: bool,
}

impl Place {
    /// The host of these boots; the last one counts.
    pub fn new<'a>(
        boots: impl DoubleEndedIterator<Item = &'a Boot> + Clone,
        origin: &Origin,
    ) -> Self {
        let is_old = boots.clone().any(is_old);
        let release = boots
            .rev()
            .find_map(|boot| boot.kernel.as_ref())
            .map_or("", |kernel| kernel.as_raw());
        let family = origin
            .os_release
            .as_deref()
            .map_or(Family::Unknown, of_os_release);
        let family = if family == Family::Unknown {
            of_release(release)
        } else {
            family
        };
        let kernel = version(release);
        Self {
            root: origin.root.clone(),
            kernel,
            family,
            has_systemd: !release.contains(".el6")
                && kernel.map_or(!is_old, |kernel| kernel >= (3, 2)),
            is_old,
        }
    }

    /// Whether it is a mounted disk.
    #[must_use]
    pub const fn is_disk(&self) -> bool {
        self.root.is_some()
    }

    /// Whether auditwatch runs on that kernel, as far as it is known.
    #[must_use]
    pub fn runs_auditwatch(&self) -> bool {
        self.root.is_none() && self.kernel.map_or(!self.is_old, |kernel| kernel >= OLDEST)
    }

    /// A path on that host, as it is reached from here.
    #[must_use]
    pub fn path(&self, path: &str) -> String {
        self.root.as_deref().map_or_else(
            || path.to_owned(),
            |root| format!("{}{path}", root.trim_end_matches('/')),
        )
    }

    /// Commands of a host that runs; a disk has none.
    #[must_use]
    pub fn live(&self, commands: &[&str]) -> Vec<String> {
        if self.is_disk() {
            return Vec::new();
        }
        commands.iter().map(|&command| command.to_owned()).collect()
    }

    /// Starts auditd and shows why it ended.
    #[must_use]
    pub fn start_auditd(&self) -> Vec<String> {
        match (&self.root, self.has_systemd) {
            (Some(root), _) => vec![format!(
                "grep -rhE 'audit(d|ctl)' {}/var/log/messages* {}/var/log/syslog*",
                root.trim_end_matches('/'),
                root.trim_end_matches('/')
            )],
            (None, true) => vec![
                "journalctl -u auditd".to_owned(),
                "systemctl start auditd".to_owned(),
            ],
            (None, false) => vec![
                "grep auditd /var/log/messages".to_owned(),
                "service auditd start".to_owned(),
            ],
        }
    }

    /// Restarts auditd. The unit of many distributions refuses `systemctl restart`.
    #[must_use]
    pub fn restart_auditd(&self) -> Vec<String> {
        self.live(&["service auditd restart"])
    }

    /// Sets the limit, now and at boot.
    #[must_use]
    pub fn set_limit(&self, limit: u32) -> Vec<String> {
        match &self.root {
            Some(root) => vec![format!("auditwatch apply {limit} --root {root}")],
            None if self.runs_auditwatch() => vec![format!("auditwatch apply {limit}")],
            None => vec![format!("auditctl -b {limit}")],
        }
    }

    /// The words behind [`Self::set_limit`].
    #[must_use]
    pub fn how_limit_stays(&self, limit: u32) -> String {
        if self.is_disk() || self.runs_auditwatch() {
            return String::new();
        }
        let rules = if self.has_systemd {
            "/etc/audit/rules.d/audit.rules"
        } else {
            "/etc/audit/audit.rules"
        };
        format!("; put -b {limit} into {rules} too, because auditctl lasts until the next boot")
    }

    /// Adds a word to the kernel's command line.
    #[must_use]
    pub fn boot_option(&self, word: &str) -> Vec<String> {
        let (chroot, root) = self.root.as_deref().map_or_else(
            || (String::new(), ""),
            |root| (format!("chroot {root} "), root.trim_end_matches('/')),
        );
        let edit =
            || format!("sed -i 's/^GRUB_CMDLINE_LINUX=\"/&{word} /' {root}/etc/default/grub");
        match self.family {
            Family::RedHat => vec![format!("{chroot}grubby --update-kernel=ALL --args={word}")],
            Family::Debian => vec![edit(), format!("{chroot}update-grub")],
            Family::Suse => vec![
                edit(),
                format!("{chroot}grub2-mkconfig -o /boot/grub2/grub.cfg"),
            ],
            Family::Unknown => Vec::new(),
        }
    }
}

/// auditd up to 2.8, or a kernel up to 4.9, by their words.
fn is_old(boot: &Boot) -> bool {
    let suppressed = boot.timeline.iter().any(|event| {
        matches!(&event.what, What::Suppressed { function, .. } if *function == "audit_printk_skb")
    });
    suppressed
        || boot.auditd.contains_key("dispatcher_full")
        || boot.reasons.contains_key("printk_limit")
        || boot.reasons.contains_key("auditd_gone")
        || boot
            .panics
            .iter()
            .any(|panic| panic.as_raw().contains("audit_pid="))
}

/// `5.14.0-427.el9.x86_64`: 5 and 14.
fn version(release: &str) -> Option<(u64, u64)> {
    let mut parts = release.split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn of_release(release: &str) -> Family {
    let has = |words: &[&str]| words.iter().any(|word| release.contains(word));
    if has(&[".el", ".fc", "amzn", "uek"]) {
        Family::RedHat
    } else if has(&[
        "-generic",
        "-azure",
        "-aws",
        "-gcp",
        "-lowlatency",
        "-amd64",
        "-arm64",
        "+deb",
        "-virtual",
        "-686",
    ]) {
        Family::Debian
    } else if release.ends_with("-default") {
        Family::Suse
    } else {
        Family::Unknown
    }
}

fn of_os_release(text: &str) -> Family {
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap_or_default()
            .trim_matches('"')
    };
    let ids = format!("{} {}", value("ID="), value("ID_LIKE="));
    let mut ids = ids.split(' ');
    ids.find_map(|id| match id {
        "rhel" | "centos" | "fedora" | "amzn" | "rocky" | "almalinux" | "ol" => {
            Some(Family::RedHat)
        }
        "debian" | "ubuntu" => Some(Family::Debian),
        "suse" | "sles" | "opensuse" => Some(Family::Suse),
        _ => None,
    })
    .unwrap_or(Family::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(kernel: &str, origin: &Origin) -> Place {
        let boot = Boot {
            kernel: Some(kernel.into()),
            ..Boot::default()
        };
        Place::new([boot].iter(), origin)
    }

    #[test]
    fn commands_fit_kernel_and_distribution() {
        let live = Origin::default();
        let rhel6 = place("2.6.32-754.el6.x86_64", &live);
        assert_eq!(rhel6.set_limit(8192), ["auditctl -b 8192"]);
        assert!(
            rhel6
                .how_limit_stays(8192)
                .contains("/etc/audit/audit.rules")
        );
        assert_eq!(rhel6.start_auditd()[1], "service auditd start");
        let debian = place("6.1.0-18-amd64", &live);
        assert_eq!(debian.set_limit(8192), ["auditwatch apply 8192"]);
        assert_eq!(debian.boot_option("audit=1")[1], "update-grub");
        let rhel8 = place("4.18.0-553.el8_10.x86_64", &live);
        assert!(!rhel8.runs_auditwatch());
        assert!(rhel8.boot_option("audit=1")[0].starts_with("grubby "));
        assert_eq!(place("", &live).boot_option("audit=1"), [""; 0]);
    }

    #[test]
    fn commands_of_a_disk_name_its_directory() {
        let disk = Origin {
            root: Some("/mnt/disk".to_owned()),
            os_release: Some("NAME=x\nID=ubuntu\nID_LIKE=debian\n".to_owned()),
        };
        let disk = place("4.15.0", &disk);
        assert_eq!(
            disk.set_limit(8192),
            ["auditwatch apply 8192 --root /mnt/disk"]
        );
        assert_eq!(
            disk.boot_option("audit=1"),
            [
                "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&audit=1 /' /mnt/disk/etc/default/grub",
                "chroot /mnt/disk update-grub"
            ]
        );
        assert!(disk.live(&["auditctl -s"]).is_empty() && !disk.runs_auditwatch());
    }
}
