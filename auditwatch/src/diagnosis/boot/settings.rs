//! Settings of one boot. In: changes, and the output of `auditctl -s`. Out: the limits and other settings of the
//! account.

use super::{Account, Auditd, MOST_LIMITS};
use crate::diagnosis::{
    daemon::Daemon,
    fact::Setting,
    heard::Status,
    moment::Moment,
    report::{LimitSeen, LimitSource, What},
};

impl Account {
    pub(super) fn change(
        &mut self,
        setting: Setting,
        new: u32,
        old: Option<u32>,
        done: bool,
        at: &Moment<'_>,
    ) {
        if !done {
            self.setting(name(setting), new, old, false, at);
            return;
        }
        match setting {
            Setting::BacklogLimit => {
                if self.limit.is_none()
                    && let Some(old) = old
                    && old != new
                {
                    self.limit = Some(old);
                    self.list_limit(old, LimitSource::Change, at);
                }
                self.cut_limit = None;
                if self.limit != Some(new) {
                    self.set_limit(new, LimitSource::Change, at);
                }
                return;
            }
            Setting::Failure => self.report.failure = Some(new),
            Setting::Enabled => self.report.enabled = Some(new),
            Setting::RateLimit => self.report.rate_limit = Some(new),
            Setting::WaitTime => self.report.wait_time_jiffies = Some(new),
            Setting::Pid => {
                self.daemon(
                    if new == 0 {
                        Daemon::Stopped
                    } else {
                        Daemon::Started
                    },
                    at,
                );
                return;
            }
            Setting::Lost => self.counter.reset(old, at.kernel_us),
        }
        self.setting(name(setting), new, old, true, at);
    }

    pub(super) fn setting(
        &mut self,
        name: &'static str,
        value: u32,
        old: Option<u32>,
        done: bool,
        at: &Moment<'_>,
    ) {
        self.timeline.add(
            at,
            What::Setting {
                name,
                value,
                old,
                done,
            },
        );
    }

    /// A limit is seen. One that could be the present one with digits cut off is believed the second time.
    pub(super) fn limit(&mut self, limit: u32, source: LimitSource, at: &Moment<'_>) {
        if self.limit == Some(limit) {
            self.cut_limit = None;
            return;
        }
        let may_be_cut = source == LimitSource::Loss
            && self.limit.is_some_and(|now| {
                let (now, limit) = (now.to_string(), limit.to_string());
                now.len() > limit.len() && now.starts_with(&limit)
            });
        if may_be_cut && self.cut_limit.replace(limit) != Some(limit) {
            return;
        }
        self.cut_limit = None;
        self.set_limit(limit, source, at);
    }

    fn set_limit(&mut self, limit: u32, source: LimitSource, at: &Moment<'_>) {
        let old = self.limit.replace(limit);
        self.list_limit(limit, source, at);
        // The first one of a loss stands with the loss.
        if old.is_some() || source != LimitSource::Loss {
            self.setting("audit_backlog_limit", limit, old, true, at);
        }
    }

    fn list_limit(&mut self, limit: u32, source: LimitSource, at: &Moment<'_>) {
        if self.report.limits.len() < MOST_LIMITS {
            self.report.limits.push(LimitSeen {
                at: at.when(),
                limit,
                source,
            });
        }
    }

    /// The settings as `auditctl -s` shows them.
    pub fn status(&mut self, status: Status, at: &Moment<'_>) {
        self.speaks = true;
        if let Some(limit) = status.backlog_limit {
            self.cut_limit = None;
            if self.limit != Some(limit) {
                self.set_limit(limit, LimitSource::Status, at);
            }
        }
        if let Some(failure) = status.failure
            && self.report.failure.replace(failure) != Some(failure)
            && failure == 2
        {
            self.setting("audit_failure", failure, None, true, at);
        }
        self.report.enabled = status.enabled.or(self.report.enabled);
        self.report.rate_limit = status.rate_limit.or(self.report.rate_limit);
        let before = self.counter.at_least();
        if let Some(lost) = status.lost
            && self.counter.sight(lost, at.kernel_us)
            && lost > 0
        {
            self.lost_before = before;
            self.lost_row(at, |timeline, limit| timeline.lost(at, Some(lost), limit));
        }
        match status.pid {
            Some(0) | None => {}
            Some(_) if matches!(self.auditd, Auditd::Runs(_)) => {}
            Some(_) => self.auditd = Auditd::Runs(at.when()),
        }
    }
}

const fn name(setting: Setting) -> &'static str {
    match setting {
        Setting::BacklogLimit => "audit_backlog_limit",
        Setting::Failure => "audit_failure",
        Setting::Enabled => "audit_enabled",
        Setting::RateLimit => "audit_rate_limit",
        Setting::WaitTime => "audit_backlog_wait_time",
        Setting::Pid => "audit_pid",
        Setting::Lost => "lost",
    }
}
