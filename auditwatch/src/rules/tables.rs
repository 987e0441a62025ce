//! Names that auditctl of auditd 3.0.9 knows, and their numbers: fields, system calls, record types, errors,
//! instruction sets. A name comes in, a number goes out, or nothing, which stops a load.

use std::{collections::HashMap, sync::LazyLock};

use super::kernel::number as n;

/// A table of names.
type Names = HashMap<&'static str, u32>;

const SYSCALLS: &str = include_str!("syscalls.txt");
const MESSAGE_TYPES: &str = include_str!("message_types.txt");
const ERRNOS: &str = include_str!("errnos.txt");

/// Instruction sets that auditctl has tables for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of instruction sets")]
pub enum Machine {
    X86,
    X86_64,
    Ppc64,
    Ppc64Le,
    Ppc,
    S390x,
    S390,
    Arm,
    Aarch64,
}

impl Machine {
    const ALL: [Self; 9] = [
        Self::X86,
        Self::X86_64,
        Self::Ppc64,
        Self::Ppc64Le,
        Self::Ppc,
        Self::S390x,
        Self::S390,
        Self::Arm,
        Self::Aarch64,
    ];

    /// The one of a name, as in uname(1), in either case.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        Some(match lower(name).as_str() {
            "i386" | "i486" | "i586" | "i686" => Self::X86,
            "x86_64" => Self::X86_64,
            "ppc64" => Self::Ppc64,
            "ppc64le" => Self::Ppc64Le,
            "ppc" => Self::Ppc,
            "s390x" => Self::S390x,
            "s390" => Self::S390,
            "arm" | "armeb" | "armv5tejl" | "armv5tel" | "armv6l" | "armv7l" => Self::Arm,
            "aarch64" | "armv8l" => Self::Aarch64,
            _ => return None,
        })
    }

    /// The one of an `AUDIT_ARCH_*` number.
    #[must_use]
    pub fn of_elf(elf: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|machine| machine.elf() == elf)
    }

    /// Its `AUDIT_ARCH_*` number, linux/audit.h.
    #[must_use]
    pub const fn elf(self) -> u32 {
        match self {
            Self::X86 => 0x4000_0003,
            Self::X86_64 => 0xc000_003e,
            Self::Ppc64 => 0x8000_0015,
            Self::Ppc64Le => 0xc000_0015,
            Self::Ppc => 0x14,
            Self::S390x => 0x8000_0016,
            Self::S390 => 0x16,
            Self::Arm => 0x4000_0028,
            Self::Aarch64 => 0xc000_00b7,
        }
    }

    /// What `arch=b64` means on it.
    #[must_use]
    pub const fn b64(self) -> Option<Self> {
        match self {
            Self::X86 | Self::Ppc | Self::S390 | Self::Arm => None,
            other => Some(other),
        }
    }

    /// What `arch=b32` means on it.
    #[must_use]
    pub const fn b32(self) -> Option<Self> {
        match self {
            Self::X86_64 | Self::X86 => Some(Self::X86),
            Self::Ppc64 | Self::Ppc => Some(Self::Ppc),
            Self::S390x | Self::S390 => Some(Self::S390),
            Self::Aarch64 | Self::Arm => Some(Self::Arm),
            Self::Ppc64Le => None,
        }
    }

    const fn table(self) -> &'static str {
        match self {
            Self::X86 => "i386",
            Self::X86_64 => "x86_64",
            Self::Ppc64 | Self::Ppc64Le | Self::Ppc => "ppc",
            Self::S390x => "s390x",
            Self::S390 => "s390",
            Self::Arm => "arm",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// Fields by name, but for a1 and a2.
pub const FIELDS: [(&str, u32); 44] = [
    ("pid", n::PID),
    ("uid", n::UID),
    ("euid", 2),
    ("suid", 3),
    ("fsuid", n::FSUID),
    ("gid", n::GID),
    ("egid", 6),
    ("sgid", 7),
    ("fsgid", n::FSGID),
    ("auid", n::LOGINUID),
    ("loginuid", n::LOGINUID),
    ("pers", n::PERS),
    ("arch", n::ARCH),
    ("msgtype", n::MSGTYPE),
    ("subj_user", n::SUBJ_USER),
    ("subj_role", n::SUBJ_ROLE),
    ("subj_type", n::SUBJ_TYPE),
    ("subj_sen", n::SUBJ_SEN),
    ("subj_clr", n::SUBJ_CLR),
    ("ppid", n::PPID),
    ("obj_user", n::OBJ_USER),
    ("obj_role", 20),
    ("obj_type", n::OBJ_TYPE),
    ("obj_lev_low", n::OBJ_LEV_LOW),
    ("obj_lev_high", n::OBJ_LEV_HIGH),
    ("sessionid", n::SESSIONID),
    ("fstype", n::FSTYPE),
    ("devmajor", n::DEVMAJOR),
    ("devminor", n::DEVMINOR),
    ("inode", n::INODE),
    ("exit", n::EXIT),
    ("success", n::SUCCESS),
    ("path", n::WATCH),
    ("perm", n::PERM),
    ("dir", n::DIR),
    ("filetype", n::FILETYPE),
    ("obj_uid", n::OBJ_UID),
    ("obj_gid", n::OBJ_GID),
    ("field_compare", n::FIELD_COMPARE),
    ("exe", n::EXE),
    ("saddr_fam", n::SADDR_FAM),
    ("key", n::FILTERKEY),
    ("a0", n::ARG0),
    ("a3", n::ARG3),
];

/// Pairs of fields that `-C` compares, and the kernel's number of each pair: `AUDIT_COMPARE_*`.
pub const COMPARISONS: [(u32, u32, u32); 25] = [
    (1, 109, 1),
    (5, 110, 2),
    (2, 109, 3),
    (6, 110, 4),
    (9, 109, 5),
    (3, 109, 6),
    (7, 110, 7),
    (4, 109, 8),
    (8, 110, 9),
    (1, 9, 10),
    (1, 2, 11),
    (1, 4, 12),
    (1, 3, 13),
    (9, 4, 14),
    (9, 3, 15),
    (9, 2, 16),
    (2, 3, 17),
    (2, 4, 18),
    (3, 4, 19),
    (5, 6, 20),
    (5, 8, 21),
    (5, 7, 22),
    (6, 8, 23),
    (6, 7, 24),
    (7, 8, 25),
];

static SYSCALL_TABLES: LazyLock<HashMap<&'static str, Names>> = LazyLock::new(|| {
    SYSCALLS
        .split("\n[")
        .skip(1)
        .filter_map(|section| section.split_once("]\n"))
        .map(|(machine, lines)| (machine, names(lines)))
        .collect()
});
static MESSAGE_TYPE_TABLE: LazyLock<Names> = LazyLock::new(|| names(MESSAGE_TYPES));
static ERRNO_TABLE: LazyLock<Names> = LazyLock::new(|| names(ERRNOS));

fn names(lines: &'static str) -> Names {
    lines
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(number, name)| Some((name, number.parse().ok()?)))
        .collect()
}

/// The number of a system call, by its name in either case.
#[must_use]
pub fn syscall(name: &[u8], machine: Machine) -> Option<u32> {
    let table = SYSCALL_TABLES.get(machine.table())?;
    table.get(lower(name).as_str()).copied()
}

/// The number of a record type, by its name in either case.
#[must_use]
pub fn message_type(name: &[u8]) -> Option<u32> {
    MESSAGE_TYPE_TABLE.get(upper(name).as_str()).copied()
}

/// The number of an error, by its name in either case.
#[must_use]
pub fn errno(name: &[u8]) -> Option<u32> {
    ERRNO_TABLE.get(upper(name).as_str()).copied()
}

/// A file type's bits of `st_mode`.
#[must_use]
pub fn file_type(name: &[u8]) -> Option<u32> {
    Some(match lower(name).as_str() {
        "fifo" => 0o010_000,
        "character" => 0o020_000,
        "dir" => 0o040_000,
        "block" => 0o060_000,
        "file" => 0o100_000,
        "link" => 0o120_000,
        "socket" => 0o140_000,
        _ => return None,
    })
}

/// The magic number of a file system, linux/magic.h.
#[must_use]
pub fn file_system(name: &[u8]) -> Option<u32> {
    Some(match lower(name).as_str() {
        "tracefs" => 0x7472_6163,
        "debugfs" => 0x6462_6720,
        _ => return None,
    })
}

/// ASCII only, as the tools do it; other bytes stay what they are, and match nothing.
fn lower(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_ascii_lowercase()
}

fn upper(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_either_case() {
        assert_eq!(syscall(b"open", Machine::X86_64), Some(2));
        assert_eq!(syscall(b"OPENAT", Machine::X86), Some(295));
        assert_eq!(syscall(b"open", Machine::Aarch64), None);
        assert_eq!(syscall(b"opne", Machine::X86_64), None);
        assert_eq!(message_type(b"cwd"), Some(1307));
        assert_eq!(errno(b"eperm"), Some(1));
        assert_eq!(Machine::named(b"X86_64"), Some(Machine::X86_64));
    }

    #[test]
    fn every_instruction_set_has_its_tables() {
        for machine in Machine::ALL {
            assert_eq!(Machine::of_elf(machine.elf()), Some(machine));
            assert!(syscall(b"read", machine).is_some(), "{machine:?}");
        }
    }
}
