//! `auditwatch status --files`: the backlog limit by source, and what the next boot comes to.

use std::{io::Write as _, path::Path, process::ExitCode};

use anyhow::{Context as _, Result};

use crate::{
    cli::{AwkChoice, StatusArgs},
    files::root::Root,
    kernel::{
        cmdline::AuditBoot,
        facts::{self, Basics},
    },
    live,
    render::{self, json},
    rules::{
        self, Awk,
        host::{HostRules, Known},
        remarks,
        view::{self, Cmdline, Inputs, Now, RulesView},
    },
};

/// Exit status where the next boot does not audit as the files ask.
const PROBLEM: u8 = 3;

/// Runs the command.
///
/// # Errors
/// When the root or a rules file cannot be read, or the output cannot be written.
pub fn run(args: &StatusArgs) -> Result<ExitCode> {
    let view = view(args)?;
    let mut out = std::io::stdout();
    if args.output.wants_json() {
        json::line(&mut out, &view)
    } else {
        out.write_all(render::rules_view::text(&view).as_bytes())
    }
    .context("cannot write the status")?;
    Ok(if view.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(PROBLEM)
    })
}

fn view(args: &StatusArgs) -> Result<RulesView> {
    let path = args.root.as_deref().unwrap_or(Path::new("/"));
    let root = Root::open(path).with_context(|| {
        format!(
            "cannot open the root {}; use the directory where the disk is mounted",
            path.display()
        )
    })?;
    let awk = args.awk.map(|awk| match awk {
        AwkChoice::Mawk => Awk::Mawk,
        AwkChoice::Gawk => Awk::Gawk,
    });
    let host = HostRules::read(&root, awk, facts::running_hz())?;
    let (now, now_missing) = if args.root.is_some() {
        (None, None)
    } else {
        now(&Basics::gather())
    };
    Ok(RulesView::new(Inputs {
        root: path.display().to_string(),
        boot: rules::boot(&host.tree, &host.host()),
        named: remarks::named(&host.tree),
        now,
        now_missing,
        cmdline: host.cmdline.as_ref().map(cmdline),
        loader: host.loader.clone(),
        awk: view::Awk {
            name: host.awk.value,
            from: host.awk.from.clone(),
        },
        hz: host.hz.value,
        notes: notes(&host),
    }))
}

/// What is set now, by the same ways as `status` without files: never by a message to a queue that is over its limit.
fn now(basics: &Basics) -> (Option<Now>, Option<String>) {
    let booted = AuditBoot::ensure_on(basics.boot.as_ref()).map_err(anyhow::Error::from);
    match booted.and_then(|()| live::status::report(basics)) {
        Ok(report) => (
            Some(Now {
                backlog_limit: report.backlog_limit,
                backlog_wait_time: report.backlog_wait_time_jiffies,
                enabled: report.enabled,
                failure: report.failure,
            }),
            report
                .backlog_limit
                .is_none()
                .then(|| report.missing.join("; ")),
        ),
        Err(error) => (None, Some(format!("the kernel's settings: {error:#}"))),
    }
}

fn cmdline(known: &Known<AuditBoot>) -> Cmdline {
    let boot = &known.value;
    Cmdline {
        backlog_limit: boot.backlog_limit,
        audit: (boot.on || boot.off).then_some(boot.on),
        from: known.from.clone(),
    }
}

fn notes(host: &HostRules) -> Vec<String> {
    let mut notes = Vec::new();
    if !host.is_whole {
        notes.push(
            "the root has no /usr/bin; paths, users and groups in rules are looked up on this host"
                .to_owned(),
        );
    }
    if host.hz.from.is_none() {
        notes.push(format!(
            "no kernel configuration found; assuming {} ticks per second",
            host.hz.value
        ));
    }
    let era = if host.era.strips_cr {
        "; this augenrules takes carriage returns off the ends of lines"
    } else {
        ""
    };
    notes.push(format!(
        "rules are loaded as auditd 3.0.9 does: augenrules --load, or auditctl -R if there is no rules.d{era}"
    ));
    notes
}
