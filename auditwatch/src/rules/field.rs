//! The argument of `-F` or `-C` as libaudit reads it: text comes in, a field goes out, or the reason why it is none.

use super::{
    Lookup, c_number,
    kernel::{Field, List, MOST_KEY_BYTES, Op, PATH_MAX, number as n},
    tables::{self, Machine},
};

/// Most fields of a rule that libaudit fills.
pub const MOST_FIELDS: usize = 63;
/// Address families that the libaudit of Debian 12 knows of.
const FAMILIES: u32 = 46;

/// Operators in the order in which libaudit looks for them, anywhere in the text.
const OPERATORS: [(&[u8], Op); 8] = [
    (b"!=", Op::NotEqual),
    (b">=", Op::GreaterOrEqual),
    (b"<=", Op::LessOrEqual),
    (b"&=", Op::Test),
    (b"=", Op::Equal),
    (b">", Op::Greater),
    (b"<", Op::Less),
    (b"&", Op::Mask),
];

/// What a line has brought so far, which fields depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four facts that do not exclude each other"
)]
pub struct Seen {
    /// `-S` or `-w`.
    pub syscall: bool,
    /// A path, a directory or permissions.
    pub perm: bool,
    /// A program.
    pub exe: bool,
    /// A file system.
    pub file_system: bool,
    /// `arch=`.
    pub machine: Option<Machine>,
}

impl Seen {
    /// Whether a key may follow.
    #[must_use]
    pub const fn allows_key(self) -> bool {
        self.syscall || self.perm || self.exe || self.file_system
    }
}

/// Why there is no field.
pub type Wrong = String;

/// Reads the argument of `-F`.
///
/// # Errors
/// When it is no field that auditctl would send.
pub fn parse(
    pair: &[u8],
    list: Option<List>,
    seen: &mut Seen,
    host: Machine,
    lookup: &dyn Lookup,
) -> Result<Field, Wrong> {
    let (name, op, value) = split(pair, &OPERATORS)?;
    let kind = field_named(name)?;
    if list == Some(List::Exclude) && !is_for_exclude(kind) {
        return Err(format!(
            "field `{}` cannot be in the exclude list",
            shown(name)
        ));
    }
    let pair = Pair {
        name,
        op,
        value,
        kind,
        list,
        is_number: value[0].is_ascii_digit(),
        is_negative: matches!(value, [b'-', digit, ..] if digit.is_ascii_digit()),
    };
    let has_text = matches!(
        kind,
        n::SUBJ_USER..=n::SUBJ_CLR
            | n::OBJ_USER..=n::OBJ_LEV_HIGH
            | n::WATCH
            | n::DIR
            | n::FILTERKEY
            | n::EXE
    );
    let number = match kind {
        _ if has_text => pair.text_length(seen)?,
        n::UID..=n::FSUID | n::LOGINUID | n::OBJ_UID => pair.uid(lookup)?,
        n::GID..=n::FSGID | n::OBJ_GID => pair.gid(lookup)?,
        n::ARCH => pair.arch(seen, host)?,
        n::PERM => {
            seen.perm = true;
            pair.permissions()?
        }
        n::FSTYPE => {
            seen.file_system = true;
            pair.file_system()?
        }
        n::EXIT | n::MSGTYPE | n::FILETYPE => pair.named()?,
        n::SESSIONID | n::SADDR_FAM => pair.loosely_read()?,
        _ => pair.plain_number()?,
    };
    Ok(Field {
        kind,
        op,
        value: number,
        text: has_text.then(|| value.to_vec()),
    })
}

/// Name, operator and value, and the list that they are for.
struct Pair<'a> {
    name: &'a [u8],
    op: Op,
    value: &'a [u8],
    kind: u32,
    list: Option<List>,
    /// Whether the value begins with a digit.
    is_number: bool,
    /// Whether it begins with a minus and a digit.
    is_negative: bool,
}

impl Pair<'_> {
    fn wrong<T>(&self, what: &str) -> Result<T, Wrong> {
        Err(format!("`{}` is not {what}", shown(self.value)))
    }

    fn only_in(&self, wanted: List) -> Result<(), Wrong> {
        if self.list == Some(wanted) {
            return Ok(());
        }
        let wanted = format!("{wanted:?}").to_lowercase();
        Err(format!(
            "field `{}` can only be in the {wanted} list",
            shown(self.name)
        ))
    }

    fn equality(&self) -> Result<(), Wrong> {
        if matches!(self.op, Op::Equal | Op::NotEqual) {
            return Ok(());
        }
        Err(format!(
            "`{}` can only be compared by = and !=",
            shown(self.name)
        ))
    }

    fn uid(&self, lookup: &dyn Lookup) -> Result<u32, Wrong> {
        match self.value {
            value if self.is_number => Ok(c_number::unsigned_cut(value)),
            value if self.is_negative => Ok(c_number::signed(value)),
            b"unset" => Ok(u32::MAX),
            value => match lookup.user(value) {
                Some(uid) => Ok(uid),
                None => self.wrong("a user of this host"),
            },
        }
    }

    fn gid(&self, lookup: &dyn Lookup) -> Result<u32, Wrong> {
        if self.is_number {
            return Ok(c_number::signed(self.value));
        }
        match lookup.group(self.value) {
            Some(gid) => Ok(gid),
            None => self.wrong("a group of this host"),
        }
    }

    /// Exit codes, record types and file types.
    fn named(&self) -> Result<u32, Wrong> {
        let (found, what) = match self.kind {
            n::EXIT => {
                self.only_in(List::Exit)?;
                let is_number = self.is_number || self.is_negative;
                (
                    exit_code(self.value, is_number),
                    "an error that auditctl knows",
                )
            }
            n::FILETYPE => {
                self.only_in(List::Exit)?;
                (tables::file_type(self.value), "a file type")
            }
            _ => {
                if !matches!(self.list, Some(List::Exclude | List::User)) {
                    return Err("msgtype can only be in the exclude or user list".to_owned());
                }
                (
                    message_type(self.value),
                    "a record type that auditctl knows",
                )
            }
        };
        match found {
            Some(number) => Ok(number),
            None => self.wrong(what),
        }
    }

    fn text_length(&self, seen: &mut Seen) -> Result<u32, Wrong> {
        match self.kind {
            n::OBJ_USER..=n::OBJ_LEV_HIGH => self.only_in(List::Exit)?,
            n::WATCH | n::DIR => {
                self.only_in(List::Exit)?;
                seen.perm = true;
            }
            n::EXE => {
                self.equality()?;
                seen.exe = true;
            }
            n::FILTERKEY if !seen.allows_key() => return Err(key_needs().to_owned()),
            _ => {}
        }
        let most = match self.kind {
            n::FILTERKEY => MOST_KEY_BYTES,
            _ => PATH_MAX,
        };
        if self.value.len() > most {
            return Err(format!(
                "the text of `{}` has more than {most} bytes",
                shown(self.name)
            ));
        }
        Ok(u32::try_from(self.value.len()).unwrap_or(u32::MAX))
    }

    fn arch(&self, seen: &mut Seen, host: Machine) -> Result<u32, Wrong> {
        if seen.syscall {
            return Err("arch must stand before -S".to_owned());
        }
        self.equality()?;
        let Some(machine) = machine(self.value, host) else {
            return self.wrong("an instruction set of this host");
        };
        seen.machine = Some(machine);
        Ok(machine.elf())
    }

    fn permissions(&self) -> Result<u32, Wrong> {
        self.only_in(List::Exit)?;
        if self.op != Op::Equal {
            return Err("perm can only be compared by =".to_owned());
        }
        permissions(self.value)
    }

    fn file_system(&self) -> Result<u32, Wrong> {
        self.only_in(List::Filesystem)?;
        self.equality()?;
        let number = if self.is_number {
            Some(c_number::unsigned_cut(self.value))
        } else {
            tables::file_system(self.value)
        };
        match number {
            Some(number) if number != u32::MAX => Ok(number),
            _ => self.wrong("a file system that auditctl knows"),
        }
    }

    /// Where libaudit takes what is no number for one, and does not say so.
    fn loosely_read(&self) -> Result<u32, Wrong> {
        if self.kind == n::SADDR_FAM {
            let number = family(self.value);
            return if number < FAMILIES {
                Ok(number)
            } else {
                self.wrong("an address family")
            };
        }
        if !matches!(self.list, Some(List::Exclude | List::User | List::Exit)) {
            return Err("sessionid cannot be in this list".to_owned());
        }
        Ok(match self.value {
            value if self.is_number => c_number::unsigned_cut(value),
            value if self.is_negative => c_number::signed(value),
            b"unset" => u32::MAX,
            _ => 0,
        })
    }

    fn plain_number(&self) -> Result<u32, Wrong> {
        let is_argument = matches!(self.kind, n::ARG0..=n::ARG3);
        if matches!(self.kind, n::DEVMAJOR..=n::INODE | n::SUCCESS | n::PPID) {
            self.only_in(List::Exit)?;
        }
        if self.kind == n::INODE {
            self.equality()?;
        }
        match self.value {
            value if self.is_number && (is_argument || self.kind == n::INODE) => {
                Ok(c_number::unsigned_cut(value))
            }
            value if self.is_number || is_argument && self.is_negative => {
                Ok(c_number::signed(value))
            }
            _ => self.wrong("a number"),
        }
    }
}

/// Reads the argument of `-C`.
///
/// # Errors
/// When it is no comparison that auditctl would send.
pub fn comparison(pair: &[u8], list: Option<List>) -> Result<Field, Wrong> {
    let operators = [OPERATORS[0], OPERATORS[4]];
    let (name, op, value) = split(pair, &operators)?;
    let (one, other) = (field_named(name)?, field_named(value)?);
    if list != Some(List::Exit) {
        return Err("fields can only be compared in the exit list".to_owned());
    }
    let found = tables::COMPARISONS
        .iter()
        .find(|&&(a, b, _)| (a, b) == (one, other) || (b, a) == (one, other));
    let Some(&(_, _, number)) = found else {
        return Err(format!(
            "`{}` and `{}` cannot be compared",
            shown(name),
            shown(value)
        ));
    };
    Ok(Field {
        kind: n::FIELD_COMPARE,
        op,
        value: number,
        text: None,
    })
}

/// Permissions as in `-p` and `perm=`.
///
/// # Errors
/// When there are more than four letters, or others than r, w, x and a.
pub fn permissions(text: &[u8]) -> Result<u32, Wrong> {
    if text.len() > 4 {
        return Err(format!(
            "permissions `{}` have more than four letters",
            shown(text)
        ));
    }
    text.iter().try_fold(0, |bits, letter| {
        Ok(bits
            | match letter.to_ascii_lowercase() {
                b'x' => 1,
                b'w' => 2,
                b'r' => 4,
                b'a' => 8,
                _ => {
                    return Err(format!(
                        "`{}` is not one of the permissions r, w, x and a",
                        shown(text)
                    ));
                }
            })
    })
}

/// What a key needs before it.
#[must_use]
pub const fn key_needs() -> &'static str {
    "a key needs a path, a program or a system call before it"
}

/// A piece of a line for eyes.
#[must_use]
pub fn shown(text: &[u8]) -> String {
    super::text::text(text).to_string()
}

fn split<'a>(pair: &'a [u8], operators: &[(&[u8], Op)]) -> Result<(&'a [u8], Op, &'a [u8]), Wrong> {
    let found = operators.iter().find_map(|&(sign, op)| {
        let at = pair.windows(sign.len()).position(|window| window == sign)?;
        Some((&pair[..at], op, &pair[at + sign.len()..]))
    });
    match found {
        None => Err(format!("`{}` has no operator", shown(pair))),
        Some((b"", _, _)) => Err(format!("`{}` names no field", shown(pair))),
        Some((_, _, b"")) => Err(format!("`{}` has no value", shown(pair))),
        Some(found) => Ok(found),
    }
}

fn field_named(name: &[u8]) -> Result<u32, Wrong> {
    let lower = name.to_ascii_lowercase();
    match lower.as_slice() {
        b"a1" => return Ok(n::ARG0 + 1),
        b"a2" => return Ok(n::ARG0 + 2),
        _ => {}
    }
    tables::FIELDS
        .iter()
        .find(|(known, _)| known.as_bytes() == lower)
        .map(|&(_, number)| number)
        .ok_or_else(|| format!("`{}` is not a field that auditctl knows", shown(name)))
}

const fn is_for_exclude(kind: u32) -> bool {
    matches!(
        kind,
        n::PID | n::UID | n::GID | n::LOGINUID | n::MSGTYPE | n::SUBJ_USER..=n::SUBJ_CLR | n::EXE
    )
}

fn exit_code(value: &[u8], is_number: bool) -> Option<u32> {
    if is_number {
        return Some(c_number::signed(value));
    }
    match value {
        [b'-', name @ ..] => tables::errno(name).map(u32::wrapping_neg),
        name => tables::errno(name),
    }
    .filter(|&code| code != 0)
}

fn message_type(value: &[u8]) -> Option<u32> {
    if value[0].is_ascii_digit() {
        return Some(c_number::signed(value));
    }
    if let Some(number) = tables::message_type(value) {
        return (number > 0).then_some(number);
    }
    let inner = value.strip_prefix(b"UNKNOWN[")?;
    let end = inner.iter().position(|&byte| byte == b']')?;
    let digits = std::str::from_utf8(&inner[..end.min(7)]).ok()?;
    digits.parse().ok().filter(|&number| number > 0)
}

/// `strtoul` of any text; what is no number is 0.
fn family(value: &[u8]) -> u32 {
    match value {
        [b'-', rest @ ..] => c_number::unsigned_cut(rest).wrapping_neg(),
        [b'+', rest @ ..] => c_number::unsigned_cut(rest),
        _ => c_number::unsigned_cut(value),
    }
}

fn machine(value: &[u8], host: Machine) -> Option<Machine> {
    if value[0].is_ascii_digit() {
        return Machine::of_elf(c_number::cut(c_number::unsigned(value, 0)?));
    }
    match value.to_ascii_lowercase().as_slice() {
        b"b64" => host.b64(),
        b"b32" => host.b32(),
        _ => Machine::named(value)
            .or_else(|| Machine::of_elf(c_number::cut(c_number::unsigned(value, 16)?))),
    }
}
