//! What this process may do, and where it runs.
//!
//! In: texts of `/proc/self`. Out: [`Privileges`]. Pure.

use serde::{Deserialize, Serialize};

/// Capabilities that matter here, by their numbers (uapi linux/capability.h).
const CAPABILITIES: [(u32, &str); 7] = [
    (19, "CAP_SYS_PTRACE"),
    (21, "CAP_SYS_ADMIN"),
    (30, "CAP_AUDIT_CONTROL"),
    (34, "CAP_SYSLOG"),
    (37, "CAP_AUDIT_READ"),
    (38, "CAP_PERFMON"),
    (39, "CAP_BPF"),
];
/// Inode of the initial pid namespace (`PROC_PID_INIT_INO`, uapi linux/nsfs.h and
/// before that `include/linux/proc_ns.h`).
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;
/// Inode of the initial user namespace (`PROC_USER_INIT_INO`).
const INITIAL_USER_NAMESPACE: u64 = 0xefff_fffd;

/// What this process may do; `None`: not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privileges {
    /// Effective capabilities, as a bit set.
    pub capabilities: Option<u64>,
    /// Effective user id.
    pub uid: Option<u32>,
    /// Runs in the initial user namespace.
    pub initial_user_namespace: Option<bool>,
    /// Runs in the initial pid namespace.
    pub initial_pid_namespace: Option<bool>,
}

impl Privileges {
    /// Reads `/proc/self/status`, and the targets of `/proc/self/ns/user` and `pid`.
    #[must_use]
    pub fn parse(status: &str, user_namespace: Option<&str>, pid_namespace: Option<&str>) -> Self {
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
        };
        Self {
            capabilities: field("CapEff:").and_then(|hex| u64::from_str_radix(hex, 16).ok()),
            // "Uid:	real	effective	saved	filesystem"
            uid: field("Uid:").and_then(|ids| ids.split_whitespace().nth(1)?.parse().ok()),
            initial_user_namespace: user_namespace
                .and_then(namespace_inode)
                .map(|inode| inode == INITIAL_USER_NAMESPACE),
            initial_pid_namespace: pid_namespace
                .and_then(namespace_inode)
                .map(|inode| inode == INITIAL_PID_NAMESPACE),
        }
    }

    /// Whether the process has a capability, by its name.
    #[must_use]
    pub fn has(&self, name: &str) -> Option<bool> {
        let &(bit, _) = CAPABILITIES.iter().find(|(_, known)| *known == name)?;
        Some(self.capabilities? >> bit & 1 == 1)
    }

    /// Whether the kernel may let this process load programs that trace it (`bpf_prog_load`, kernel/bpf/syscall.c):
    /// that is false only if it certainly will not.
    #[must_use]
    pub fn can_load_bpf(&self) -> bool {
        let may = |name| self.has(name) != Some(false);
        self.initial_user_namespace != Some(false)
            && (may("CAP_SYS_ADMIN") || may("CAP_BPF") && may("CAP_PERFMON"))
    }
}

/// `user:[4026531837]`
fn namespace_inode(target: &str) -> Option<u64> {
    target.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_on_the_host_has_everything() {
        let root = Privileges::parse(
            "Name:\tsh\nUid:\t1000\t0\t0\t0\nCapEff:\t000001ffffffffff\n",
            Some("user:[4026531837]"),
            Some("pid:[4026531836]"),
        );
        assert_eq!(root.uid, Some(0));
        assert_eq!(root.has("CAP_BPF"), Some(true));
        assert_eq!(root.initial_user_namespace, Some(true));
        assert_eq!(root.initial_pid_namespace, Some(true));
    }

    #[test]
    fn container_is_distinguished_from_the_host() {
        let contained = Privileges::parse(
            "Uid:\t0\t0\t0\t0\nCapEff:\t00000000a80425fb\n",
            Some("user:[4026532001]"),
            Some("pid:[4026532004]"),
        );
        assert_eq!(contained.has("CAP_BPF"), Some(false));
        assert_eq!(contained.has("CAP_SYS_ADMIN"), Some(false));
        assert_eq!(contained.initial_user_namespace, Some(false));
        assert_eq!(contained.initial_pid_namespace, Some(false));
    }

    #[test]
    fn unreadable_privileges_are_unknown() {
        let unknown = Privileges::parse("", None, Some("garbage"));
        assert_eq!(unknown, Privileges::default());
        assert_eq!(unknown.has("CAP_BPF"), None);
        assert_eq!(unknown.has("CAP_WAKE_ALARM"), None);
    }
}
