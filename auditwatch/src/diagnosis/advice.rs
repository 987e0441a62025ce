//! What to do. In: a [`Diagnosis`] without advice. Out: [`Advice`], the most important first.
//!
//! A log never tells how much was needed, only that it was more than the limit. So the number that is advised
//! says what it is: a baseline that others ask for, or twice what did not suffice.

use super::{
    boots,
    report::{Advice, Boot, Diagnosis, Verdict, What},
    verdict::{is_suspect, losses},
};
use crate::units::{bytes, count};

/// What CIS Benchmarks and DISA STIG ask for, records.
const BASELINE: u32 = 8192;
/// Above this no log is reason enough for more: something does not keep up, records.
const MOST: u32 = 65_536;
/// What a queued record takes of kernel memory in nearly all cases (`sk_buff` and data), bytes.
const RECORD_BYTES: u64 = 2304;
/// Overflows that begin earlier than this after boot come before the rules, nanoseconds.
const EARLY_NS: u64 = 60_000_000_000;
/// The kernel's own limit, records.
const BOOT_LIMIT: u32 = 64;
/// An overflow that lasts longer is no burst, nanoseconds.
const LONG_NS: u64 = 60_000_000_000;

/// All of it.
#[must_use]
pub fn advice(diagnosis: &Diagnosis) -> Vec<Advice> {
    let all = || boots(&diagnosis.sources);
    let counts = |what: &str| all().any(|boot| boot.auditd.contains_key(what));
    let reason = |name: &str| all().any(|boot| boot.reasons.contains_key(name));
    let target = target(diagnosis);
    let mut advice = Vec::new();
    panics(diagnosis, target, &mut advice);
    if all().any(|boot| !boot.hung_tasks.is_empty()) {
        advice.push(say(
            "if the host still hangs: free the tasks",
            "tasks asleep in audit_log_start are woken one for each record that kauditd takes; they can sleep on \
             although the queue is empty",
            &["auditwatch rescue"],
        ));
    }
    if counts("suspended") || counts("low_disk") || counts("write_error") {
        advice.push(say(
            "make room on auditd's disk, then let it log again",
            "auditd suspended logging or could not write: what it reads then is thrown away, whatever the limit",
            &["df -h /var/log/audit", "auditctl --signal resume"],
        ));
    }
    if counts("died") || counts("not_started") {
        advice.push(say(
            "find out why auditd does not run, and start it",
            "without it nobody takes the records: the queue fills, or they are printed and gone",
            &["journalctl -u auditd", "service auditd start"],
        ));
    }
    if reason("rate_limit") {
        advice.push(say(
            "lift the rate limit, or let the rules make fewer records",
            "records were dropped for auditctl -r, which no backlog limit changes",
            &["auditctl -r 0"],
        ));
    }
    raise(diagnosis, target, &mut advice);
    early(diagnosis, target, &mut advice);
    let is_huge = diagnosis.need.is_some() && target.is_none();
    if reason("retry_overflow") || is_huge || is_long(diagnosis) {
        advice.push(say(
            "look at what takes the records: flush and freq in auditd.conf, its disk, its plugins",
            "it fell behind for long: where records come faster than they go, no limit helps, it only delays",
            &["auditwatch trace --duration 60s", "grep -E '^(flush|freq|q_depth)' /etc/audit/auditd.conf"],
        ));
    }
    if reason("hold_overflow") {
        advice.push(say(
            "start auditd earlier, or raise audit_backlog_limit= on the kernel command line",
            "booted with audit=1 the kernel holds records until auditd comes, as many as the limit",
            &[],
        ));
    }
    if reason("out_of_memory") {
        advice.push(say(
            "find out what took the kernel's memory",
            "records were lost for want of memory: a bigger limit makes that worse",
            &["journalctl -k -g 'Out of memory|page allocation failure'"],
        ));
    }
    if counts("plugin_dropped") || counts("plugins_suspended") {
        advice.push(say(
            "raise q_depth in auditd.conf, or find the plugin that is slow",
            "events are dropped between auditd and its plugins: the kernel's limit has nothing to do with that; \
             auditd tells of the first five only",
            &["auditctl --signal state; cat /run/audit/auditd.state"],
        ));
    }
    if all().any(|boot| is_suspect(boot) && boot.printed_wanted > 0) {
        advice.push(say(
            "boot with audit=1, so that the kernel keeps what auditd does not take at once",
            "otherwise it prints such a record, frees it, and counts it nowhere",
            &["grubby --update-kernel=ALL --args=audit=1"],
        ));
    }
    if diagnosis.verdict != Verdict::NothingFound {
        advice.push(say(
            "measure the need under the same load: a log cannot tell it",
            "a queue at its limit does not show how much longer it would have been",
            &["auditwatch recommend --for 10m"],
        ));
    }
    advice
}

fn say(what: &str, why: &str, commands: &[&str]) -> Advice {
    Advice {
        what: what.to_owned(),
        why: why.to_owned(),
        commands: commands.iter().map(|&command| command.to_owned()).collect(),
    }
}

/// The limit that is advised.
fn target(diagnosis: &Diagnosis) -> Option<u32> {
    let over = diagnosis.need?.more_than;
    if over < BASELINE {
        return Some(BASELINE);
    }
    let twice = over.checked_mul(2)?.checked_next_power_of_two()?;
    (twice <= MOST).then_some(twice)
}

fn panics(diagnosis: &Diagnosis, target: Option<u32>, advice: &mut Vec<Advice>) {
    if diagnosis.failure != Some(2) {
        return;
    }
    let more = target.map_or_else(
        || "give it a limit that was measured, and on the kernel command line as well".to_owned(),
        |limit| {
            format!(
                "raise the limit to {} first, and never lower it or set a rate limit or a wait time of 0",
                count(u64::from(limit))
            )
        },
    );
    advice.push(Advice {
        what: "set failure to 1 (-f 1 in the rules as well), unless a policy asks for 2".to_owned(),
        why: format!(
            "with -f 2 the kernel panics at the first lost record, for any reason; where it must stay: {more}"
        ),
        commands: vec!["auditctl -f 1".to_owned()],
    });
}

fn raise(diagnosis: &Diagnosis, target: Option<u32>, advice: &mut Vec<Advice>) {
    let (Some(need), Some(target)) = (diagnosis.need, target) else {
        return;
    };
    let number = |value: u32| count(u64::from(value));
    let burst = need.if_one_burst.map_or_else(String::new, |burst| {
        format!(", and {} if the losses seen were one burst", count(burst))
    });
    let what_it_is = if target == BASELINE {
        "what CIS and STIG ask for"
    } else {
        "about twice that"
    };
    let memory = u64::from(target) * RECORD_BYTES;
    let locked = boots(&diagnosis.sources).any(|boot| boot.enabled == Some(2));
    let commands = vec![
        format!("auditwatch apply {target}"),
        format!("auditwatch apply {target} --root DIR"),
        format!("auditctl -b {target}"),
    ];
    advice.push(Advice {
        what: format!(
            "raise the limit to {} (with --root on the mounted disk of a host that does not run; auditctl \
             alone lasts until the next boot){}",
            number(target),
            if locked {
                "; the settings are locked (-e 2): it takes a reboot"
            } else {
                ""
            }
        ),
        why: format!(
            "more than {} was needed{burst}; {} is {what_it_is}, a start and no measured need; full queues \
             take {} of kernel memory, {} at worst",
            number(need.more_than),
            number(target),
            bytes(memory),
            bytes(3 * memory)
        ),
        commands,
    });
}

/// Overflows before the rules were loaded, which only the kernel's command line can help.
fn early(diagnosis: &Diagnosis, target: Option<u32>, advice: &mut Vec<Advice>) {
    let is_early = |boot: &Boot| {
        boot.timeline.iter().any(|event| {
            let What::Losses { limit, .. } = event.what else {
                return false;
            };
            limit.is_some_and(|limit| limit == boot.boot_limit.unwrap_or(BOOT_LIMIT))
                && event.at.kernel_ns.is_none_or(|ns| ns < EARLY_NS)
        })
    };
    if let Some(target) = target
        && boots(&diagnosis.sources).any(is_early)
    {
        advice.push(Advice {
            what: "raise the limit on the kernel command line (grubby, or GRUB_CMDLINE_LINUX and update-grub)"
                .to_owned(),
            why: format!(
                "the limit was still that of the boot ({BOOT_LIMIT} unless the command line says otherwise): \
                 rules come too late for such losses"
            ),
            commands: vec![format!(
                "grubby --update-kernel=ALL --args=audit_backlog_limit={target}"
            )],
        });
    }
}

/// Whether records were lost, or tasks asleep, for so long that it was no burst.
fn is_long(diagnosis: &Diagnosis) -> bool {
    let hung = boots(&diagnosis.sources).any(|boot| !boot.hung_tasks.is_empty());
    hung || losses(&diagnosis.sources).any(|event| {
        let begin = event.at.kernel_ns;
        let end = event.until.as_ref().and_then(|until| until.kernel_ns);
        begin
            .zip(end)
            .is_some_and(|(begin, end)| end.saturating_sub(begin) > LONG_NS)
    })
}
