//! What is measured: names, labels and guest commands of each way to look at the audit path. Pure.

/// The generator as every variant must start it: its name is part of each record.
const GENERATOR: &str = "/usr/bin/overhead-gen";
/// Runs the generator, then asks the kernel what its BPF programs cost.
const COUNTED: &str = "/usr/bin/busybox sh /tmp/count.sh";

/// Hangs programs that do nothing where auditwatch's run for a record, or for a wake-up of kauditd.
const EMPTY: &str = "empty-hooks exit:audit_filter exit:audit_log_start entry:kauditd_send_multicast_skb \
    entry:netlink_unicast entry:kauditd_send_queue exit:kauditd_send_queue --";
/// bpftrace does not find the types of kernels before 5.11 by itself; told where they are, it hooks no kfunc any more.
const TYPES: &str = "env BPFTRACE_BTF=/sys/kernel/btf/vmlinux";
/// The limit in force.
const LIMIT: &str = "*(uint32 *)kaddr(\"audit_backlog_limit\")";
/// Where `struct sk_buff_head` has its length.
const DEPTH: &str = "*(uint32 *)(kaddr(\"audit_queue\") + 16)";

/// A way to look at the audit path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variant {
    /// Short name, without spaces.
    pub(super) name: &'static str,
    /// What the table calls it; empty for one that has no row.
    pub(super) label: &'static str,
    /// What the guest does with the command: `measure` or `programs`.
    act: &'static str,
    /// The shell command that looks on while the generator runs.
    pub(super) command: String,
}

impl Variant {
    /// The shell line that the guest runs.
    pub(super) fn line(&self) -> String {
        format!("{} {} {}", self.act, self.name, self.command)
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// What is compared with the committed results.
    Check,
    /// The same, with auditwatch taken apart.
    Ours,
    /// The same, and other tools.
    Peers,
}

/// Nobody looks on.
pub(super) const BASE: &str = "base";
/// The same after everything else, to show that the guest did not change in between.
pub(super) const BASE_AGAIN: &str = "base-again";
/// Programs that do nothing.
pub(super) const FLOOR: &str = "floor";
/// auditwatch as it chooses.
pub(super) const OURS: &str = "ours";
/// auditwatch that does not count who causes records.
pub(super) const OURS_PLAIN: &str = "ours-plain";
/// auditwatch that counts a command's share apart.
pub(super) const OURS_COMMAND: &str = "ours-command";
/// auditwatch with probes.
pub(super) const OURS_KPROBE: &str = "ours-kprobe";

/// Hooks of auditwatch that are left out together; what is missing from its cost then is theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// The variant's name.
    pub(super) name: &'static str,
    /// What the table of hooks calls them.
    pub(super) label: &'static str,
    /// `--leave-out`'s operand.
    roles: &'static str,
}

/// All hooks, taken apart.
pub(super) const LEFT_OUT: [LeftOut; 6] = [
    LeftOut {
        name: "without-attempts",
        label: "attempts: exit of `audit_filter`",
        roles: "attempts",
    },
    LeftOut {
        name: "without-stalls",
        label: "stalls: exit of `audit_log_start`",
        roles: "stalls",
    },
    LeftOut {
        name: "without-drain",
        label: "drain: entry of `kauditd_send_multicast_skb`",
        roles: "drain",
    },
    LeftOut {
        name: "without-delivery",
        label: "delivery: entry of `netlink_unicast`",
        roles: "delivery",
    },
    LeftOut {
        name: "without-passes",
        label: "passes: entry and exit of `kauditd_send_queue`",
        roles: "passes",
    },
    LeftOut {
        name: "without-others",
        label: "the other seven, which no delivered record meets",
        roles: "losses,retry,hold,rehold,reset,changes,auxiliary",
    },
];

/// bpftrace programs that count what auditwatch does: a ratio is made of them.
pub(super) const LIKE: [&str; 4] = [
    "bpftrace-like",
    "bpftrace-like-timed",
    "bpftrace-like-kprobe",
    "bpftrace-like-timed-kprobe",
];

/// The bpftrace programs that auditwatch is compared with: those of like content, and what people write who want to know
/// who makes records, how deep the queue is and how long they wait.
pub(super) const COMPARED: [&str; 6] = [
    "bpftrace-all",
    "bpftrace-kprobe",
    LIKE[0],
    LIKE[1],
    LIKE[2],
    LIKE[3],
];

/// What is measured, in the order of the table.
pub(super) fn variants(scope: Scope) -> Vec<Variant> {
    let alone = format!("alone {GENERATOR}");
    let mut all = vec![
        measured(BASE, "no tracing", alone.clone()),
        measured(
            FLOOR,
            "empty programs on the same hooks",
            format!("{EMPTY} {GENERATOR}"),
        ),
        measured(OURS, "auditwatch trace", auditwatch("", GENERATOR)),
        measured(
            OURS_PLAIN,
            "auditwatch trace --no-talkers",
            auditwatch("--no-talkers", GENERATOR),
        ),
        measured(
            OURS_COMMAND,
            "auditwatch trace -- COMMAND",
            format!("auditwatch trace --format json -- {GENERATOR}"),
        ),
        measured(
            OURS_KPROBE,
            "auditwatch trace --attach kprobe",
            auditwatch("--attach kprobe", GENERATOR),
        ),
    ];
    if scope == Scope::Peers {
        all.extend(peers());
    }
    if scope != Scope::Check {
        all.extend(LEFT_OUT.map(|hooks| Variant {
            name: hooks.name,
            label: "",
            act: "measure",
            command: auditwatch(&format!("--leave-out {}", hooks.roles), GENERATOR),
        }));
    }
    all.push(measured(BASE_AGAIN, "no tracing, again", alone));
    if scope != Scope::Check {
        all.extend(
            [
                (FLOOR, format!("{EMPTY} {COUNTED}")),
                (OURS, auditwatch("", COUNTED)),
            ]
            .map(|(name, command)| Variant {
                name,
                label: "",
                act: "programs",
                command,
            }),
        );
    }
    all
}

fn peers() -> Vec<Variant> {
    let kfunc = |name, label, program: String| measured(name, label, bpftrace(&program));
    let kprobe = |name, label, program: String| {
        measured(name, label, format!("{TYPES} {}", bpftrace(&program)))
    };
    vec![
        measured(
            "perf-stat",
            "perf stat -a, four kprobe events",
            format!("perf_stat {GENERATOR}"),
        ),
        measured(
            "ftrace-comm",
            "ftrace hist triggers: four events by comm, losses by message",
            format!("ftrace_hist common_pid.execname {GENERATOR}"),
        ),
        measured(
            "ftrace-depth",
            "ftrace hist triggers: the same, and depth",
            format!("ftrace_hist common_pid.execname,depth.log2 {GENERATOR}"),
        ),
        kfunc(
            "bpftrace-count",
            "bpftrace kfunc: records by comm",
            "kfunc:audit_log_start { @n[comm] = count(); }".to_owned(),
        ),
        kfunc(
            "bpftrace-depth",
            "bpftrace kfunc: records by comm, depth",
            format!(
                "kfunc:audit_log_start {{ @n[comm] = count(); $q = {DEPTH}; @hist = hist($q); @max = max($q); }}"
            ),
        ),
        kfunc(
            "bpftrace-all",
            "bpftrace kfunc: records by comm, depth, waits",
            waits("kfunc", "kretfunc"),
        ),
        kprobe(
            "bpftrace-kprobe",
            "bpftrace kprobe: records by comm, depth, waits",
            waits("kprobe", "kretprobe"),
        ),
        kfunc(
            LIKE[0],
            "bpftrace kfunc: auditwatch's counts, full queues timed",
            like(&KFUNC, true),
        ),
        kfunc(
            LIKE[1],
            "bpftrace kfunc: auditwatch's counts, all records timed",
            like(&KFUNC, false),
        ),
        kprobe(
            LIKE[2],
            "bpftrace kprobe: auditwatch's counts, full queues timed",
            like(&KPROBE, true),
        ),
        kprobe(
            LIKE[3],
            "bpftrace kprobe: auditwatch's counts, all records timed",
            like(&KPROBE, false),
        ),
    ]
}

/// Records by command, the depth that each finds, and how long each takes.
fn waits(entry: &str, exit: &str) -> String {
    format!(
        "{entry}:audit_log_start {{ @n[comm] = count(); @at[tid] = nsecs; $q = {DEPTH}; @hist = hist($q); @max = max($q); }} \
         {exit}:audit_log_start /@at[tid]/ {{ @wait = hist(nsecs - @at[tid]); delete(@at[tid]); }}"
    )
}

/// How bpftrace spells a form of hook, and its arguments.
struct Spelling {
    entry: &'static str,
    exit: &'static str,
    message: &'static str,
    skb: &'static str,
}

const KFUNC: Spelling = Spelling {
    entry: "kfunc",
    exit: "kretfunc",
    message: "args->message",
    skb: "args->skb",
};
const KPROBE: Spelling = Spelling {
    entry: "kprobe",
    exit: "kretprobe",
    message: "arg0",
    skb: "((struct sk_buff *)arg0)",
};

/// What auditwatch counts: attempts, depth, waits, losses by reason, drained records by type with their bytes and the depth
/// that each leaves, deliveries, and records retried and held. `sparing`: only records that meet a full queue are timed.
fn like(spelling: &Spelling, sparing: bool) -> String {
    let Spelling {
        entry,
        exit,
        message,
        skb,
    } = spelling;
    let timed = if sparing {
        format!("if ($q > {LIMIT}) {{ @at[tid] = nsecs; }}")
    } else {
        "@at[tid] = nsecs;".to_owned()
    };
    format!(
        "{entry}:audit_log_start {{ @attempts = count(); $q = {DEPTH}; @max = max($q); {timed} }} \
         {exit}:audit_log_start /@at[tid]/ {{ @wait = hist(nsecs - @at[tid]); delete(@at[tid]); }} \
         {entry}:audit_log_lost {{ @lost[str({message})] = count(); }} \
         {entry}:kauditd_send_multicast_skb {{ @types[*(uint16 *)({skb}->data + 4)] = count(); \
         @bytes = sum({skb}->end); @left = hist({DEPTH}); }} \
         {entry}:netlink_unicast /comm == \"kauditd\"/ {{ @sent = count(); }} \
         {entry}:kauditd_retry_skb {{ @retried = count(); }} {entry}:kauditd_hold_skb {{ @held = count(); }}"
    )
}

fn measured(name: &'static str, label: &'static str, command: String) -> Variant {
    Variant {
        name,
        label,
        act: "measure",
        command,
    }
}

fn auditwatch(options: &str, command: &str) -> String {
    format!("beside {options} -- {command}")
}

fn bpftrace(program: &str) -> String {
    format!("bpftrace -e '{program}' -c '{GENERATOR}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_starts_the_same_generator() {
        for variant in variants(Scope::Peers) {
            let line = variant.line();
            let starts = line.ends_with(GENERATOR) || line.ends_with(&format!("{GENERATOR}'"));
            assert!(starts || line.contains(COUNTED), "{line}");
        }
    }

    #[test]
    fn number_of_measured_variants_grows_with_the_scope() {
        let names = |scope| {
            variants(scope)
                .into_iter()
                .map(|variant| variant.name)
                .collect()
        };
        let [check, ours, peers]: [Vec<&str>; 3] =
            [Scope::Check, Scope::Ours, Scope::Peers].map(names);
        assert_eq!(
            check,
            [
                BASE,
                FLOOR,
                OURS,
                OURS_PLAIN,
                OURS_COMMAND,
                OURS_KPROBE,
                BASE_AGAIN
            ]
        );
        assert!(check.iter().all(|name| ours.contains(name)));
        assert!(ours.iter().all(|name| peers.contains(name)));
        assert!(ours.contains(&"without-drain") && !ours.contains(&"perf-stat"));
        assert!(COMPARED.iter().all(|name| peers.contains(name)));
    }
}
