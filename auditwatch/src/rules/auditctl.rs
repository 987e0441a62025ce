//! One line of rules as auditctl runs it: its words and the place where it stands come in, settings and rules go to the
//! kernel, and a verdict goes out. Each option acts when it is met, before the line as a whole is judged, so a
//! line that is refused may leave something behind.

use super::{
    Host, Leads, Place, Settings,
    draft::{self, ALL_PERMISSIONS, Line, Next, contains, next, number, too_many},
    field::{self, key_needs, shown},
    kernel::{
        Action, Answer, Field, Kernel, List, NAME_MAX, Op, PATH_MAX, Refusal, Rule, number as n,
    },
    options::{Opt, Options},
};

/// What becomes of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The load goes on.
    Fine,
    /// It is refused, for this reason.
    Refused(String),
    /// auditctl dies of it.
    Crashed(String),
}

/// auditctl while it loads a file.
pub struct Auditctl<'a> {
    /// What the kernel holds.
    pub kernel: Kernel<'a>,
    /// Where the backlog limit was set last.
    pub limit_set_by: Option<Place>,
    /// Where the wait time was set last.
    pub wait_set_by: Option<Place>,
    host: Host<'a>,
    ignores: bool,
    has_crashed: bool,
}

impl<'a> Auditctl<'a> {
    /// Before the first line.
    #[must_use]
    pub fn new(host: &Host<'a>) -> Self {
        Self {
            kernel: Kernel::new(host.before, host.hz, host.lookup),
            limit_set_by: None,
            wait_set_by: None,
            host: *host,
            ignores: false,
            has_crashed: false,
        }
    }

    /// Whether an error ends the load no longer, since a line had `-i` or `-c`.
    #[must_use]
    pub const fn ignores_errors(&self) -> bool {
        self.ignores
    }

    /// Whether it is dead.
    #[must_use]
    pub const fn has_crashed(&self) -> bool {
        self.has_crashed
    }

    /// Runs a line.
    pub fn run(&mut self, words: Vec<Vec<u8>>, place: &Place) -> Verdict {
        let mut options = Options::new(words);
        let mut draft = Line::new(place);
        let mut sends = false;
        let mut is_done = false;
        let mut wrong = None;
        while let Some((opt, argument)) = options.next_option() {
            match self.option(opt, argument.as_deref(), &mut options, &mut draft) {
                Next::Go => continue,
                Next::Send => {
                    sends = true;
                    continue;
                }
                Next::Done => is_done = true,
                Next::Finished | Next::PassedOver => return Verdict::Fine,
                Next::Refuse(why) => wrong = Some(why),
                Next::Crash => {
                    self.has_crashed = true;
                    return Verdict::Crashed(
                        "auditctl dies of it: it looks for a word behind the last one".to_owned(),
                    );
                }
            }
            break;
        }
        if options.index() == 1 {
            wrong.get_or_insert_with(|| {
                "it does not begin with an option that stands alone".to_owned()
            });
        } else if options.index() < options.count {
            wrong.get_or_insert_with(|| {
                let word = options.word(options.index()).unwrap_or_default();
                format!("`{}` belongs to no option", shown(word))
            });
        }
        if !draft.key.is_empty()
            && !draft.lists
            && let Err(why) = self.add_key(&mut draft)
        {
            wrong.get_or_insert(why);
        }
        if let Some(why) = wrong {
            return Verdict::Refused(why);
        }
        if is_done {
            return Verdict::Fine;
        }
        if !sends {
            if draft.seen.syscall {
                return Verdict::Refused("there is no list: -a LIST,ACTION is missing".to_owned());
            }
            return Verdict::Fine;
        }
        match self.send(draft) {
            Ok(()) => Verdict::Fine,
            Err(refusal) => Verdict::Refused(refusal.words().to_owned()),
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one arm for each option, as getopt's users have it"
    )]
    fn option(
        &mut self,
        opt: Opt,
        argument: Option<&[u8]>,
        options: &mut Options,
        draft: &mut Line,
    ) -> Next {
        let argument = argument.unwrap_or_default();
        match opt {
            Opt::Letter(b'i' | b'c') => {
                self.ignores = true;
                Next::Done
            }
            Opt::Letter(b'h') => Next::Refuse("-h is not a rule".to_owned()),
            Opt::Letter(b'v') => Next::Done,
            Opt::Letter(b's') => draft::show_status(options),
            Opt::Letter(b'l') => draft::list_rules(options, draft),
            Opt::Letter(b'e') => {
                self.level(argument, "-e", |settings, level| settings.enabled = level)
            }
            Opt::Letter(b'f') => {
                self.level(argument, "-f", |settings, level| settings.failure = level)
            }
            Opt::Letter(b'r') => match number(argument, "-r") {
                Ok(rate) => next(self.kernel.set(|settings| settings.rate_limit = rate)),
                Err(why) => Next::Refuse(why),
            },
            Opt::Letter(b'b') => match number(argument, "-b") {
                Ok(limit) => {
                    let answer = self.kernel.set(|settings| settings.backlog_limit = limit);
                    if answer.is_ok() {
                        self.limit_set_by = Some(draft.place.clone());
                    }
                    next(answer)
                }
                Err(why) => Next::Refuse(why),
            },
            Opt::BacklogWaitTime => match number(argument, "--backlog_wait_time") {
                Ok(wait) => {
                    let answer = self.kernel.set_wait(wait);
                    match answer {
                        Ok(()) => self.wait_set_by = Some(draft.place.clone()),
                        Err(Refusal::Invalid) => {
                            return Next::Refuse(format!(
                                "a wait of {wait} jiffies is more than 10 minutes, at {} a second",
                                self.host.hz
                            ));
                        }
                        Err(_) => {}
                    }
                    next(answer)
                }
                Err(why) => Next::Refuse(why),
            },
            Opt::Letter(letter @ (b'a' | b'A')) => {
                if draft.seen.syscall && contains(argument, b"task") {
                    return Next::Refuse("system calls cannot be in the task list".to_owned());
                }
                let result = draft::list_and_action(argument, draft, true);
                if matches!(result, Next::Send) && letter == b'A' {
                    draft.at_front = true;
                }
                result
            }
            Opt::Letter(b'd') => draft::list_and_action(argument, draft, false),
            Opt::Letter(b'S') => self.system_calls(argument, draft),
            Opt::Letter(b'F') => self.field(argument, options, draft),
            Opt::Letter(b'C') => {
                let result =
                    too_many(draft).and_then(|()| field::comparison(argument, draft.list()));
                match result {
                    Ok(field) => {
                        draft.fields.push(field);
                        Next::Go
                    }
                    Err(why) => Next::Refuse(why),
                }
            }
            Opt::Letter(b'm') => {
                if options.count > 3 {
                    return Next::Refuse("-m must be alone, with one word".to_owned());
                }
                if argument.iter().any(|byte| !(32..128).contains(byte)) {
                    return Next::Refuse(
                        "the text of -m has a character that is not ASCII".to_owned(),
                    );
                }
                Next::Finished
            }
            Opt::Letter(b'R') => Next::Refuse("a rules file cannot load another (-R)".to_owned()),
            Opt::Letter(b'D') => self.delete_all(options, draft),
            Opt::Letter(b'w') => {
                if draft.list().is_some() {
                    return Next::Refuse("-w cannot follow a list or another -w".to_owned());
                }
                draft.add = Some(List::Exit);
                self.watch(argument, draft)
            }
            Opt::Letter(b'W') => {
                draft.delete = Some(List::Exit);
                self.watch(argument, draft)
            }
            Opt::Letter(b'k') => {
                if !draft.seen.allows_key() || draft.list().is_none() {
                    return Next::Refuse(key_needs().to_owned());
                }
                draft::key(argument, draft)
            }
            Opt::Letter(b'p') => draft::permissions(argument, draft),
            Opt::Letter(b'q') => {
                if draft.seen.syscall {
                    return Next::Refuse("-q cannot follow system calls".to_owned());
                }
                let mut parts = argument.splitn(2, |&byte| byte == b',');
                let (one, other) = (parts.next().unwrap_or_default(), parts.next());
                let Some(other) = other.filter(|text| !text.is_empty() && !text.contains(&b','))
                else {
                    return Next::Refuse("-q wants two paths with a comma between".to_owned());
                };
                match self.kernel.make_equivalent(one, other) {
                    Ok(()) => Next::Finished,
                    Err(refusal) => Next::Refuse(refusal.words().to_owned()),
                }
            }
            Opt::Letter(b't')
            | Opt::LoginuidImmutable
            | Opt::ResetLost
            | Opt::ResetWaitTimeActual => Next::Finished,
            Opt::Signal => {
                let known = ["term", "hup", "usr1", "usr2", "cont"];
                let name = argument.to_ascii_lowercase();
                if known.iter().any(|known| known.as_bytes() == name) {
                    Next::Done
                } else {
                    Next::Refuse(format!(
                        "`{}` is not a signal that auditctl sends",
                        shown(argument)
                    ))
                }
            }
            Opt::Letter(_) | Opt::Unknown => {
                let at = options.index();
                let word = if at >= 2 { options.word(at - 1) } else { None };
                Next::Refuse(format!(
                    "option `{}` is not known, or lacks its argument",
                    shown(word.unwrap_or_default())
                ))
            }
        }
    }

    /// `-e` and `-f`: 0, 1 or 2, and nothing else.
    fn level(
        &mut self,
        argument: &[u8],
        option: &str,
        set: impl FnOnce(&mut Settings, u32),
    ) -> Next {
        match argument {
            [digit @ b'0'..=b'2'] => {
                let level = u32::from(digit - b'0');
                next(self.kernel.set(|settings| set(settings, level)))
            }
            _ => Next::Refuse(format!(
                "{option} wants 0, 1 or 2, and has `{}`",
                shown(argument)
            )),
        }
    }

    fn delete_all(&mut self, options: &mut Options, draft: &mut Line) -> Next {
        if options.count > 4 || options.count == 3 {
            return Next::Refuse("-D must be alone, or with -k KEY".to_owned());
        }
        let mut key = Vec::new();
        if options.count == 4 {
            match options.word(options.index()) {
                None => return Next::Crash,
                Some(b"-k") => {
                    key = options.word(3).unwrap_or_default().to_vec();
                    options.count -= 2;
                }
                Some(_) => return Next::Refuse("-D must be alone, or with -k KEY".to_owned()),
            }
        }
        match self.kernel.delete_all(&key) {
            Ok(()) => {
                draft.lists = true;
                Next::Done
            }
            Err(refusal) => Next::Refuse(refusal.words().to_owned()),
        }
    }

    fn watch(&self, path: &[u8], draft: &mut Line) -> Next {
        draft.action = Some(Action::Always);
        draft.seen.syscall = true;
        if path.len() >= PATH_MAX {
            return Next::Refuse("the path has 4096 bytes or more".to_owned());
        }
        if path.first() != Some(&b'/') {
            return Next::Refuse(format!("path `{}` does not begin with /", shown(path)));
        }
        let trimmed = draft::trimmed(path);
        let name = trimmed.rsplit(|&byte| byte == b'/').next();
        if name.is_some_and(|name| name.len() > NAME_MAX) {
            return Next::Refuse("the path's last part has more than 255 bytes".to_owned());
        }
        if !draft.fields.is_empty() {
            return Next::Refuse("a line can watch one path only".to_owned());
        }
        let kind = match self.host.lookup.path(trimmed) {
            Leads::Directory => n::DIR,
            Leads::Nowhere | Leads::File => n::WATCH,
        };
        draft.mask = [u32::MAX; 64];
        draft.fields.push(Field {
            kind,
            op: Op::Equal,
            value: u32::try_from(trimmed.len()).unwrap_or(u32::MAX),
            text: Some(trimmed.to_vec()),
        });
        draft.fields.push(draft::permission_field(ALL_PERMISSIONS));
        draft.seen.perm = true;
        Next::Send
    }

    fn system_calls(&self, names: &[u8], draft: &mut Line) -> Next {
        // auditctl looks whether either list is one of these, an `-a` and a `-d` each for itself.
        let refused = [List::Task, List::User, List::Filesystem, List::Exclude];
        for list in [draft.add, draft.delete].into_iter().flatten() {
            if refused.contains(&list) {
                let list = format!("{list:?}").to_lowercase();
                return Next::Refuse(format!("system calls cannot be in the {list} list"));
            }
        }
        let machine = *draft.seen.machine.get_or_insert(self.host.machine);
        let pieces = names.split(|&byte| byte == b',');
        for name in pieces.filter(|name| !name.is_empty() || !names.contains(&b',')) {
            if !draft::set_bit(&mut draft.mask, name, machine) {
                return Next::Refuse(format!("system call `{}` is not known", shown(name)));
            }
        }
        draft.seen.syscall = true;
        Next::Go
    }

    fn field(&self, pair: &[u8], options: &Options, draft: &mut Line) -> Next {
        if draft.list().is_none() {
            let next_word = options.word(options.index());
            let before_trim = options.index() < options.count
                && next_word == Some(b"-t")
                && contains(pair, b"arch=");
            if !before_trim {
                return Next::Refuse("a list must stand before -F".to_owned());
            }
        }
        if let Some(text) = pair.strip_prefix(b"key=") {
            return draft::key(text, draft);
        }
        match self.parse_field(pair, draft) {
            Ok(field) => {
                draft.fields.push(field);
                Next::Go
            }
            Err(why) => Next::Refuse(why),
        }
    }

    fn parse_field(&self, pair: &[u8], draft: &mut Line) -> Result<Field, String> {
        too_many(draft)?;
        let list = draft.list();
        field::parse(
            pair,
            list,
            &mut draft.seen,
            self.host.machine,
            self.host.lookup,
        )
    }

    /// All keys of a line are one field at its end.
    fn add_key(&self, draft: &mut Line) -> Result<(), String> {
        let pair = [b"key=", draft.key.as_slice()].concat();
        // Without a list auditctl takes it for the user list.
        let list = draft.list().or(Some(List::User));
        too_many(draft)?;
        let field = field::parse(
            &pair,
            list,
            &mut draft.seen,
            self.host.machine,
            self.host.lookup,
        )?;
        draft.fields.push(field);
        Ok(())
    }

    fn send(&mut self, draft: Line) -> Answer {
        let is_added = draft.add.is_some();
        let list = draft.list().ok_or(Refusal::Invalid)?;
        let mut rule = Rule {
            list,
            at_front: is_added && draft.at_front,
            action: draft.action.ok_or(Refusal::Invalid)?,
            mask: draft.mask,
            fields: draft.fields,
        };
        if list != List::Task && !draft.seen.syscall {
            rule.mask = [u32::MAX; 64];
        }
        let mut send = |rule: &Rule| {
            if is_added {
                self.kernel.add(rule)
            } else {
                self.kernel.delete(rule)
            }
        };
        match send(&rule) {
            // auditctl tries a refused directory again as a file.
            Err(Refusal::Invalid)
                if rule
                    .fields
                    .first()
                    .is_some_and(|field| field.kind == n::DIR) =>
            {
                rule.fields[0].kind = n::WATCH;
                send(&rule)
            }
            answer => answer,
        }
    }
}
