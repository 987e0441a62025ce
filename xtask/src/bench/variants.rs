//! What is measured: names, labels and guest commands of each way to look at the audit path. Pure.

/// The generator as every variant must start it: its name is part of each record.
const GENERATOR: &str = "/usr/bin/overhead-gen";
/// Runs the generator, then asks the kernel what its BPF programs cost.
const COUNTED: &str = "/usr/bin/busybox sh /tmp/count.sh";

/// Hangs programs that do nothing where auditwatch looks at a task that makes a record.
const EMPTY: &str = "empty-hooks audit_filter audit_log_start --";
/// bpftrace does not find the types of kernels before 5.11 by itself; told where they are, it hooks no kfunc any more.
const TYPES: &str = "env BPFTRACE_BTF=/sys/kernel/btf/vmlinux";
/// Where `struct sk_buff_head` has its length.
const DEPTH: &str = "*(uint32 *)(kaddr(\"audit_queue\") + 16)";

/// A way to look at the audit path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variant {
    /// Short name, without spaces.
    pub(super) name: &'static str,
    /// What the table calls it.
    pub(super) label: &'static str,
    /// The shell line that the guest runs.
    pub(super) line: String,
}

/// Nobody looks on.
pub(super) const BASE: &str = "base";
/// The same after everything else, to show that the guest did not change in between.
pub(super) const BASE_AGAIN: &str = "base-again";
/// Programs that do nothing.
pub(super) const FLOOR: &str = "floor";
/// auditwatch as it chooses.
pub(super) const OURS: &str = "ours";

/// What is measured, in the order of the table.
pub(super) fn variants(peers: bool) -> Vec<Variant> {
    let mut all = vec![
        measured(BASE, "no tracing", &format!("alone {GENERATOR}")),
        measured(
            FLOOR,
            "empty programs on the same two exits",
            &format!("{EMPTY} {GENERATOR}"),
        ),
        measured(OURS, "auditwatch trace", &auditwatch("", GENERATOR)),
        measured(
            "ours-kprobe",
            "auditwatch trace --attach kprobe",
            &auditwatch("--attach kprobe", GENERATOR),
        ),
    ];
    if peers {
        all.extend(self::peers());
    }
    all.push(measured(
        BASE_AGAIN,
        "no tracing, again",
        &format!("alone {GENERATOR}"),
    ));
    for (name, line) in [
        (FLOOR, format!("{EMPTY} {COUNTED}")),
        (OURS, auditwatch("", COUNTED)),
    ] {
        all.push(Variant {
            name,
            label: "",
            line: format!("programs {name} {line}"),
        });
    }
    all
}

fn peers() -> Vec<Variant> {
    let counts = "kfunc:audit_log_start { @n[comm] = count(); }";
    let depth = format!(
        "kfunc:audit_log_start {{ @n[comm] = count(); $q = {DEPTH}; @hist = hist($q); @max = max($q); }}"
    );
    let all = |entry: &str, exit: &str| {
        format!(
            "{entry}:audit_log_start {{ @n[comm] = count(); @at[tid] = nsecs; $q = {DEPTH}; @hist = hist($q); @max = max($q); }} \
             {exit}:audit_log_start /@at[tid]/ {{ @wait = hist(nsecs - @at[tid]); delete(@at[tid]); }}"
        )
    };
    vec![
        measured(
            "bpftrace-count",
            "bpftrace kfunc: records by comm",
            &bpftrace(counts),
        ),
        measured(
            "bpftrace-depth",
            "bpftrace kfunc: records by comm, depth",
            &bpftrace(&depth),
        ),
        measured(
            "bpftrace-all",
            "bpftrace kfunc: records by comm, depth, waits",
            &bpftrace(&all("kfunc", "kretfunc")),
        ),
        measured(
            "bpftrace-kprobe",
            "bpftrace kprobe: records by comm, depth, waits",
            &format!("{TYPES} {}", bpftrace(&all("kprobe", "kretprobe"))),
        ),
        measured(
            "perf-stat",
            "perf stat -a, 4 kprobe events",
            &format!("perf_stat {GENERATOR}"),
        ),
    ]
}

fn measured(name: &'static str, label: &'static str, line: &str) -> Variant {
    Variant {
        name,
        label,
        line: format!("measure {name} {line}"),
    }
}

fn auditwatch(options: &str, command: &str) -> String {
    format!("auditwatch trace --format json {options} -- {command}")
}

fn bpftrace(program: &str) -> String {
    format!("bpftrace -e '{program}' -c '{GENERATOR}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_starts_the_same_generator() {
        for variant in variants(true) {
            let starts = variant.line.ends_with(GENERATOR)
                || variant.line.ends_with(&format!("{GENERATOR}'"));
            assert!(starts || variant.line.contains(COUNTED), "{}", variant.line);
        }
    }

    #[test]
    fn peers_come_only_when_asked_for() {
        let has = |peers, name| variants(peers).iter().any(|variant| variant.name == name);
        assert!(has(true, "perf-stat"));
        assert!(!has(false, "perf-stat"));
        assert!(has(false, OURS));
    }
}
