//! auditd's own report of its state, which it writes when it is asked to (`auditctl --signal
//! state`) or, since 4.0.5, at intervals.
//!
//! In: the report's text. Out: values; what it does not say is `None`. Pure; nobody is asked for a
//! report.

use serde::{Deserialize, Serialize};

use super::yes;

/// The state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditdState {
    /// auditd's version.
    pub version: Option<String>,
    /// Whether it throws records away in place of logging them: the disk is full or nearly so.
    pub logging_suspended: Option<bool>,
    /// Whether there is space left for the log.
    pub has_space: Option<bool>,
    /// Whether writing the log has failed.
    pub disk_error: Option<bool>,
    /// Plugins that run.
    pub active_plugins: Option<u64>,
    /// Records that waited for plugins then.
    pub plugin_depth: Option<u64>,
    /// Most of them so far.
    pub plugin_depth_max: Option<u64>,
    /// Most that may wait.
    pub plugin_queue: Option<u64>,
    /// Whether more would have, so that plugins missed records.
    pub plugin_overflow: Option<bool>,
    /// Whether plugins get no more records.
    pub plugins_suspended: Option<bool>,
}

impl AuditdState {
    /// Reads a report; `None` where the text is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut state = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            match key.as_str() {
                "audit version" => state.version = Some(value.to_owned()),
                "logging suspended" => state.logging_suspended = yes(value),
                "space left on partition" => state.has_space = yes(value),
                "disk error detected" => state.disk_error = yes(value),
                "number of active plugins" => state.active_plugins = value.parse().ok(),
                "current plugin queue depth" => state.plugin_depth = value.parse().ok(),
                "max plugin queue depth used" => state.plugin_depth_max = value.parse().ok(),
                "plugin queue size" => state.plugin_queue = value.parse().ok(),
                "plugin queue overflow detected" => state.plugin_overflow = yes(value),
                "plugin queueing suspended" => state.plugins_suspended = yes(value),
                _ => {}
            }
        }
        (state != Self::default()).then_some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "audit version = 3.0.9\ncurrent time = 11/25/26 20:21:31\n\
        process priority = -4\nwriting to logs = yes\ncurrent log size = 2423 KB\n\
        space left on partition = yes\nlogging suspended = no\n\
        file system space action performed = no\ndisk error detected = no\n\
        Number of active plugins = 1\ncurrent plugin queue depth = 12\n\
        max plugin queue depth used = 2000\nplugin queue size = 2000\n\
        plugin queue overflow detected = yes\nplugin queueing suspended = no\n\
        listening for network connections = no\n";

    #[test]
    fn a_report_is_read() {
        let state = AuditdState::parse(REPORT).expect("a report");
        assert_eq!(state.version.as_deref(), Some("3.0.9"));
        assert_eq!(state.logging_suspended, Some(false));
        assert_eq!(state.active_plugins, Some(1));
        assert_eq!(
            (
                state.plugin_depth,
                state.plugin_depth_max,
                state.plugin_queue
            ),
            (Some(12), Some(2000), Some(2000))
        );
        assert_eq!(state.plugin_overflow, Some(true));
        assert_eq!(state.plugins_suspended, Some(false));
    }

    #[test]
    fn file_that_is_not_a_state_report_is_ignored() {
        assert_eq!(AuditdState::parse(""), None);
        assert_eq!(AuditdState::parse("flush = sync\nfoo\n"), None);
        let odd = AuditdState::parse(
            "logging suspended = perhaps\nplugin queue size = many\naudit version = 4\n",
        );
        assert_eq!(
            odd,
            Some(AuditdState {
                version: Some("4".to_owned()),
                ..AuditdState::default()
            })
        );
    }
}
