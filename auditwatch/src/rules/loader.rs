//! What loads the rules at boot. In: the texts of units, init scripts and their settings. Out: a [`Loader`].
//!
//! It names a load only on evidence; without any, the usual one is assumed. Pure.

use serde::Serialize;

use super::AUDIT_RULES;

/// What loads the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Loader {
    /// augenrules, or auditctl -R if there is no rules.d.
    #[default]
    Usual,
    /// auditctl -R audit.rules, whatever rules.d has.
    Auditctl {
        /// What says so.
        by: String,
    },
    /// Nothing loads rules.
    Nothing {
        /// Why.
        why: String,
    },
    /// Something that is not simulated.
    NotKnown {
        /// Why.
        why: String,
    },
}

/// A unit of systemd, as the manager puts it together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Its name, such as `auditd.service`.
    pub name: String,
    /// Its file and its drop-ins in order: path and text.
    pub parts: Vec<(String, String)>,
    /// A link to /dev/null, or an empty file, has its place.
    pub is_masked: bool,
    /// Whether a target wants it; `None` where no target's directory is there.
    pub is_wanted: Option<bool>,
}

/// All that the answer comes from.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact by itself, and none excludes another"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// `audit=0` is on the kernel's command line.
    pub is_off: bool,
    /// A whole system without auditd.
    pub lacks_auditd: bool,
    /// systemd is its init.
    pub has_systemd: bool,
    /// auditd.service, if there is one.
    pub auditd: Option<Unit>,
    /// The unit that loads the rules for auditd, if there is one: audit-rules.service (4.x), augenrules.service (SUSE).
    pub audit_rules: Option<Unit>,
    /// The init script of auditd.
    pub script: Option<String>,
    /// Its settings (default, sysconfig, conf.d): path and text.
    pub settings: Option<(String, String)>,
    /// `NixOS`.
    pub is_nixos: bool,
}

/// A command that loads rules.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Load {
    Augenrules,
    Auditctl(String),
    /// In a shell or otherwise.
    Hidden(String),
}

impl Loader {
    /// By the evidence.
    #[must_use]
    pub fn of(evidence: &Evidence) -> Self {
        let nothing = |why: &str| Self::Nothing {
            why: why.to_owned(),
        };
        if evidence.is_off {
            return nothing("audit=0 is on the kernel command line");
        }
        if evidence.is_nixos {
            return Self::NotKnown {
                why: "NixOS loads rules from a script of its own configuration".to_owned(),
            };
        }
        if evidence.lacks_auditd {
            return nothing("auditd is not installed");
        }
        if evidence.has_systemd {
            return Self::of_units(evidence);
        }
        match &evidence.script {
            Some(script) => Self::of_script(script, evidence.settings.as_ref()),
            None => Self::Usual,
        }
    }

    fn of_units(evidence: &Evidence) -> Self {
        let nothing = |why: &str| Self::Nothing {
            why: why.to_owned(),
        };
        let Some(auditd) = &evidence.auditd else {
            return Self::Usual;
        };
        if auditd.is_masked {
            return nothing("auditd.service is masked");
        }
        let rules_unit = evidence.audit_rules.as_ref();
        let is_wanted = |unit: &Unit| unit.is_wanted != Some(false);
        if !is_wanted(auditd) && rules_unit.is_none_or(|unit| unit.is_wanted != Some(true)) {
            return nothing("auditd.service is not enabled");
        }
        let mut loads = loads(auditd);
        match rules_unit {
            Some(unit) if unit.is_masked && loads.is_empty() => {
                return nothing(&format!("{} is masked", unit.name));
            }
            Some(unit) if unit.is_masked => {}
            Some(unit) => loads.splice(0..0, self::loads(unit)).for_each(drop),
            None => {}
        }
        let Some((load, by)) = loads.first().cloned() else {
            return Self::NotKnown {
                why: "no command of auditd.service loads rules".to_owned(),
            };
        };
        if let Some((other, second)) = loads.iter().find(|(other, _)| *other != load) {
            return Self::NotKnown {
                why: format!(
                    "rules are loaded twice: {} ({by}), then {} ({second})",
                    load.shown(),
                    other.shown()
                ),
            };
        }
        load.loader(by)
    }

    fn of_script(script: &str, settings: Option<&(String, String)>) -> Self {
        let setting = |name: &str| {
            let (path, text) = settings?;
            let value = text
                .lines()
                .rev()
                .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?;
            let value = value.trim().trim_matches(['"', '\'']).to_owned();
            Some((path.clone(), value))
        };
        if let Some((path, file)) = setting("RULEFILE_STARTUP") {
            return Load::Auditctl(file).loader(path);
        }
        if script.contains("augenrules") {
            return match setting("USE_AUGENRULES") {
                Some((path, value)) if ["no", "n"].contains(&&*value.to_ascii_lowercase()) => {
                    Self::Auditctl {
                        by: format!("USE_AUGENRULES=no in {path}"),
                    }
                }
                _ => Self::Usual,
            };
        }
        let mut lines = script
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        match lines.find_map(load) {
            Some(load) => load.loader("/etc/init.d/auditd".to_owned()),
            None => Self::Usual,
        }
    }

    /// Why no edit of the rules files can set the next boot's limit, with the way out.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::Usual | Self::Auditctl { .. } => None,
            Self::Nothing { why } => Some(format!(
                "no rules are loaded at boot: {why}; set the limit on the kernel command line (audit_backlog_limit=), \
                 or now alone: --runtime-only"
            )),
            Self::NotKnown { why } => Some(format!(
                "the load of the rules at boot is not known: {why}; set the limit there, or now alone: --runtime-only"
            )),
        }
    }
}

impl Load {
    fn shown(&self) -> String {
        match self {
            Self::Augenrules => "augenrules --load".to_owned(),
            Self::Auditctl(file) => format!("auditctl -R {file}"),
            Self::Hidden(command) => command.clone(),
        }
    }

    fn loader(self, by: String) -> Loader {
        match self {
            Self::Augenrules => Loader::Usual,
            Self::Auditctl(file) if file == AUDIT_RULES => Loader::Auditctl { by },
            load => Loader::NotKnown {
                why: format!("{by} runs `{}`", load.shown()),
            },
        }
    }
}

/// The commands of a unit that load rules, with the file that has each. An empty assignment takes back those before.
fn loads(unit: &Unit) -> Vec<(Load, String)> {
    let mut found: Vec<(&str, Load, String)> = Vec::new();
    for (path, text) in &unit.parts {
        for line in joined(text).lines() {
            let Some((key, value)) = line.trim().split_once('=') else {
                continue;
            };
            let key = key.trim();
            let Some(key) = ["ExecStartPre", "ExecStart", "ExecStartPost"]
                .into_iter()
                .find(|known| *known == key)
            else {
                continue;
            };
            if value.trim().is_empty() {
                found.retain(|(of, ..)| *of != key);
            } else if let Some(load) = load(value) {
                found.push((key, load, path.clone()));
            }
        }
    }
    // They run in this order, wherever they stand.
    found.sort_by_key(|(key, ..)| {
        ["ExecStartPre", "ExecStart", "ExecStartPost"]
            .iter()
            .position(|of| of == key)
    });
    found
        .into_iter()
        .map(|(_, load, path)| (load, path))
        .collect()
}

/// Lines that go on behind a backslash, as one.
fn joined(text: &str) -> String {
    text.replace("\\\r\n", " ").replace("\\\n", " ")
}

/// The load that a command is.
fn load(command: &str) -> Option<Load> {
    let command = command
        .trim()
        .trim_start_matches(['-', '@', ':', '+', '!', '|']);
    let mut words = command.split_whitespace();
    let program = words.next()?.rsplit('/').next()?;
    let words: Vec<&str> = words.collect();
    match program {
        "augenrules" if words.contains(&"--load") => Some(Load::Augenrules),
        "auditctl" => {
            let at = words.iter().position(|word| *word == "-R")?;
            let file = words.get(at + 1)?.trim_matches(['"', '\'']);
            Some(Load::Auditctl(file.to_owned()))
        }
        "augenrules" | "auditd" => None,
        _ if command.contains("augenrules") || command.contains("auditctl") => {
            Some(Load::Hidden(command.to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str =
        "[Service]\nExecStart=/sbin/auditd\nExecStartPost=-/sbin/augenrules --load\n";

    fn unit(parts: &[(&str, &str)]) -> Unit {
        Unit {
            parts: parts
                .iter()
                .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
                .collect(),
            ..Unit::default()
        }
    }

    fn systemd(auditd: Unit) -> Evidence {
        Evidence {
            has_systemd: true,
            auditd: Some(auditd),
            ..Evidence::default()
        }
    }

    fn why(loader: &Loader) -> &str {
        match loader {
            Loader::Usual => "",
            Loader::Auditctl { by } => by,
            Loader::Nothing { why } | Loader::NotKnown { why } => why,
        }
    }

    #[test]
    fn a_drop_in_may_replace_the_load() {
        let drop_in =
            "[Service]\nExecStartPost=\nExecStartPost=-/sbin/auditctl -R /etc/audit/audit.rules\n";
        let loader = Loader::of(&systemd(unit(&[("a.service", UNIT), ("x.conf", drop_in)])));
        assert_eq!(
            loader,
            Loader::Auditctl {
                by: "x.conf".to_owned()
            }
        );
        assert_eq!(
            Loader::of(&systemd(unit(&[("a.service", UNIT)]))),
            Loader::Usual
        );
        let late = "[Service]\nExecStartPost=-/sbin/auditctl -R /opt/late.rules\n";
        let twice = Loader::of(&systemd(unit(&[("a.service", UNIT), ("x.conf", late)])));
        assert!(why(&twice).contains("/opt/late.rules"), "{twice:?}");
        assert!(twice.refusal().is_some());
        let hidden = "[Service]\nExecStartPost=\nExecStartPost=/bin/sh -c 'auditctl -b 9'\n";
        let hidden = Loader::of(&systemd(unit(&[("a.service", UNIT), ("x.conf", hidden)])));
        assert!(matches!(hidden, Loader::NotKnown { .. }), "{hidden:?}");
    }

    #[test]
    fn disabled_unit_loads_no_rules() {
        let masked = Unit {
            name: "audit-rules.service".to_owned(),
            is_masked: true,
            ..Unit::default()
        };
        assert!(matches!(
            Loader::of(&systemd(masked.clone())),
            Loader::Nothing { .. }
        ));
        let unwanted = Unit {
            is_wanted: Some(false),
            ..unit(&[("a", UNIT)])
        };
        assert!(why(&Loader::of(&systemd(unwanted))).contains("not enabled"));
        let split = Evidence {
            audit_rules: Some(masked),
            ..systemd(unit(&[("a", "[Service]\nExecStart=/usr/sbin/auditd\n")]))
        };
        assert!(why(&Loader::of(&split)).contains("audit-rules.service"));
        let whole = Evidence {
            audit_rules: Some(unit(&[(
                "r",
                "[Service]\nExecStart=/usr/sbin/augenrules --load\n",
            )])),
            ..split
        };
        assert_eq!(Loader::of(&whole), Loader::Usual);
        for evidence in [
            Evidence {
                is_off: true,
                ..Evidence::default()
            },
            Evidence {
                lacks_auditd: true,
                ..Evidence::default()
            },
        ] {
            assert!(matches!(Loader::of(&evidence), Loader::Nothing { .. }));
        }
    }

    #[test]
    fn init_scripts_have_their_own_settings() {
        let script = |script: &str, settings: Option<(&str, &str)>| {
            Loader::of(&Evidence {
                script: Some(script.to_owned()),
                settings: settings.map(|(path, text)| (path.to_owned(), text.to_owned())),
                ..Evidence::default()
            })
        };
        let sysv = "case $USE_AUGENRULES in no) auditctl -R /etc/audit/audit.rules;; *) augenrules --load;; esac\n";
        let no = script(
            sysv,
            Some(("/etc/default/auditd", "USE_AUGENRULES=\"no\"\n")),
        );
        assert!(matches!(no, Loader::Auditctl { .. }), "{no:?}");
        assert_eq!(
            script(sysv, Some(("/etc/default/auditd", "USE_AUGENRULES=yes\n"))),
            Loader::Usual
        );
        let openrc = script(
            "start() { :; }\n",
            Some((
                "/etc/conf.d/auditd",
                "RULEFILE_STARTUP=/etc/audit/audit.rules\n",
            )),
        );
        assert!(matches!(openrc, Loader::Auditctl { .. }), "{openrc:?}");
        let procd = script(
            "#!/bin/sh /etc/rc.common\nauditctl -R /etc/audit/rules.d/audit.rules\n",
            None,
        );
        assert!(why(&procd).contains("rules.d/audit.rules"), "{procd:?}");
    }
}
