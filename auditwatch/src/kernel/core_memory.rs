//! The kernel's audit variables, read through `/proc/kcore`.
//!
//! In: symbols, types, and the file. Out: a [`KernelState`], of which each value is of its own
//! moment. Reading it makes no record and sends no message, which loading a BPF program and asking
//! netlink both do: so it serves while the queue is full. It must not guess an address or an offset.

use std::{fs, io};

use super::{
    btf::Btf,
    compressed_symbols::{Reading, Tables, Tokens},
    core_file::CoreFile,
    symbols::Symbols,
    types::KernelTypes,
};
use crate::kernel::audit_state::KernelState;

/// The variables by name.
const VARIABLES: [&str; 13] = [
    "audit_queue",
    "audit_retry_queue",
    "audit_hold_queue",
    "audit_backlog_limit",
    "audit_backlog_wait",
    "audit_backlog_wait_time",
    "audit_backlog_wait_time_actual",
    "audit_lost",
    "audit_rate_limit",
    "audit_failure",
    "audit_enabled",
    "audit_default",
    "auditd_conn",
];
/// Where the kernel's types begin and end.
const TYPES: [&str; 2] = ["__start_BTF", "__stop_BTF"];
/// Most bytes of types or of symbols' names that are read; kernels have 4 to 30 MB of the one and 2
/// to 5 MB of the other.
const MAX_BYTES: u64 = 128 << 20;

/// The variables, found.
#[derive(Debug)]
pub struct KernelMemory {
    core: CoreFile,
    places: Places,
}

/// Their addresses.
#[derive(Debug, Default)]
struct Places {
    depth: Option<u64>,
    retry_depth: Option<u64>,
    hold_depth: Option<u64>,
    limit: Option<u64>,
    wait_time: Option<u64>,
    waited: Option<u64>,
    lost: Option<u64>,
    rate_limit: Option<u64>,
    failure: Option<u64>,
    enabled: Option<u64>,
    booted_with_audit: Option<u64>,
    auditd: Option<AuditdPlace>,
    waiters: Option<u64>,
}

/// How the registered process is found: `auditd_conn->pid->numbers[0].nr`.
#[derive(Clone, Copy, Debug)]
struct AuditdPlace {
    connection: u64,
    pid_offset: u64,
    numbers_offset: u64,
}

impl KernelMemory {
    /// Finds them by facts that were gathered.
    ///
    /// # Errors
    /// When the file cannot be read, or the kernel does not tell where they are.
    pub fn open(symbols: &Symbols, types: Option<&KernelTypes>) -> io::Result<Self> {
        Self::locate(CoreFile::open()?, symbols, types)
    }

    /// Finds them, and reads no more for it than they need; with the types that it read on the way.
    ///
    /// Symbols are taken from the kernel's own compressed table where VMCOREINFO says where it is
    /// (Linux 6.0 and later), otherwise from `/proc/kallsyms`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn find() -> io::Result<(Self, Option<KernelTypes>)> {
        let core = CoreFile::open()?;
        let symbols = match compressed(&core) {
            Some(symbols) => symbols,
            None => Symbols::parse(&fs::read("/proc/kallsyms")?),
        };
        let types = blob(&core, &symbols)
            .and_then(|blob| Btf::parse_structures(blob).ok())
            .map(|btf| KernelTypes::extract(&btf))
            .or_else(structures);
        let memory = Self::locate(core, &symbols, types.as_ref())?;
        Ok((memory, types))
    }

    fn locate(core: CoreFile, symbols: &Symbols, types: Option<&KernelTypes>) -> io::Result<Self> {
        let place = |name: &str, offset: Option<u32>| {
            let address = symbols.address(name)?.checked_add(offset?.into())?;
            core.has(address).then_some(address)
        };
        let offset = |strukt, member| types.and_then(|types| types.member_offset(strukt, member));
        let length = offset("sk_buff_head", "qlen");
        let auditd = || {
            Some(AuditdPlace {
                connection: place("auditd_conn", Some(0))?,
                pid_offset: offset("auditd_connection", "pid")?.into(),
                numbers_offset: offset("pid", "numbers")?.into(),
            })
        };
        let places = Places {
            depth: place("audit_queue", length),
            retry_depth: place("audit_retry_queue", length),
            hold_depth: place("audit_hold_queue", length),
            limit: place("audit_backlog_limit", Some(0)),
            wait_time: place("audit_backlog_wait_time", Some(0)),
            waited: place("audit_backlog_wait_time_actual", Some(0)),
            lost: place("audit_lost", Some(0)),
            rate_limit: place("audit_rate_limit", Some(0)),
            failure: place("audit_failure", Some(0)),
            enabled: place("audit_enabled", Some(0)),
            booted_with_audit: place("audit_default", Some(0)),
            auditd: auditd(),
            waiters: place("audit_backlog_wait", offset("wait_queue_head", "head")),
        };
        if places.depth.is_none() || places.limit.is_none() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the kernel does not show the address of its audit queue",
            ));
        }
        Ok(Self { core, places })
    }

    /// Reads from an address of the kernel's, such as one of a variable or of what it points to.
    ///
    /// # Errors
    /// When the file does not have it.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.core.read(address, bytes)
    }

    /// A 32-bit word at an address.
    ///
    /// # Errors
    /// As [`KernelMemory::read`].
    pub fn word(&self, address: u64) -> io::Result<u32> {
        self.core.word(address)
    }

    /// A pointer at an address.
    ///
    /// # Errors
    /// As [`KernelMemory::read`].
    pub fn pointer(&self, address: u64) -> io::Result<u64> {
        self.core.pointer(address)
    }

    /// Reads them now.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn state(&self) -> io::Result<KernelState> {
        let word = |place: Option<u64>| place.map(|place| self.core.word(place)).transpose();
        let places = &self.places;
        Ok(KernelState {
            depth: word(places.depth)?,
            retry_depth: word(places.retry_depth)?,
            hold_depth: word(places.hold_depth)?,
            limit: word(places.limit)?,
            wait_time_jiffies: word(places.wait_time)?,
            waited_jiffies: word(places.waited)?,
            lost: word(places.lost)?,
            rate_limit: word(places.rate_limit)?,
            failure: word(places.failure)?,
            enabled: word(places.enabled)?,
            booted_with_audit: word(places.booted_with_audit)?.map(|value| value != 0),
            auditd_pid: places.auditd.and_then(|place| self.auditd_pid(place)),
            ..KernelState::default()
        })
    }

    /// Whether a task waits for room in the queue: the list of `audit_backlog_wait` leads to something other than
    /// itself. `None` if that cannot be read.
    #[must_use]
    pub fn has_waiters(&self) -> Option<bool> {
        let list = self.places.waiters?;
        Some(self.core.pointer(list).ok()? != list)
    }

    /// Process id of the registered auditd, 0 for none. The kernel may free the structures in between:
    /// what was read counts only if the registration is the same afterwards.
    fn auditd_pid(&self, place: AuditdPlace) -> Option<u32> {
        let registered = || self.core.pointer(place.connection).ok();
        let connection = registered()?;
        if connection == 0 {
            return Some(0);
        }
        let pid = connection.checked_add(place.pid_offset)?;
        let pid = self.core.pointer(pid).ok()?;
        let nr = if pid == 0 {
            0
        } else {
            let numbers = pid.checked_add(place.numbers_offset)?;
            self.core.word(numbers).ok()?
        };
        (registered()? == connection).then_some(nr)
    }
}

/// The symbols that are needed, from the kernel's compressed table; `None` where it has none, or it
/// cannot be read with certainty.
fn compressed(core: &CoreFile) -> Option<Symbols> {
    let tables = Tables::of(&core.vmcoreinfo()?)?;
    let between = |from: u64, to: u64| {
        let length = to.checked_sub(from).filter(|&length| length <= MAX_BYTES)?;
        core.bytes(from, usize::try_from(length).ok()?).ok()
    };
    let tokens = Tokens::new(
        between(tables.token_table, tables.token_index)?,
        &core.bytes(tables.token_index, 512).ok()?,
    );
    let wanted: Vec<&str> = VARIABLES
        .into_iter()
        .chain(TYPES)
        .chain(tables.checks.keys().copied())
        .collect();
    let count = core.word(tables.count).ok()?;
    let names = between(tables.names, tables.names_end)?;
    let numbers = tokens.find(&names, count, &wanted);
    let base = tables
        .relative_base
        .and_then(|place| core.pointer(place).ok());
    let offset = |name: &str| {
        let place = tables
            .offsets
            .checked_add(4 * u64::from(*numbers.get(name)?))?;
        Some((place, core.word(place).ok()?))
    };
    let known: Vec<(u64, u32, u64)> = tables
        .checks
        .iter()
        .filter_map(|(name, &address)| {
            let (place, offset) = offset(name)?;
            Some((place, offset, address))
        })
        .collect();
    let reading = Reading::of(base, &known)?;
    Some(Symbols::of(wanted.into_iter().filter_map(|name| {
        let (place, offset) = offset(name)?;
        Some((name.to_owned(), reading.address(base, place, offset)?))
    })))
}

/// The kernel's types as they lie in its memory: one read, where the file in `/sys` takes one for each
/// 4 KiB.
fn blob(core: &CoreFile, symbols: &Symbols) -> Option<Vec<u8>> {
    let [begin, end] = TYPES.map(|name| symbols.address(name));
    let length = end?
        .checked_sub(begin?)
        .filter(|&length| length <= MAX_BYTES)?;
    core.bytes(begin?, usize::try_from(length).ok()?).ok()
}

/// The structures of the kernel's types, from the file in `/sys`; `None` where it cannot be read.
#[must_use]
pub fn structures() -> Option<KernelTypes> {
    let blob = fs::read("/sys/kernel/btf/vmlinux").ok()?;
    Some(KernelTypes::extract(&Btf::parse_structures(blob).ok()?))
}
