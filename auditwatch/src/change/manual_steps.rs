//! What auditwatch does not do itself, as commands for this distribution.
//!
//! In: texts and names of a root. Out: commands to be run by hand. Pure; none of them is ever run.

use std::path::Path;

use crate::untrusted::shell_word;

/// What tells distributions apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is whether something is there"
)]
pub struct System {
    /// Text of `/etc/os-release`; empty where there is none.
    pub os_release: String,
    /// Whether there is a `grubby`.
    pub has_grubby: bool,
    /// Whether there is an `update-grub`.
    pub has_update_grub: bool,
    /// Whether GRUB's files are in `/boot/grub2`.
    pub has_grub2: bool,
    /// Whether there is a `/etc/default/grub`.
    pub has_default_grub: bool,
    /// Whether systemd is there.
    pub has_systemd: bool,
    /// Text of auditd's unit; empty where there is none.
    pub auditd_unit: String,
    /// Whether there is a `service`.
    pub has_service: bool,
}

impl System {
    /// Whether it is that distribution or of its kind.
    fn is_like(&self, name: &str) -> bool {
        self.os_release.lines().any(|line| {
            ["ID=", "ID_LIKE="].iter().any(|key| {
                line.strip_prefix(key).is_some_and(|value| {
                    value
                        .trim_matches('"')
                        .split_whitespace()
                        .any(|word| word == name)
                })
            })
        })
    }
}

/// The command that gives the kernel's command line a limit, from boot until the rules are loaded.
#[must_use]
pub fn boot_limit(system: &System, limit: u32) -> String {
    let option = format!("audit_backlog_limit={limit}");
    if system.has_grubby {
        return format!("grubby --update-kernel=ALL --args=\"{option}\"");
    }
    let remake = if system.has_update_grub || system.is_like("debian") || system.is_like("ubuntu") {
        "update-grub"
    } else if system.has_grub2
        || ["suse", "opensuse", "sles", "rhel", "fedora"]
            .iter()
            .any(|name| system.is_like(name))
    {
        "grub2-mkconfig -o /boot/grub2/grub.cfg"
    } else {
        "grub-mkconfig -o /boot/grub/grub.cfg"
    };
    if system.has_default_grub {
        format!(
            "sed -i.bak -E -e '/^GRUB_CMDLINE_LINUX=/s/ ?audit_backlog_limit=[^ \"]*//g' -e \
             's/^GRUB_CMDLINE_LINUX=\"(.*)\"/GRUB_CMDLINE_LINUX=\"\\1 {option}\"/' /etc/default/grub && {remake}"
        )
    } else {
        format!("# add {option} to the kernel command line with the tool of your boot loader")
    }
}

/// A command for the system on a mounted disk: it would change this host's boot loader otherwise. Remarks stay.
#[must_use]
pub fn on_disk(root: &Path, command: &str) -> String {
    if command.starts_with('#') {
        return command.to_owned();
    }
    format!("chroot {} sh -c {}", shell_word(root), shell_word(command))
}

/// The configuration management that a file says it belongs to, by the comments at its beginning.
#[must_use]
pub fn manager(content: &[u8]) -> Option<&'static str> {
    const MANAGERS: [(&str, &str); 7] = [
        ("ansible", "Ansible"),
        ("puppet", "Puppet"),
        ("chef", "Chef"),
        ("salt", "Salt"),
        ("cloud-init", "cloud-init"),
        ("cfengine", "CFEngine"),
        ("your changes will be lost", "configuration management"),
    ];
    let beginning =
        String::from_utf8_lossy(content.get(..4096).unwrap_or(content)).to_ascii_lowercase();
    let comments = beginning
        .lines()
        .filter(|line| line.trim_start().starts_with('#'));
    let comments: Vec<&str> = comments.take(20).collect();
    let says_managed = |line: &str| {
        [
            "managed",
            "generated",
            "do not edit",
            "do not modify",
            "will be lost",
            "will be overwritten",
        ]
        .iter()
        .any(|words| line.contains(words))
    };
    comments
        .iter()
        .any(|line| says_managed(line))
        .then_some(())?;
    let (_, name) = MANAGERS
        .iter()
        .find(|(word, _)| comments.iter().any(|line| line.contains(word)))?;
    Some(name)
}

/// The command that restarts auditd, by which its rules are loaded. systemd may not stop it: whoever
/// does is to be known by the audit trail.
#[must_use]
pub fn restart_auditd(system: &System) -> &'static str {
    let refuses = system.auditd_unit.lines().any(|line| {
        line.split_once('=').is_some_and(|(key, value)| {
            key.trim() == "RefuseManualStop" && matches!(value.trim(), "yes" | "true" | "1" | "on")
        })
    });
    if system.has_systemd && !refuses && !system.auditd_unit.is_empty() {
        "systemctl restart auditd"
    } else if !system.has_systemd || system.has_service {
        "service auditd restart"
    } else {
        "auditctl --signal stop && systemctl start auditd"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(os_release: &str) -> System {
        System {
            os_release: os_release.to_owned(),
            has_default_grub: true,
            has_systemd: true,
            has_service: true,
            auditd_unit: "[Unit]\nRefuseManualStop=yes\n".to_owned(),
            ..System::default()
        }
    }

    #[test]
    fn each_distribution_has_its_own_way() {
        let red_hat = System {
            has_grubby: true,
            ..system("ID=\"amzn\"\nID_LIKE=\"centos rhel fedora\"\n")
        };
        assert_eq!(
            boot_limit(&red_hat, 8192),
            "grubby --update-kernel=ALL --args=\"audit_backlog_limit=8192\""
        );
        assert!(
            boot_limit(&system("ID=ubuntu\nID_LIKE=debian\n"), 8192).ends_with("&& update-grub")
        );
        let suse = system("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n");
        assert!(boot_limit(&suse, 8192).ends_with("grub2-mkconfig -o /boot/grub2/grub.cfg"));
        assert!(boot_limit(&system("ID=arch\n"), 8192).ends_with("/boot/grub/grub.cfg"));
        assert!(boot_limit(&System::default(), 8192).starts_with('#'));
    }

    #[test]
    fn commands_for_a_disk_are_run_on_it() {
        assert_eq!(
            on_disk(Path::new("/mnt/a b"), "update-grub"),
            "chroot '/mnt/a b' sh -c update-grub"
        );
        assert_eq!(on_disk(Path::new("/mnt"), "# add it"), "# add it");
    }

    #[test]
    fn files_of_configuration_management_say_whose_they_are() {
        for (text, expected) in [
            (
                "## This file is managed by Ansible, YOUR CHANGES WILL BE LOST!\n-b 4096\n",
                Some("Ansible"),
            ),
            (
                "# This file is managed by Puppet.\n-b 4096\n",
                Some("Puppet"),
            ),
            ("# Generated by Chef\n", Some("Chef")),
            ("## First rule - delete all\n-D\n# salt in the soup\n", None),
            ("-w /etc/ansible -p wa -k managed\n", None),
        ] {
            assert_eq!(manager(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn systemd_may_not_stop_auditd() {
        assert_eq!(restart_auditd(&system("")), "service auditd restart");
        let newer = System {
            has_service: false,
            ..system("")
        };
        assert!(restart_auditd(&newer).contains("auditctl --signal stop"));
        let allows = System {
            auditd_unit: "[Unit]\n".to_owned(),
            ..system("")
        };
        assert_eq!(restart_auditd(&allows), "systemctl restart auditd");
        assert_eq!(restart_auditd(&System::default()), "service auditd restart");
    }
}
