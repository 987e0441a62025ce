//! auditd's configuration, as far as it bears on how fast records are taken.
//!
//! In: the text of `auditd.conf`, or of a plugin's file. Out: values; what the text leaves out has
//! the default of auditd.conf(5). Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::yes;

/// auditd skips lines that are longer, bytes (`get_line`, src/auditd-config.c of audit 2.4 to 4).
const MOST_BYTES: usize = 158;

/// How often the log is brought to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flush {
    /// Never by auditd's doing.
    None,
    /// Each `freq` records, and auditd waits for it.
    Incremental,
    /// Each `freq` records, in a thread of its own.
    #[default]
    IncrementalAsync,
    /// The data, with each write.
    Data,
    /// Data and metadata, with each write.
    Sync,
}

impl Flush {
    /// The value's name, as in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Incremental => "incremental",
            Self::IncrementalAsync => "incremental_async",
            Self::Data => "data",
            Self::Sync => "sync",
        }
    }

    /// Whether each record waits for the disk.
    #[must_use]
    pub const fn waits_for_each(self) -> bool {
        matches!(self, Self::Data | Self::Sync)
    }
}

/// The configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditdConf {
    /// How often the log is brought to the disk.
    pub flush: Flush,
    /// Records between two times of that, where it is `incremental` or `incremental_async`.
    pub freq: u32,
    /// Whether names are looked up for each record (`log_format = ENRICHED`).
    pub is_enriched: bool,
    /// Whether a log is written at all.
    pub writes_logs: bool,
    /// Greatest size of the log, MiB; 0 for none.
    pub max_log_file_mib: u64,
    /// What happens at that size, in lower case.
    pub max_log_file_action: String,
    /// Logs that are kept when they are rotated.
    pub num_logs: u32,
    /// What happens when space becomes scarce, in lower case.
    pub space_left_action: String,
    /// The same when there is hardly any left.
    pub admin_space_left_action: String,
    /// What happens when the disk is full, in lower case.
    pub disk_full_action: String,
    /// Records that may wait for plugins.
    pub q_depth: u32,
    /// What happens when more would, in lower case.
    pub overflow_action: String,
    /// By how much auditd lowers its nice value.
    pub priority_boost: u32,
    /// Where the name in each record comes from, in lower case.
    pub name_format: String,
    /// Directory of the plugins' files.
    pub plugin_dir: String,
    /// Keys that the file has, in lower case; all others are at their defaults.
    pub given: BTreeSet<String>,
}

impl Default for AuditdConf {
    /// The defaults of auditd.conf(5), and of the file that is shipped where the page names none.
    fn default() -> Self {
        Self {
            flush: Flush::IncrementalAsync,
            freq: 50,
            is_enriched: true,
            writes_logs: true,
            max_log_file_mib: 8,
            max_log_file_action: "rotate".to_owned(),
            num_logs: 5,
            space_left_action: "syslog".to_owned(),
            admin_space_left_action: "suspend".to_owned(),
            disk_full_action: "suspend".to_owned(),
            q_depth: 2000,
            overflow_action: "syslog".to_owned(),
            priority_boost: 4,
            name_format: "none".to_owned(),
            plugin_dir: "/etc/audit/plugins.d".to_owned(),
            given: BTreeSet::new(),
        }
    }
}

impl AuditdConf {
    /// Reads the file's text. A value that makes no sense leaves its key at the default: auditd
    /// would not have started with it.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for (key, value) in pairs(text) {
            if conf.set(&key, value).is_some() {
                conf.given.insert(key);
            }
        }
        conf
    }

    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        // `space_left_action = exec /a/program`: the first word is the value.
        let word = value.split_whitespace().next()?;
        let lower = word.to_ascii_lowercase();
        match key {
            "flush" => {
                self.flush = match lower.as_str() {
                    "none" => Flush::None,
                    "incremental" => Flush::Incremental,
                    "incremental_async" => Flush::IncrementalAsync,
                    "data" => Flush::Data,
                    "sync" => Flush::Sync,
                    _ => return None,
                }
            }
            "freq" => self.freq = word.parse().ok()?,
            "log_format" => match lower.as_str() {
                "enriched" => self.is_enriched = true,
                "raw" => self.is_enriched = false,
                // The old way to write no log.
                "nolog" => {
                    self.is_enriched = false;
                    self.writes_logs = false;
                }
                _ => return None,
            },
            "write_logs" => self.writes_logs = yes(&lower)?,
            "max_log_file" => self.max_log_file_mib = word.parse().ok()?,
            "max_log_file_action" => self.max_log_file_action = lower,
            "num_logs" => self.num_logs = word.parse().ok()?,
            "space_left_action" => self.space_left_action = lower,
            "admin_space_left_action" => self.admin_space_left_action = lower,
            "disk_full_action" => self.disk_full_action = lower,
            "q_depth" => self.q_depth = word.parse().ok()?,
            "overflow_action" => self.overflow_action = lower,
            "priority_boost" => self.priority_boost = word.parse().ok()?,
            "name_format" => self.name_format = lower,
            "plugin_dir" => word.clone_into(&mut self.plugin_dir),
            _ => return None,
        }
        Some(())
    }

    /// A setting as it stands in the file, or as its default.
    #[must_use]
    pub fn cite(&self, key: &str, value: impl std::fmt::Display, path: &str) -> String {
        if self.given.contains(key) {
            format!("{key} = {value} in {path}")
        } else {
            format!("{key} = {value}, the default, as {path} has none")
        }
    }

    /// Whether the log gives way to a new one at its greatest size.
    #[must_use]
    pub fn rotates(&self) -> bool {
        self.writes_logs
            && self.max_log_file_mib > 0
            && matches!(self.max_log_file_action.as_str(), "rotate" | "keep_logs")
    }
}

/// Whether a plugin's file switches it on.
#[must_use]
pub fn plugin_is_active(text: &str) -> bool {
    // auditd starts none that does not say so.
    pairs(text)
        .filter(|(key, _)| key == "active")
        .last()
        .and_then(|(_, value)| yes(&value.to_ascii_lowercase()))
        .unwrap_or(false)
}

/// Keys in lower case, and their values, of all lines that auditd reads.
fn pairs(text: &str) -> impl Iterator<Item = (String, &str)> {
    text.lines()
        .filter(|line| line.len() <= MOST_BYTES)
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().to_ascii_lowercase(), value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "#\n# This file controls the configuration of the audit daemon\n#\n\n\
        local_events = yes\nwrite_logs = yes\nlog_format = ENRICHED\nflush = INCREMENTAL_ASYNC\n\
        freq = 50\nmax_log_file = 8\nnum_logs = 5\npriority_boost = 4\nname_format = NONE\n\
        ##name = mydomain\nmax_log_file_action = ROTATE\nspace_left = 75\n\
        space_left_action = SYSLOG\nadmin_space_left_action = SUSPEND\n\
        disk_full_action = SUSPEND\nq_depth = 2000\noverflow_action = SYSLOG\n\
        plugin_dir = /etc/audit/plugins.d\n";

    #[test]
    fn the_shipped_file_says_the_defaults() {
        let conf = AuditdConf::parse(DEBIAN);
        let bare = AuditdConf::default();
        assert_eq!(conf.given.len(), 15);
        assert_eq!(
            AuditdConf {
                given: BTreeSet::new(),
                ..conf
            },
            bare
        );
        assert_eq!(AuditdConf::parse(""), bare);
    }

    #[test]
    fn names_and_values_have_no_case_and_the_last_one_wins() {
        let conf = AuditdConf::parse(
            "Flush = none\n  FLUSH =  Sync \nFreq=20\nlog_format = Raw\nq_depth = 400\n\
             write_logs = no\nspace_left_action = exec /usr/bin/warn\npriority_boost = 0\n\
             max_log_file_action = keep_logs\n",
        );
        assert_eq!((conf.flush, conf.freq), (Flush::Sync, 20));
        assert!(conf.flush.waits_for_each());
        assert!(!conf.is_enriched && !conf.writes_logs && !conf.rotates());
        assert_eq!((conf.q_depth, conf.priority_boost), (400, 0));
        assert_eq!(conf.space_left_action, "exec");
        assert_eq!(
            conf.cite("flush", conf.flush.name(), "/a"),
            "flush = sync in /a"
        );
        assert!(
            conf.cite("num_logs", conf.num_logs, "/a")
                .contains("the default")
        );
    }

    #[test]
    fn lines_that_auditd_ignores_have_no_effect() {
        let long = format!("freq = 7{}\n", " ".repeat(160));
        let text = format!(
            "{long}# flush = sync\nflush = often\nfreq = many\nq_depth\n= 3\nwrite_logs = perhaps\n"
        );
        assert_eq!(AuditdConf::parse(&text), AuditdConf::default());
    }

    #[test]
    fn an_old_file_without_a_log_writes_none() {
        let conf = AuditdConf::parse("log_format = NOLOG\nflush = SYNC\n");
        assert!(!conf.writes_logs && !conf.is_enriched);
    }

    #[test]
    fn plugin_is_active_if_its_file_says_so() {
        let file = "# a comment\nactive = YES\ndirection = out\npath = /sbin/audisp-syslog\n";
        assert!(plugin_is_active(file));
        assert!(!plugin_is_active(
            "#active = yes\nactive = no\npath = builtin_af_unix\n"
        ));
        assert!(!plugin_is_active("path = /sbin/audisp-syslog\n"));
        assert!(!plugin_is_active(""));
    }
}
