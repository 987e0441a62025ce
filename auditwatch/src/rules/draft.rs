//! One line of rules while auditctl reads it: what its options have brought so far, and what one more adds to it.
//! Nothing here reaches the kernel.

use super::{
    Place, c_number,
    field::{self, Seen, shown},
    kernel::{Action, Answer, Field, List, MOST_KEY_BYTES, Op, number as n},
    options::Options,
    tables::{self, Machine},
};

/// What stands between two keys of one rule.
const KEY_SEPARATOR: u8 = 1;
/// All permissions.
pub(super) const ALL_PERMISSIONS: u32 = 15;

/// What an option leads to, besides its effect.
pub(super) enum Next {
    /// The next option is read.
    Go,
    /// A rule is to be sent at the end; the next option is read.
    Send,
    /// No further option is read; what is left over is judged.
    Done,
    /// The line ends here, whatever is left over.
    Finished,
    /// The line is passed over: a deprecated action.
    PassedOver,
    /// It is refused; no further option is read.
    Refuse(String),
    /// auditctl reads a word that is not there.
    Crash,
}

/// What a line has brought so far.
pub(super) struct Line {
    pub(super) add: Option<List>,
    pub(super) at_front: bool,
    pub(super) delete: Option<List>,
    pub(super) action: Option<Action>,
    pub(super) has_list: bool,
    pub(super) seen: Seen,
    pub(super) mask: [u32; 64],
    pub(super) fields: Vec<Field>,
    pub(super) key: Vec<u8>,
    pub(super) lists: bool,
    pub(super) place: Place,
}

impl Line {
    pub(super) fn new(place: &Place) -> Self {
        Self {
            add: None,
            at_front: false,
            delete: None,
            action: None,
            has_list: false,
            seen: Seen::default(),
            mask: [0; 64],
            fields: Vec::new(),
            key: Vec::new(),
            lists: false,
            place: place.clone(),
        }
    }

    /// The list that fields belong to.
    pub(super) fn list(&self) -> Option<List> {
        self.add.or(self.delete)
    }
}

pub(super) fn next(answer: Answer) -> Next {
    match answer {
        Ok(()) => Next::Go,
        Err(refusal) => Next::Refuse(refusal.words().to_owned()),
    }
}

pub(super) fn number(text: &[u8], option: &str) -> Result<u32, String> {
    if !text.first().is_some_and(u8::is_ascii_digit) {
        return Err(format!(
            "{option} wants a number, and has `{}`",
            shown(text)
        ));
    }
    match c_number::unsigned(text, 0) {
        Some(number) => Ok(c_number::cut(number)),
        None => Err(format!(
            "{option} {} does not fit into 64 bits",
            shown(text)
        )),
    }
}

pub(super) fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// A path without slashes at its end, unless nothing else would be left.
pub(super) fn trimmed(path: &[u8]) -> &[u8] {
    let mut path = path;
    if path.len() > 2 {
        while path.len() > 1 && path.last() == Some(&b'/') {
            path = &path[..path.len() - 1];
        }
    }
    path
}

pub(super) fn permission_field(bits: u32) -> Field {
    Field {
        kind: n::PERM,
        op: Op::Equal,
        value: bits,
        text: None,
    }
}

pub(super) fn too_many(line: &Line) -> Result<(), String> {
    if line.fields.len() >= field::MOST_FIELDS {
        return Err(format!(
            "a rule has no more than {} fields",
            field::MOST_FIELDS
        ));
    }
    Ok(())
}

pub(super) fn show_status(options: &mut Options) -> Next {
    if options.count > 3 {
        return Next::Refuse("-s has too many options".to_owned());
    }
    if options.index() == 2 && options.count == 3 {
        if options.word(2) != Some(b"-i") {
            return Next::Refuse("only -i may follow -s".to_owned());
        }
        options.count -= 1;
    }
    Next::Done
}

pub(super) fn list_rules(options: &mut Options, line: &mut Line) -> Next {
    let word = options.word(options.index());
    match options.count {
        0..=2 => {}
        3 => match word {
            None => return Next::Crash,
            Some(b"-i") => options.count -= 1,
            Some(_) => return Next::Refuse("only -i or -k KEY may follow -l".to_owned()),
        },
        4 if word == Some(b"-k") => {
            line.key = options.word(3).unwrap_or_default().to_vec();
            options.count -= 2;
        }
        _ => return Next::Refuse("only -i or -k KEY may follow -l".to_owned()),
    }
    line.lists = true;
    Next::Done
}

pub(super) fn key(text: &[u8], line: &mut Line) -> Next {
    let separator = usize::from(!line.key.is_empty());
    if text.len() + line.key.len() + separator > MOST_KEY_BYTES {
        return Next::Refuse(format!("the keys have more than {MOST_KEY_BYTES} bytes"));
    }
    if separator == 1 {
        line.key.push(KEY_SEPARATOR);
    }
    line.key.extend(text);
    Next::Go
}

pub(super) fn permissions(text: &[u8], line: &mut Line) -> Next {
    if line.list().is_none() {
        return Next::Refuse("-p needs a path before it".to_owned());
    }
    let bits = match field::permissions(text) {
        Ok(bits) => bits,
        Err(why) => return Next::Refuse(why),
    };
    if line.fields.is_empty() {
        return Next::Refuse("-p needs a path or another field before it".to_owned());
    }
    let mut is_there = false;
    for field in &mut line.fields {
        if field.kind == n::PERM {
            field.value = bits;
            is_there = true;
        }
    }
    if !is_there {
        if let Err(why) = too_many(line) {
            return Next::Refuse(why);
        }
        line.fields.push(permission_field(bits));
    }
    line.seen.perm = true;
    Next::Send
}

/// The argument of `-a`, `-A` and `-d`: a list and an action in either order.
pub(super) fn list_and_action(text: &[u8], line: &mut Line, is_added: bool) -> Next {
    if line.has_list {
        return Next::Refuse("a line can have one list only".to_owned());
    }
    line.has_list = true;
    let bad = || Next::Refuse(format!("`{}` is not of the form LIST,ACTION", shown(text)));
    let mut parts = text.split(|&byte| byte == b',');
    let (Some(first), Some(second), None) = (parts.next(), parts.next(), parts.next()) else {
        return bad();
    };
    let mut list = if is_added { line.add } else { line.delete };
    match action(first) {
        Word::Action(found) => line.action = Some(found),
        Word::Deprecated => {}
        Word::Other => match list_named(first) {
            Some(found) => list = Some(found),
            None => return bad(),
        },
    }
    let mut is_deprecated = false;
    let mut is_bad = false;
    if list.is_none() {
        list = list_named(second);
    } else {
        match action(second) {
            Word::Action(found) => line.action = Some(found),
            Word::Deprecated => is_deprecated = true,
            Word::Other => is_bad = true,
        }
    }
    if is_added {
        line.add = list;
    } else {
        line.delete = list;
    }
    if is_deprecated {
        return Next::PassedOver;
    }
    if is_bad || list.is_none() || line.action.is_none() {
        return bad();
    }
    Next::Send
}

enum Word {
    Action(Action),
    Deprecated,
    Other,
}

fn action(word: &[u8]) -> Word {
    match word {
        b"always" => Word::Action(Action::Always),
        b"never" => Word::Action(Action::Never),
        b"possible" => Word::Deprecated,
        _ => Word::Other,
    }
}

fn list_named(word: &[u8]) -> Option<List> {
    Some(match word {
        b"exit" => List::Exit,
        b"task" => List::Task,
        b"user" => List::User,
        b"exclude" => List::Exclude,
        b"filesystem" => List::Filesystem,
        _ => return None,
    })
}

/// Sets the bit of a system call, or all; false when it is not known.
pub(super) fn set_bit(mask: &mut [u32; 64], name: &[u8], machine: Machine) -> bool {
    if name == b"all" {
        *mask = [u32::MAX; 64];
        return true;
    }
    let number = tables::syscall(name, machine).or_else(|| {
        let is_digit = name.first().is_some_and(u8::is_ascii_digit);
        is_digit.then(|| c_number::signed(name))
    });
    let word = number.map(|number| (number, usize::try_from(number / 32).unwrap_or(usize::MAX)));
    match word {
        Some((number, word)) if word < mask.len() => {
            mask[word] |= 1 << (number % 32);
            true
        }
        _ => false,
    }
}
