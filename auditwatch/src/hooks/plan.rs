//! The hook plan: which program goes to which kernel function, in which form.
//!
//! In: what the running kernel has (symbols, BTF, traceable functions) and what
//! the user asked for. Out: a [`HookPlan`] for each hook, with its alternatives
//! in order of preference. Pure: nothing is attached here.

use serde::{Deserialize, Serialize};

use crate::kernel::{symbols::Symbols, types::KernelTypes};

/// How a program is attached to a kernel function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Trampoline at the function's entry; needs BTF.
    Fentry,
    /// Trampoline at the function's exit; needs BTF.
    Fexit,
    /// Probe at the entry.
    Kprobe,
    /// Probe at the return.
    Kretprobe,
}

impl Form {
    /// Whether the form needs the function's type.
    #[must_use]
    pub const fn needs_btf(self) -> bool {
        matches!(self, Self::Fentry | Self::Fexit)
    }

    /// The form's name, as in the report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Fexit => "fexit",
            Self::Kprobe => "kprobe",
            Self::Kretprobe => "kretprobe",
        }
    }
}

/// Which forms the user allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Preference {
    /// Trampolines if the kernel has them, else kprobes.
    #[default]
    Auto,
    /// Trampolines (fentry, fexit) only.
    Fentry,
    /// Kprobes only.
    Kprobe,
}

/// What a hook measures; the report's counts rest on these.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Record attempts, filtered ones, depth.
    Attempts,
    /// Losses that the kernel counts, by reason.
    Losses,
    /// Records that leave the main queue; types and bytes.
    Drain,
    /// Passes of `kauditd` over its queues.
    Passes,
    /// Records handed to auditd.
    Delivery,
    /// Records that auditd takes out of its socket.
    Consumer,
    /// Records put on the retry queue.
    Retry,
    /// Records held, or lost in silence.
    Hold,
    /// Held records put back.
    Rehold,
    /// Auditd gone.
    Reset,
    /// Settings changed, and by whom.
    Changes,
    /// Extra records of a buffer.
    Auxiliary,
    /// Stalls.
    Stalls,
}

/// One program on one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Name of the program in the object.
    pub program: &'static str,
    /// How it is attached.
    pub form: Form,
    /// The kernel function.
    pub function: String,
}

/// One way to serve a hook: all of its attachments are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// What to attach.
    pub attachments: Vec<Attachment>,
    /// What this way measures less well than the best one would.
    pub caveat: Option<String>,
}

/// What is to be done for one hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookPlan {
    /// What it measures.
    pub role: Role,
    /// The kernel function that it is named after.
    pub function: &'static str,
    /// Ways to serve it, best first; none where the kernel has no such function.
    pub alternatives: Vec<Alternative>,
    /// Why there is no alternative, or why a better one was left out.
    pub reason: Option<String>,
    /// The kernel does not have what this hook is for, and loses nothing by it.
    pub not_applicable: bool,
}

/// What the plan rests on.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The kernel's symbols.
    pub symbols: &'a Symbols,
    /// The kernel's types, where it has them.
    pub types: Option<&'a KernelTypes>,
    /// Whether the kernel offers kprobes; `None` when that is not known.
    pub kprobes: Option<bool>,
    /// What the user asked for.
    pub preference: Preference,
}

struct HookSpec {
    role: Role,
    function: &'static str,
    trampolines: &'static [(&'static str, Form)],
    probes: &'static [(&'static str, Form)],
}

macro_rules! spec {
    ($role:ident, $function:literal, $trampolines:expr, $probes:expr) => {
        HookSpec {
            role: Role::$role,
            function: $function,
            trampolines: &$trampolines,
            probes: &$probes,
        }
    };
}

use Form::{Fentry, Fexit, Kprobe, Kretprobe};

/// The order is the order of attachment: what needs the calmest moment last.
/// A fexit that replaces another's image loses the exits of tasks that sleep in
/// the function (`bpf_tramp_image_put`, kernel/bpf/trampoline.c), so each
/// function gets its programs in one go and `audit_log_start` comes last.
const HOOKS: &[HookSpec] = &[
    spec!(
        Passes,
        "kauditd_send_queue",
        [
            ("kauditd_send_queue", Fentry),
            ("kauditd_send_queue_exit", Fexit)
        ],
        [
            ("kauditd_send_queue_probe", Kprobe),
            ("kauditd_send_queue_return", Kretprobe)
        ]
    ),
    spec!(
        Delivery,
        "netlink_unicast",
        [("netlink_unicast", Fentry)],
        [("netlink_unicast_probe", Kprobe)]
    ),
    spec!(
        Consumer,
        "netlink_recvmsg",
        [("netlink_recvmsg", Fentry)],
        [("netlink_recvmsg_probe", Kprobe)]
    ),
    spec!(
        Drain,
        "kauditd_send_multicast_skb",
        [("kauditd_send_multicast_skb", Fentry)],
        [("kauditd_send_multicast_skb_probe", Kprobe)]
    ),
    spec!(
        Retry,
        "kauditd_retry_skb",
        [("kauditd_retry_skb", Fentry)],
        [("kauditd_retry_skb_probe", Kprobe)]
    ),
    spec!(
        Hold,
        "kauditd_hold_skb",
        [("kauditd_hold_skb", Fentry)],
        [("kauditd_hold_skb_probe", Kprobe)]
    ),
    spec!(
        Rehold,
        "kauditd_rehold_skb",
        [("kauditd_rehold_skb", Fentry)],
        [("kauditd_rehold_skb_probe", Kprobe)]
    ),
    spec!(
        Reset,
        "auditd_reset",
        [("auditd_reset", Fentry)],
        [("auditd_reset_probe", Kprobe)]
    ),
    spec!(
        Changes,
        "audit_receive_msg",
        [
            ("audit_receive_msg", Fentry),
            ("audit_receive_msg_exit", Fexit)
        ],
        [
            ("audit_receive_msg_probe", Kprobe),
            ("audit_receive_msg_return", Kretprobe)
        ]
    ),
    spec!(
        Losses,
        "audit_log_lost",
        [("audit_log_lost", Fentry)],
        [("audit_log_lost_probe", Kprobe)]
    ),
    spec!(
        Auxiliary,
        "audit_buffer_aux_new",
        [("audit_buffer_aux_new_exit", Fexit)],
        [("audit_buffer_aux_new_return", Kretprobe)]
    ),
    spec!(
        Attempts,
        "audit_filter",
        [("audit_filter_exit", Fexit)],
        [
            ("audit_filter_probe", Kprobe),
            ("audit_filter_return", Kretprobe)
        ]
    ),
    spec!(
        Stalls,
        "audit_log_start",
        [("audit_log_start_exit", Fexit)],
        []
    ),
];

/// Functions that log a record of their own and may wait, and that jump into
/// `audit_log_start`'s split part; a stall in one ends, at the latest, when the
/// function returns (kernel/audit.c, 5.10 to 7.2).
const SPLIT_CALLERS: [&str; 4] = [
    "audit_log",
    "audit_set_loginuid",
    "audit_log_path_denied",
    "audit_log_multicast",
];

/// Decides the plan.
#[must_use]
pub fn plan(inputs: &Inputs<'_>) -> Vec<HookPlan> {
    HOOKS.iter().map(|spec| plan_hook(spec, inputs)).collect()
}

fn plan_hook(spec: &HookSpec, inputs: &Inputs<'_>) -> HookPlan {
    let mut hook = HookPlan {
        role: spec.role,
        function: spec.function,
        alternatives: Vec::new(),
        reason: None,
        not_applicable: false,
    };
    let in_btf = inputs
        .types
        .is_some_and(|types| types.function(spec.function).is_some());
    if !inputs.symbols.present(spec.function) && !in_btf {
        hook.not_applicable = spec.role == Role::Auxiliary;
        hook.reason = Some(if hook.not_applicable {
            "this kernel queues one record a buffer".to_owned()
        } else {
            format!("this kernel has no function {}", spec.function)
        });
        return hook;
    }
    if inputs.preference != Preference::Kprobe {
        if in_btf {
            hook.alternatives.extend(trampolines(spec, inputs.symbols));
        } else {
            hook.reason = Some(match inputs.types {
                None => "the kernel offers no BTF, which trampolines need".to_owned(),
                Some(_) => format!("{} is not in the kernel's BTF", spec.function),
            });
        }
    }
    if inputs.preference != Preference::Fentry {
        if inputs.kprobes == Some(false) {
            if hook.alternatives.is_empty() {
                let no_kprobes = "the kernel offers no kprobes".to_owned();
                hook.reason = Some(match hook.reason {
                    Some(reason) => format!("{reason}, and no kprobes either"),
                    None => no_kprobes,
                });
            }
        } else {
            hook.alternatives.extend(probes(spec, inputs.symbols));
            if hook.alternatives.is_empty() {
                hook.reason = Some("the kernel has no function audit_log_end".to_owned());
            }
        }
    }
    hook
}

fn attach(program: &'static str, form: Form, function: &str) -> Attachment {
    Attachment {
        program,
        form,
        function: function.to_owned(),
    }
}

/// Ways by trampolines, the best one first.
fn trampolines(spec: &HookSpec, symbols: &Symbols) -> Vec<Alternative> {
    let attachments: Vec<Attachment> = spec
        .trampolines
        .iter()
        .map(|&(program, form)| attach(program, form, spec.function))
        .collect();
    if spec.role != Role::Stalls || !is_split(symbols, spec.function) {
        return vec![Alternative {
            attachments,
            caveat: None,
        }];
    }
    let mut with_callers = attachments.clone();
    with_callers.extend(
        SPLIT_CALLERS
            .iter()
            .filter(|caller| symbols.present(caller))
            .map(|caller| attach("attempt_over_return", Kretprobe, caller)),
    );
    vec![
        Alternative {
            attachments: with_callers,
            caveat: Some(
                "the compiler split audit_log_start: a stall of one of its callers in kernel/audit.c \
                 is timed to that caller's return"
                    .to_owned(),
            ),
        },
        Alternative {
            attachments,
            caveat: Some(
                "the compiler split audit_log_start: stalls of its callers in kernel/audit.c are not \
                 timed"
                    .to_owned(),
            ),
        },
    ]
}

fn probes(spec: &HookSpec, symbols: &Symbols) -> Option<Alternative> {
    if spec.role != Role::Stalls {
        return Some(Alternative {
            attachments: spec
                .probes
                .iter()
                .map(|&(program, form)| attach(program, form, spec.function))
                .collect(),
            caveat: None,
        });
    }
    // A kretprobe on a function that sleeps runs out of instances, so a stall
    // ends where the granted attempt's record is ended. Where that function is
    // split, each way leads through the part.
    let mut parts: Vec<String> = symbols
        .splits("audit_log_end")
        .into_iter()
        .filter(|split| split.contains(".part."))
        .collect();
    if parts.is_empty() {
        if !symbols.present("audit_log_end") {
            return None;
        }
        parts.push("audit_log_end".to_owned());
    }
    Some(Alternative {
        attachments: parts
            .iter()
            .map(|part| attach("attempt_over_probe", Kprobe, part))
            .collect(),
        caveat: Some(
            "stalls are timed to the end of the record, not of audit_log_start".to_owned(),
        ),
    })
}

fn is_split(symbols: &Symbols, function: &str) -> bool {
    symbols
        .splits(function)
        .iter()
        .any(|split| split.contains(".part."))
}

#[cfg(test)]
mod tests {
    use super::{Form, Inputs, Preference, Role, plan};
    use crate::{
        hooks::health::{Attempt, Verdict, judge},
        kernel::{symbols::Symbols, types::KernelTypes},
    };

    const FUNCTIONS: [&str; 5] = [
        "audit_filter",
        "audit_log",
        "audit_log_end",
        "audit_log_start",
        "kauditd_send_queue",
    ];

    fn forms(more: &[&str], kprobes: bool, preference: Preference, role: Role) -> Vec<Vec<Form>> {
        let lines: Vec<String> = FUNCTIONS
            .iter()
            .chain(more)
            .map(|name| format!("ffffffff81000000 t {name}\n"))
            .collect();
        let plan = plan(&Inputs {
            symbols: &Symbols::parse(lines.concat().as_bytes()),
            types: Some(&KernelTypes::of_functions(&FUNCTIONS)),
            kprobes: Some(kprobes),
            preference,
        });
        let hook = plan.iter().find(|hook| hook.role == role).expect("a hook");
        if !hook.alternatives.is_empty() {
            // What the kernel lacks and nobody misses degrades nothing.
            assert_eq!(hook.reason, None);
        }
        if kprobes && more.is_empty() && preference == Preference::Auto {
            assert_eq!(judge(hook, &[Attempt::Attached]).verdict, Verdict::Ok);
        }
        hook.alternatives
            .iter()
            .map(|way| way.attachments.iter().map(|part| part.form).collect())
            .collect()
    }

    #[test]
    fn trampolines_go_first_and_do_without_kprobes() {
        use Form::{Fentry, Fexit, Kprobe, Kretprobe};
        assert_eq!(
            forms(&[], true, Preference::Auto, Role::Passes),
            [[Fentry, Fexit], [Kprobe, Kretprobe]]
        );
        for (kprobes, preference) in [(false, Preference::Auto), (true, Preference::Fentry)] {
            assert_eq!(
                forms(&[], kprobes, preference, Role::Passes),
                [[Fentry, Fexit]]
            );
        }
    }

    #[test]
    fn a_split_function_costs_a_probe_on_each_of_its_callers() {
        use Form::{Fexit, Kprobe, Kretprobe};
        assert_eq!(
            forms(
                &["audit_log_start.part.0"],
                true,
                Preference::Auto,
                Role::Stalls
            ),
            [vec![Fexit, Kretprobe], vec![Fexit], vec![Kprobe]]
        );
    }
}
