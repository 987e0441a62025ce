//! The rules files of a host, or of a mounted disk, and the facts that decide what becomes of them: a [`Root`] comes
//! in, what [`rules::boot`](crate::rules::boot) wants goes out. It writes nothing, and asks no kernel.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use crate::{
    files::root::Root,
    kernel::cmdline::AuditBoot,
    rules::{
        AUDIT_RULES, AuditRules, Awk, Entry, Era, Host, Leads, Lookup, Machine, RULES_D, Settings,
        Tree, loader::Loader,
    },
};

mod boot_command_line;
mod evidence;

/// Timer ticks a second of nearly all distributions' kernels.
const USUAL_HZ: u32 = 250;
/// Where awk is looked for.
const AWKS: [&str; 2] = ["/usr/bin/awk", "/bin/awk"];
/// The most that all rules files may have together, bytes; those of whole benchmarks have some 100 KB.
const MOST_BYTES: u64 = 16 << 20;
/// The most lines that they may have.
const MOST_LINES: u64 = 262_144;
/// The most names that rules.d may have.
const MOST_NAMES: usize = 16_384;
/// How many links one path may lead over.
const MOST_LINKS: usize = 16;

/// Where a fact comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known<T> {
    /// The fact.
    pub value: T,
    /// Where it was read; `None` when it is the usual one for want of better.
    pub from: Option<String>,
}

/// What was read.
#[derive(Debug)]
pub struct HostRules {
    /// The rules files.
    pub tree: Tree,
    /// The awk that augenrules runs.
    pub awk: Known<Awk>,
    /// The era of augenrules, by its own text.
    pub era: Era,
    /// Whether the load runs in a locale of UTF-8.
    pub utf8: Known<bool>,
    /// Timer ticks a second.
    pub hz: Known<u32>,
    /// Audit's options of the kernel command line of the next boot.
    pub cmdline: Option<Known<AuditBoot>>,
    /// Whether auditd is there, which turns auditing on before rules are loaded.
    pub has_auditd: bool,
    /// What loads the rules.
    pub loader: Loader,
    /// Whether the root is a whole system; otherwise paths, users and groups are those of this host.
    pub is_whole: bool,
    lookup: HostLookup,
}

/// Something that keeps the rules from being read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}{}", path.display(), if *is_denied { "; root may: run it as root" } else { "" })]
pub struct Unreadable {
    /// What.
    pub path: PathBuf,
    /// Whether it is for want of permission.
    pub is_denied: bool,
    /// Why.
    #[source]
    pub cause: io::Error,
}

impl HostRules {
    /// Reads a host's rules. `awk` is taken for the host's own when it is given.
    ///
    /// # Errors
    /// When a rules file is there and cannot be read.
    pub fn read(
        root: &Root,
        awk: Option<Awk>,
        running_hz: Option<u32>,
    ) -> Result<Self, Unreadable> {
        let mut tree = tree(root)?;
        let is_whole = root.is_own() || root.metadata(Path::new("/usr/bin")).is_ok();
        let awk = match awk {
            Some(awk) => Known {
                value: awk,
                from: Some("--awk".to_owned()),
            },
            None => self::awk(root),
        };
        let cmdline = if root.is_own() {
            running_cmdline()
        } else {
            boot_command_line::of(root)
        };
        let has_auditd = ["/sbin/auditd", "/usr/sbin/auditd"]
            .iter()
            .any(|path| root.metadata(Path::new(path)).is_ok());
        let is_off = cmdline.as_ref().is_some_and(|known| known.value.off);
        let loader = Loader::of(&evidence::of(root, is_off, is_whole && !has_auditd));
        match &loader {
            Loader::Usual | Loader::NotKnown { .. } => {}
            // What rules.d has is never read.
            Loader::Auditctl { .. } => tree.rules_d = None,
            Loader::Nothing { .. } => tree = Tree::default(),
        }
        Ok(Self {
            tree,
            awk,
            era: era(root),
            utf8: locale(root),
            hz: hz(root, running_hz),
            cmdline,
            has_auditd,
            loader,
            is_whole,
            lookup: HostLookup::new(root, is_whole),
        })
    }

    /// The settings before rules are loaded.
    #[must_use]
    pub fn before(&self) -> Settings {
        let mut settings = Settings::of_kernel(self.hz.value);
        if let Some(boot) = self.cmdline.as_ref().map(|known| &known.value) {
            settings.enabled = u32::from(boot.on);
            if let Some(limit) = boot.backlog_limit {
                settings.backlog_limit = limit;
            }
        }
        if self.has_auditd {
            settings.enabled = 1;
        }
        settings
    }

    /// What the simulator wants to know of the host.
    #[must_use]
    pub fn host(&self) -> Host<'_> {
        Host {
            awk: self.awk.value,
            era: self.era,
            utf8: self.utf8.value,
            hz: self.hz.value,
            before: self.before(),
            machine: Machine::named(std::env::consts::ARCH.as_bytes()).unwrap_or(Machine::X86_64),
            lookup: &self.lookup,
        }
    }
}

fn unreadable(root: &Root, path: &Path, cause: io::Error) -> Unreadable {
    Unreadable {
        path: root.outside(path),
        is_denied: cause.kind() == io::ErrorKind::PermissionDenied,
        cause,
    }
}

fn tree(root: &Root) -> Result<Tree, Unreadable> {
    let directory = Path::new(RULES_D);
    let is_directory = match root.metadata(directory) {
        Ok(metadata) => metadata.is_dir(),
        Err(error) if is_absent(&error) => false,
        Err(error) => return Err(unreadable(root, directory, error)),
    };
    let mut left = Left {
        bytes: MOST_BYTES,
        lines: MOST_LINES,
    };
    let rules_d = if is_directory {
        Some(entries(root, directory, &mut left)?)
    } else {
        None
    };
    Ok(Tree {
        rules_d,
        audit_rules: audit_rules(root, &mut left)?,
    })
}

/// What may still be read of rules files: the memory of a load goes with their bytes and their lines, and a disk may hold
/// any number of both.
struct Left {
    bytes: u64,
    lines: u64,
}

impl Left {
    /// All of a file, if there is room for it.
    fn read(&mut self, root: &Root, path: &Path) -> io::Result<Vec<u8>> {
        let content = root.read_at_most(path, self.bytes).map_err(|error| {
            if error.kind() == io::ErrorKind::FileTooLarge {
                too_much(&format!("{} MiB", MOST_BYTES >> 20))
            } else {
                error
            }
        })?;
        self.bytes -= content.len() as u64;
        let lines = memchr::memchr_iter(b'\n', &content).count() as u64 + 1;
        self.lines = self
            .lines
            .checked_sub(lines)
            .ok_or_else(|| too_much(&format!("{MOST_LINES} lines")))?;
        Ok(content)
    }
}

fn too_much(most: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("the rules files have more than {most} together"),
    )
}

fn entries(root: &Root, directory: &Path, left: &mut Left) -> Result<Vec<Entry>, Unreadable> {
    let names = root
        .names(directory)
        .map_err(|error| unreadable(root, directory, error))?;
    if names.len() > MOST_NAMES {
        let error = io::Error::other(format!("it has more than {MOST_NAMES} names"));
        return Err(unreadable(root, directory, error));
    }
    names
        .into_iter()
        .map(|name| {
            let path = directory.join(&name);
            let content = match left.read(root, &path) {
                Ok(content) => Some(content),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::PermissionDenied | io::ErrorKind::FileTooLarge
                    ) =>
                {
                    return Err(unreadable(root, &path, error));
                }
                // What cat cannot print either: a directory, a link to nowhere or out of the root.
                Err(_) => None,
            };
            Ok(Entry {
                name: name.into_vec(),
                content,
            })
        })
        .collect()
}

fn audit_rules(root: &Root, left: &mut Left) -> Result<AuditRules, Unreadable> {
    let path = Path::new(AUDIT_RULES);
    match root.metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            let content = left
                .read(root, path)
                .map_err(|error| unreadable(root, path, error))?;
            Ok(AuditRules::File {
                content,
                mode: metadata.mode() & 0o7777,
                owner: metadata.uid(),
            })
        }
        Ok(_) => Ok(AuditRules::NoFile),
        Err(error) if is_absent(&error) => Ok(AuditRules::Missing),
        Err(error) => Err(unreadable(root, path, error)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// What /usr/bin/awk leads to, by the names of the links on the way.
fn awk(root: &Root) -> Known<Awk> {
    for start in AWKS {
        let mut path = PathBuf::from(start);
        for _ in 0..MOST_LINKS {
            let name = path.file_name().map(|name| name.as_bytes().to_vec());
            let found = match name.as_deref() {
                Some(b"mawk") => Some(Awk::Mawk),
                // busybox matches as gawk does.
                Some(b"gawk" | b"busybox") => Some(Awk::Gawk),
                _ => None,
            };
            if let Some(value) = found {
                return Known {
                    value,
                    from: Some(format!("{start} leads to {}", path.display())),
                };
            }
            let Ok(target) = root.read_link(&path) else {
                break;
            };
            path = path.parent().unwrap_or(Path::new("/")).join(target);
        }
    }
    let is_debian = root.metadata(Path::new("/etc/debian_version")).is_ok();
    Known {
        value: if is_debian { Awk::Mawk } else { Awk::Gawk },
        from: is_debian.then(|| "Debian's default, as /etc/debian_version is there".to_owned()),
    }
}

/// The era of augenrules: it is a shell script.
fn era(root: &Root) -> Era {
    let text = ["/usr/sbin/augenrules", "/sbin/augenrules"]
        .iter()
        .find_map(|path| root.read(Path::new(path)).ok())
        .unwrap_or_default();
    Era {
        strips_cr: memchr::memmem::find(&text, br"sub(/\r$/").is_some(),
    }
}

/// The locale of services: systemd's own files; without any it is C.UTF-8. A locale whose data are not installed is C
/// to every program, whatever it is called.
fn locale(root: &Root) -> Known<bool> {
    let installed = ["C.utf8", "C.UTF-8", "locale-archive"].iter().any(|name| {
        root.metadata(&Path::new("/usr/lib/locale").join(name))
            .is_ok()
    });
    if !installed {
        return Known {
            value: false,
            from: Some("/usr/lib/locale has no locales".to_owned()),
        };
    }
    for path in ["/etc/locale.conf", "/etc/default/locale"] {
        let Ok(content) = root.read(Path::new(path)) else {
            continue;
        };
        let text = String::from_utf8_lossy(&content).into_owned();
        let value_of = |name: &str| {
            text.lines()
                .filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))
                .map(|value| value.trim_matches(['"', '\'']).to_ascii_uppercase())
                .rfind(|value| !value.is_empty())
        };
        if let Some(locale) = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(value_of)
        {
            return Known {
                value: locale.contains("UTF-8") || locale.contains("UTF8"),
                from: Some(path.to_owned()),
            };
        }
    }
    Known {
        value: true,
        from: None,
    }
}

/// `CONFIG_HZ` of the kernels that lie in /boot; of this one for this host.
fn hz(root: &Root, running: Option<u32>) -> Known<u32> {
    if root.is_own()
        && let Some(value) = running
    {
        return Known {
            value,
            from: Some("the running kernel's configuration".to_owned()),
        };
    }
    let names = root.names(Path::new("/boot")).unwrap_or_default();
    let found = names.iter().rev().find_map(|name| {
        let name = name.to_str().filter(|name| name.starts_with("config-"))?;
        let content = root.read(&Path::new("/boot").join(name)).ok()?;
        let text = String::from_utf8_lossy(&content);
        Some(Known {
            value: configured_hz(&text)?,
            from: Some(format!("/boot/{name}")),
        })
    });
    let of_modules = || {
        let modules = Path::new("/usr/lib/modules");
        let names = root.names(modules).unwrap_or_default();
        names.iter().rev().find_map(|name| {
            let path = modules.join(name).join("config");
            let content = root.read(&path).ok()?;
            Some(Known {
                value: configured_hz(&String::from_utf8_lossy(&content))?,
                from: Some(path.display().to_string()),
            })
        })
    };
    found.or_else(of_modules).unwrap_or_else(|| Known {
        value: running.unwrap_or(USUAL_HZ),
        from: running.map(|_| "this host's kernel".to_owned()),
    })
}

fn configured_hz(text: &str) -> Option<u32> {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix("CONFIG_HZ="))?;
    value.trim().parse().ok().filter(|&hz| hz > 0)
}

fn running_cmdline() -> Option<Known<AuditBoot>> {
    let text = fs::read_to_string("/proc/cmdline").ok()?;
    Some(Known {
        value: AuditBoot::parse(&text),
        from: Some("/proc/cmdline".to_owned()),
    })
}

/// Paths, users and groups of a root; of this host where the root has no system on it.
#[derive(Debug)]
struct HostLookup {
    root: io::Result<Root>,
    users: HashMap<Vec<u8>, u32>,
    groups: HashMap<Vec<u8>, u32>,
    has_app_armor: bool,
}

impl HostLookup {
    fn new(root: &Root, is_whole: bool) -> Self {
        let root = Root::open(if is_whole {
            root.path()
        } else {
            Path::new("/")
        });
        let ids = |path: &str| {
            let content = root
                .as_ref()
                .ok()
                .and_then(|root| root.read(Path::new(path)).ok());
            ids(&content.unwrap_or_default())
        };
        let running = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
        let is_running = root.as_ref().is_ok_and(Root::is_own);
        Self {
            users: ids("/etc/passwd"),
            groups: ids("/etc/group"),
            has_app_armor: if is_running {
                running.contains("apparmor")
            } else {
                root.as_ref()
                    .is_ok_and(|root| root.metadata(Path::new("/etc/apparmor.d")).is_ok())
            },
            root,
        }
    }
}

/// Names and numbers of passwd(5) or group(5).
fn ids(content: &[u8]) -> HashMap<Vec<u8>, u32> {
    content
        .split(|&byte| byte == b'\n')
        .rev()
        .filter_map(|line| {
            let mut fields = line.split(|&byte| byte == b':');
            let name = fields.next()?;
            let id = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
            Some((name.to_vec(), id))
        })
        .collect()
}

impl Lookup for HostLookup {
    fn path(&self, path: &[u8]) -> Leads {
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        match self.root.as_ref().map(|root| root.metadata(path)) {
            Ok(Ok(metadata)) if metadata.is_dir() => Leads::Directory,
            Ok(Ok(_)) => Leads::File,
            Ok(Err(_)) | Err(_) => Leads::Nowhere,
        }
    }

    fn user(&self, name: &[u8]) -> Option<u32> {
        self.users.get(name).copied()
    }

    fn group(&self, name: &[u8]) -> Option<u32> {
        self.groups.get(name).copied()
    }

    fn is_label(&self, text: &[u8]) -> bool {
        !self.has_app_armor || text == b"unconfined"
    }
}
