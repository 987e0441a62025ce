//! What of the rules files has to change, and what the next boot makes of it.
//!
//! In: a root, what is wanted. Out: the changes, as the journal keeps them and as people see them. It
//! writes nothing.

use std::path::Path;

use anyhow::{Result, bail};
use similar::TextDiff;

use super::{choice::Choice, words::comment};
use crate::{
    change::{
        journal::{Content, FileChange, Target},
        manual_steps::{self, System},
        preflight::NextBoot,
        report::{AtBootReport, FileReport},
    },
    files::root::Root,
    rules::{
        self, Boot, Place,
        edit::{self, Edit, Wanted},
        host::HostRules,
    },
};

/// The files' part of a change.
pub(super) struct Files {
    /// For the journal.
    pub(super) changes: Vec<FileChange>,
    /// For the report.
    pub(super) reports: Vec<FileReport>,
    /// The next boot as it would have been.
    pub(super) before: AtBootReport,
    /// The next boot as it will be.
    pub(super) after: AtBootReport,
    /// The same for the preflight.
    pub(super) next_boot: NextBoot,
    /// The limit on the kernel's command line.
    pub(super) cmdline_limit: Option<u32>,
    /// What is left to be done by hand.
    pub(super) by_hand: Vec<String>,
}

/// Plans the files' part.
pub(super) fn plan(
    root: &Root,
    target: &Target,
    hz: Option<u32>,
    choice: &Choice,
) -> Result<Files> {
    let rules = HostRules::read(root, None, hz)?;
    if let Some(refusal) = rules.loader.refusal() {
        bail!("cannot set the limit in the rules files: {refusal}");
    }
    let mut by_hand = Vec::new();
    let mut limit = target.backlog_limit;
    if let Some(least) = limit.filter(|_| choice.is_least) {
        let boot = rules::boot(&rules.tree, &rules.host())
            .settings
            .backlog_limit;
        if boot >= least {
            limit = None;
            by_hand.push(format!(
                "# no change to the files: the next boot sets {boot}, which is enough"
            ));
        }
    }
    let wanted = Wanted {
        limit,
        wait_time: target.backlog_wait_time,
        comment: comment(choice),
    };
    let edited = edit::edit(&rules.tree, &rules.host(), &wanted)?;
    let cmdline_limit = rules
        .cmdline
        .as_ref()
        .and_then(|cmdline| cmdline.value.backlog_limit);
    let system = system(root);
    if let Some(limit) = target
        .backlog_limit
        .filter(|&limit| cmdline_limit != Some(limit))
    {
        let now = match (cmdline_limit, &rules.cmdline) {
            (Some(limit), _) => {
                format!("has limit {limit} (audit_backlog_limit= on the kernel command line)")
            }
            (None, Some(_)) => "has limit 64 (the kernel's default)".to_owned(),
            (None, None) => {
                "has a limit that is not known: no configuration of a boot loader was found"
                    .to_owned()
            }
        };
        by_hand.push(format!(
            "# early boot, before the rules are loaded, {now}; to set {limit} there:"
        ));
        let command = manual_steps::boot_limit(&system, limit);
        by_hand.push(if root.is_own() {
            command
        } else {
            manual_steps::on_disk(root.path(), &command)
        });
    }
    for edit in &edited.edits {
        let owner = edit.before.as_deref().and_then(manual_steps::manager);
        if let Some(manager) = owner {
            by_hand.push(format!(
                "# {} says that {manager} manages it: set the limit there as well, or its next run takes this change back",
                edit.file
            ));
        }
    }
    if !target.runtime && root.is_own() && !edited.edits.is_empty() {
        by_hand.push(
            "# the files take effect at the next boot; for now, run auditwatch apply N --runtime-only, or \
             restart auditd, which reloads all rules:"
                .to_owned(),
        );
        by_hand.push(manual_steps::restart_auditd(&system).to_owned());
    }
    Ok(Files {
        changes: edited.edits.iter().map(change).collect(),
        reports: edited.edits.iter().map(report).collect(),
        before: at_boot(&edited.before, hz),
        after: at_boot(&edited.after, hz),
        next_boot: NextBoot {
            limit: edited.before.settings.backlog_limit,
            wait_time_jiffies: edited.before.settings.backlog_wait_time,
            failure: edited.before.settings.failure,
            enabled: edited.before.settings.enabled,
        },
        cmdline_limit,
        by_hand,
    })
}

fn change(edit: &Edit) -> FileChange {
    FileChange {
        path: edit.file.clone().into(),
        before: edit.before.as_deref().map(Content::of),
        after: Content::of(&edit.after),
    }
}

fn report(edit: &Edit) -> FileReport {
    let before = edit.before.clone().unwrap_or_default();
    let (old, new) = (
        String::from_utf8_lossy(&before),
        String::from_utf8_lossy(&edit.after),
    );
    let name = if edit.before.is_some() {
        edit.file.as_str()
    } else {
        "/dev/null"
    };
    FileReport {
        path: edit.file.clone().into(),
        created: edit.before.is_none(),
        diff: TextDiff::from_lines(old.as_ref(), new.as_ref())
            .unified_diff()
            .header(name, &edit.file)
            .to_string(),
    }
}

fn at_boot(boot: &Boot, hz: Option<u32>) -> AtBootReport {
    let place = |place: &Place| format!("{}:{}", place.file, place.line);
    AtBootReport {
        backlog_limit: Some(boot.settings.backlog_limit),
        backlog_wait_time: Some(boot.settings.backlog_wait_time),
        hz,
        enabled: Some(boot.settings.enabled),
        rules: Some(boot.rules as u64),
        decided_by: boot.decided_by.as_ref().map(place),
        stopped_at: boot
            .stopped_at
            .as_ref()
            .map(|stop| format!("{}: {}", place(&stop.place), stop.why)),
    }
}

/// What tells the distribution.
fn system(root: &Root) -> System {
    let text = |path: &str| {
        root.read(Path::new(path))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    };
    let has = |paths: &[&str]| {
        paths
            .iter()
            .any(|path| root.metadata(Path::new(path)).is_ok())
    };
    let unit = text("/usr/lib/systemd/system/auditd.service");
    System {
        os_release: text("/etc/os-release"),
        has_grubby: has(&["/usr/sbin/grubby", "/sbin/grubby"]),
        has_update_grub: has(&["/usr/sbin/update-grub"]),
        has_grub2: has(&["/boot/grub2"]),
        has_default_grub: has(&["/etc/default/grub"]),
        has_systemd: has(&[
            "/run/systemd/system",
            "/usr/lib/systemd/systemd",
            "/lib/systemd/systemd",
        ]),
        auditd_unit: if unit.is_empty() {
            text("/lib/systemd/system/auditd.service")
        } else {
            unit
        },
        has_service: has(&["/usr/sbin/service", "/sbin/service", "/usr/bin/service"]),
    }
}
