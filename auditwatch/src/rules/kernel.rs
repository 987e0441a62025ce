//! The kernel's side of a load: settings and rules as auditctl sends them come in, they are taken or refused as
//! kernel/audit.c and kernel/auditfilter.c do (5.10 to 7.2 agree in this), and what is held afterwards stands here.

use std::collections::HashMap;

use super::{Leads, Lookup, MOST_WAIT_SECONDS, Settings};

/// Field numbers that are told apart, linux/audit.h.
pub mod number {
    #![expect(missing_docs, reason = "the names of linux/audit.h, without AUDIT_")]
    pub const PID: u32 = 0;
    pub const UID: u32 = 1;
    pub const FSUID: u32 = 4;
    pub const GID: u32 = 5;
    pub const FSGID: u32 = 8;
    pub const LOGINUID: u32 = 9;
    pub const PERS: u32 = 10;
    pub const ARCH: u32 = 11;
    pub const MSGTYPE: u32 = 12;
    pub const SUBJ_USER: u32 = 13;
    pub const SUBJ_ROLE: u32 = 14;
    pub const SUBJ_TYPE: u32 = 15;
    pub const SUBJ_SEN: u32 = 16;
    pub const SUBJ_CLR: u32 = 17;
    pub const PPID: u32 = 18;
    pub const OBJ_USER: u32 = 19;
    pub const OBJ_TYPE: u32 = 21;
    pub const OBJ_LEV_LOW: u32 = 22;
    pub const OBJ_LEV_HIGH: u32 = 23;
    pub const LOGINUID_SET: u32 = 24;
    pub const SESSIONID: u32 = 25;
    pub const FSTYPE: u32 = 26;
    pub const DEVMAJOR: u32 = 100;
    pub const DEVMINOR: u32 = 101;
    pub const INODE: u32 = 102;
    pub const EXIT: u32 = 103;
    pub const SUCCESS: u32 = 104;
    pub const WATCH: u32 = 105;
    pub const PERM: u32 = 106;
    pub const DIR: u32 = 107;
    pub const FILETYPE: u32 = 108;
    pub const OBJ_UID: u32 = 109;
    pub const OBJ_GID: u32 = 110;
    pub const FIELD_COMPARE: u32 = 111;
    pub const EXE: u32 = 112;
    pub const SADDR_FAM: u32 = 113;
    pub const ARG0: u32 = 200;
    pub const ARG3: u32 = 203;
    pub const FILTERKEY: u32 = 210;
}
use number as n;

/// Longest path, bytes with the end.
pub const PATH_MAX: usize = 4096;
/// Longest part of a path, bytes.
pub const NAME_MAX: usize = 255;
/// Longest key, bytes.
pub const MOST_KEY_BYTES: usize = 256;

/// The list that a rule belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names of auditctl's lists")]
pub enum List {
    User,
    Task,
    Exit,
    Exclude,
    Filesystem,
}

/// What a rule has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names of auditctl's actions")]
pub enum Action {
    Never,
    Always,
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "their numbers are in the tables of auditctl(8)"
)]
pub enum Op {
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    Mask,
    Test,
}

/// A field of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// Its number, [`number`].
    pub kind: u32,
    /// How it is compared.
    pub op: Op,
    /// With what; for text its length, bytes.
    pub value: u32,
    /// The text, for fields that have one.
    pub text: Option<Vec<u8>>,
}

/// A rule as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Its list.
    pub list: List,
    /// Whether it goes to the front; forgotten once it is in.
    pub at_front: bool,
    /// What it does.
    pub action: Action,
    /// System calls, one bit each.
    pub mask: [u32; 64],
    /// What it asks.
    pub fields: Vec<Field>,
}

/// What the kernel answers.
pub type Answer = Result<(), Refusal>;

/// An error of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of errno(3)")]
pub enum Refusal {
    Invalid,
    Exists,
    NoEntry,
    NameTooLong,
    Immutable,
}

impl Refusal {
    /// In words, with what is to be done.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Invalid => "the kernel refuses it as invalid (EINVAL)",
            Self::Exists => "the same rule is there already (EEXIST): take one of the two out",
            Self::NoEntry => "the kernel finds no such path or rule (ENOENT)",
            Self::NameTooLong => "the path is too long for the kernel (ENAMETOOLONG)",
            Self::Immutable => "audit is immutable since an earlier `-e 2` (EPERM)",
        }
    }
}

/// Settings and rules that the kernel holds.
pub struct Kernel<'a> {
    /// The settings.
    pub settings: Settings,
    /// The rules, and how often each is there: a rule that was sent to the front may be twice.
    rules: HashMap<Rule, usize>,
    /// Timer ticks a second.
    hz: u32,
    lookup: &'a dyn Lookup,
}

impl<'a> Kernel<'a> {
    /// One that has no rules yet.
    #[must_use]
    pub fn new(settings: Settings, hz: u32, lookup: &'a dyn Lookup) -> Self {
        Self {
            settings,
            rules: HashMap::new(),
            hz,
            lookup,
        }
    }

    /// `AUDIT_SET` of one setting.
    ///
    /// # Errors
    /// When audit is immutable.
    pub fn set(&mut self, change: impl FnOnce(&mut Settings)) -> Answer {
        self.changeable()?;
        change(&mut self.settings);
        Ok(())
    }

    /// `AUDIT_SET` of the wait time, jiffies.
    ///
    /// # Errors
    /// When it is more than ten minutes, or audit is immutable.
    pub fn set_wait(&mut self, jiffies: u32) -> Answer {
        if jiffies > MOST_WAIT_SECONDS.saturating_mul(self.hz) {
            return Err(Refusal::Invalid);
        }
        self.set(|settings| settings.backlog_wait_time = jiffies)
    }

    /// `AUDIT_ADD_RULE`.
    ///
    /// # Errors
    /// When the rule is invalid or is there already, when a path is not there, or audit is immutable.
    pub fn add(&mut self, rule: &Rule) -> Answer {
        self.changeable()?;
        let mut rule = self.entry(rule)?;
        if self.rules.contains_key(&rule) {
            return Err(Refusal::Exists);
        }
        for field in &rule.fields {
            let text = field.text.as_deref().unwrap_or_default();
            match field.kind {
                n::WATCH => self.parent_is_there(text)?,
                n::DIR if self.leads(text)? == Leads::Nowhere => return Err(Refusal::NoEntry),
                _ => {}
            }
        }
        // A rule at the front differs from the same rule elsewhere only until it is in.
        rule.at_front = false;
        *self.rules.entry(rule).or_default() += 1;
        Ok(())
    }

    /// `AUDIT_DEL_RULE`.
    ///
    /// # Errors
    /// When there is no such rule, or audit is immutable.
    pub fn delete(&mut self, rule: &Rule) -> Answer {
        self.changeable()?;
        let rule = self.entry(rule)?;
        let held = self.rules.get_mut(&rule).ok_or(Refusal::NoEntry)?;
        *held -= 1;
        if *held == 0 {
            self.rules.remove(&rule);
        }
        Ok(())
    }

    /// Deletes the rules that have a text in one of their keys; all, when it is empty.
    ///
    /// # Errors
    /// When there are any, and audit is immutable.
    pub fn delete_all(&mut self, key: &[u8]) -> Answer {
        let has_key = |rule: &Rule| {
            key.is_empty()
                || rule
                    .fields
                    .iter()
                    .filter(|field| field.kind == n::FILTERKEY)
                    .filter_map(|field| field.text.as_deref())
                    .any(|text| text.windows(key.len()).any(|window| window == key))
        };
        if self.rules.keys().any(has_key) {
            self.changeable()?;
            self.rules.retain(|rule, _| !has_key(rule));
        }
        Ok(())
    }

    /// `AUDIT_MAKE_EQUIV`: both paths must be there.
    ///
    /// # Errors
    /// When one is not, or audit is immutable.
    pub fn make_equivalent(&self, one: &[u8], other: &[u8]) -> Answer {
        self.changeable()?;
        for path in [one, other] {
            if self.leads(path)? == Leads::Nowhere {
                return Err(Refusal::NoEntry);
            }
        }
        Ok(())
    }

    /// How many rules it holds.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        self.rules.values().sum()
    }

    fn changeable(&self) -> Answer {
        if self.settings.enabled == 2 {
            return Err(Refusal::Immutable);
        }
        Ok(())
    }

    /// A rule as the kernel keeps it: `audit_data_to_entry`.
    fn entry(&self, rule: &Rule) -> Result<Rule, Refusal> {
        let mut entry = rule.clone();
        // One file or tree for each rule, one key and one program.
        let (mut has_file, mut has_key, mut has_exe) = (false, false, false);
        for field in &mut entry.fields {
            if field.kind == n::LOGINUID && field.value == u32::MAX {
                field.kind = n::LOGINUID_SET;
                field.value = 0;
            }
            check(field, rule.list)?;
            let text = field.text.as_deref().unwrap_or_default();
            match field.kind {
                n::UID..=n::FSGID | n::LOGINUID | n::OBJ_UID | n::OBJ_GID
                    if field.value == u32::MAX =>
                {
                    return Err(Refusal::Invalid);
                }
                n::WATCH | n::DIR | n::INODE => {
                    let is_inode = field.kind == n::INODE;
                    let is_watch = field.kind == n::WATCH;
                    let is_path =
                        text.first() == Some(&b'/') && !(is_watch && text.last() == Some(&b'/'));
                    if rule.list != List::Exit
                        || has_file
                        || !(is_inode || is_path && field.op == Op::Equal)
                    {
                        return Err(Refusal::Invalid);
                    }
                    has_file = true;
                }
                n::FILTERKEY => {
                    if has_key || text.len() > MOST_KEY_BYTES {
                        return Err(Refusal::Invalid);
                    }
                    has_key = true;
                }
                n::EXE => {
                    if has_exe || text.first() != Some(&b'/') || text.last() == Some(&b'/') {
                        return Err(Refusal::Invalid);
                    }
                    self.parent_is_there(text)?;
                    has_exe = true;
                }
                n::SUBJ_ROLE if !self.lookup.is_label(text) => return Err(Refusal::NoEntry),
                _ => {}
            }
        }
        Ok(entry)
    }

    fn leads(&self, path: &[u8]) -> Result<Leads, Refusal> {
        if path.len() >= PATH_MAX {
            return Err(Refusal::NameTooLong);
        }
        let mut parts = path.split(|&byte| byte == b'/');
        if parts.any(|part| part.len() > NAME_MAX) {
            return Err(Refusal::NameTooLong);
        }
        Ok(self.lookup.path(path))
    }

    /// The file itself need not be there, its directory must; `kern_path_locked`.
    fn parent_is_there(&self, path: &[u8]) -> Answer {
        self.leads(path)?;
        let slash = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        let (parent, name) = (&path[..slash.max(1)], &path[slash + 1..]);
        if matches!(name, b"" | b"." | b"..") {
            return Err(Refusal::Invalid);
        }
        match self.lookup.path(parent) {
            Leads::Directory => Ok(()),
            Leads::Nowhere | Leads::File => Err(Refusal::NoEntry),
        }
    }
}

/// Whether a field may be in a list, and compared so: `audit_field_valid`. The kernel calls it before it has stored the
/// field's value, so the values that it means to check pass whatever they are (measured on 6.1).
fn check(field: &Field, list: List) -> Answer {
    let belongs = match field.kind {
        n::MSGTYPE => matches!(list, List::Exclude | List::User),
        n::FSTYPE => list == List::Filesystem,
        n::FILTERKEY => true,
        _ => list != List::Filesystem,
    };
    let is_equality = matches!(field.op, Op::Equal | Op::NotEqual);
    let is_bits = matches!(field.op, Op::Mask | Op::Test);
    let compares = match field.kind {
        n::ARG0..=n::ARG3 | n::PERS | n::DEVMINOR => true,
        n::PID..=n::LOGINUID
        | n::MSGTYPE
        | n::SUBJ_SEN..=n::PPID
        | n::OBJ_LEV_LOW
        | n::OBJ_LEV_HIGH
        | n::SESSIONID
        | n::DEVMAJOR
        | n::INODE..=n::SUCCESS
        | n::OBJ_UID
        | n::OBJ_GID
        | n::SADDR_FAM => !is_bits,
        n::SUBJ_USER..=n::SUBJ_TYPE
        | n::OBJ_USER..=n::OBJ_TYPE
        | n::WATCH..=n::FILETYPE
        | n::FILTERKEY
        | n::LOGINUID_SET
        | n::ARCH
        | n::FSTYPE
        | n::FIELD_COMPARE
        | n::EXE => is_equality,
        _ => false,
    };
    if belongs && compares {
        Ok(())
    } else {
        Err(Refusal::Invalid)
    }
}
