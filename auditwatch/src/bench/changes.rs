//! What a bench has changed on the host: all that it takes to change it back.
//!
//! Plain data, without any doing. It is the journal on disk, and the word that the
//! keeper is sent.

use serde::{Deserialize, Serialize};

use super::child::ChildId;
use crate::netlink::{control::Setting, rule::SyscallRule, status::AuditStatus};

/// The settings as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// 0 off, 1 on.
    pub enabled: u32,
    /// 0 nothing, 1 printk.
    pub failure: u32,
    /// Records a second that pass; 0 for all.
    pub rate_limit: u32,
    /// Records; 0 for no limit.
    pub backlog_limit: u32,
    /// Jiffies; `None` where the kernel has no such setting.
    pub backlog_wait_time_jiffies: Option<u32>,
}

impl Settings {
    /// Those of a status.
    #[must_use]
    pub const fn of(status: &AuditStatus) -> Self {
        Self {
            enabled: status.enabled,
            failure: status.failure,
            rate_limit: status.rate_limit,
            backlog_limit: status.backlog_limit,
            backlog_wait_time_jiffies: status.backlog_wait_time_jiffies,
        }
    }

    /// What it takes to get from `now` to these; the limit comes before what else
    /// could make a queue overflow, and `enabled` last.
    #[must_use]
    pub fn orders_from(&self, now: &Self) -> Vec<Setting> {
        let mut orders = Vec::new();
        let mut order = |from: u32, to: u32, setting: fn(u32) -> Setting| {
            if from != to {
                orders.push(setting(to));
            }
        };
        order(now.backlog_limit, self.backlog_limit, Setting::BacklogLimit);
        if let (Some(from), Some(to)) = (
            now.backlog_wait_time_jiffies,
            self.backlog_wait_time_jiffies,
        ) {
            order(from, to, Setting::BacklogWaitTime);
        }
        order(now.rate_limit, self.rate_limit, Setting::RateLimit);
        order(now.failure, self.failure, Setting::Failure);
        order(now.enabled, self.enabled, Setting::Enabled);
        orders
    }
}

/// An auditd that was asked to leave its place, and how to have it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auditd {
    /// Its program and arguments.
    pub command: Vec<String>,
    /// The systemd unit that it ran in.
    pub unit: Option<String>,
}

/// Everything that was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// The settings as they were.
    pub settings: Option<Settings>,
    /// Rules that were added.
    pub rules: Vec<SyscallRule>,
    /// Processes of the bench: the producers first, then the consumer.
    pub children: Vec<ChildId>,
    /// The auditd that left.
    pub auditd: Option<Auditd>,
    /// Directories that were made.
    pub directories: Vec<std::path::PathBuf>,
}

impl Changes {
    /// What it takes to change it back, in words.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut words = Vec::new();
        if let Some(settings) = &self.settings {
            let wait_time = settings
                .backlog_wait_time_jiffies
                .map_or_else(String::new, |jiffies| {
                    format!(", wait time {jiffies} jiffies")
                });
            words.push(format!(
                "limit {}{wait_time}, rate limit {}, failure {}, enabled {}",
                settings.backlog_limit, settings.rate_limit, settings.failure, settings.enabled
            ));
        }
        if !self.rules.is_empty() {
            words.push(format!("{} of its rules removed", self.rules.len()));
        }
        if self.auditd.is_some() {
            words.push("auditd started again".to_owned());
        }
        if !self.children.is_empty() {
            words.push(format!("{} of its processes ended", self.children.len()));
        }
        if !self.directories.is_empty() {
            words.push("its files removed".to_owned());
        }
        words.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_different_settings_are_written() {
        let saved = Settings {
            enabled: 0,
            failure: 1,
            rate_limit: 0,
            backlog_limit: 8192,
            backlog_wait_time_jiffies: Some(15_000),
        };
        assert_eq!(saved.orders_from(&saved), []);
        let now = Settings {
            enabled: 1,
            backlog_limit: 64,
            backlog_wait_time_jiffies: Some(0),
            ..saved
        };
        assert_eq!(
            saved.orders_from(&now),
            [
                Setting::BacklogLimit(8192),
                Setting::BacklogWaitTime(15_000),
                Setting::Enabled(0)
            ]
        );
        let changes = Changes {
            settings: Some(saved),
            ..Changes::default()
        };
        assert_eq!(
            changes.in_words(),
            "limit 8192, wait time 15000 jiffies, rate limit 0, failure 1, enabled 0"
        );
        // A setting that the kernel does not have is left alone.
        let old = Settings {
            backlog_wait_time_jiffies: None,
            ..saved
        };
        assert_eq!(old.orders_from(&saved), []);
    }
}
