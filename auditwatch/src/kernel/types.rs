//! What of the kernel's types the probe needs.
//!
//! In: the kernel's BTF. Out: a few offsets, sizes and functions, so that the
//! BTF's megabytes need not be kept. Pure.

use std::collections::BTreeMap;

use super::btf::Btf;

/// A function of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Number of its type in the kernel's BTF.
    pub id: u32,
    /// Number of its parameters.
    pub params: Option<u32>,
}

/// Offsets, sizes and functions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelTypes {
    functions: BTreeMap<String, Function>,
    offsets: BTreeMap<(&'static str, &'static str), u32>,
    sizes: BTreeMap<&'static str, u32>,
}

/// Members whose offsets are kept.
pub(crate) const MEMBERS: [(&str, &str); 29] = [
    ("sk_buff_head", "qlen"),
    ("wait_queue_head", "head"),
    ("sk_buff", "end"),
    ("sk_buff", "data"),
    ("task_struct", "nvcsw"),
    ("task_struct", "real_parent"),
    ("task_struct", "tgid"),
    ("task_struct", "pid"),
    ("task_struct", "comm"),
    ("task_struct", "audit_context"),
    ("audit_context", "major"),
    ("audit_context", "filterkey"),
    ("audit_context", "context"),
    ("audit_buffer", "skb"),
    ("auditd_connection", "pid"),
    ("socket", "sk"),
    ("sock", "sk_backlog.rmem_alloc"),
    ("sock", "sk_rcvbuf"),
    ("pid", "numbers"),
    ("audit_entry", "list"),
    ("audit_entry", "rule"),
    ("audit_krule", "listnr"),
    ("audit_krule", "action"),
    ("audit_krule", "mask"),
    ("audit_krule", "field_count"),
    ("audit_krule", "fields"),
    ("audit_field", "type"),
    ("audit_field", "val"),
    ("audit_field", "op"),
];

/// Structures whose sizes are kept.
const STRUCTURES: [&str; 3] = ["sk_buff", "skb_shared_info", "audit_field"];

impl KernelTypes {
    /// Takes what is needed out of the kernel's BTF.
    #[must_use]
    pub fn extract(btf: &Btf) -> Self {
        Self {
            functions: btf
                .functions()
                .map(|(name, id)| {
                    let params = btf.function_params(name);
                    (name.to_owned(), Function { id, params })
                })
                .collect(),
            offsets: MEMBERS
                .into_iter()
                .filter_map(|(strukt, member)| {
                    Some(((strukt, member), btf.member_offset(strukt, member)?))
                })
                .collect(),
            sizes: STRUCTURES
                .into_iter()
                .filter_map(|name| Some((name, btf.struct_size(name)?)))
                .collect(),
        }
    }

    /// Types with these functions and nothing else.
    #[cfg(test)]
    pub(crate) fn of_functions(names: &[&str]) -> Self {
        let function = Function {
            id: 1,
            params: Some(1),
        };
        Self {
            functions: names
                .iter()
                .map(|&name| (name.to_owned(), function))
                .collect(),
            ..Self::default()
        }
    }

    /// A function; `None` where the kernel has none of this name with a type.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<Function> {
        self.functions.get(name).copied()
    }

    /// Bytes from the start of a structure to one of the members that are kept.
    #[must_use]
    pub fn member_offset(&self, strukt: &'static str, member: &'static str) -> Option<u32> {
        self.offsets.get(&(strukt, member)).copied()
    }

    /// Size of one of the structures that are kept, bytes.
    #[must_use]
    pub fn struct_size(&self, name: &str) -> Option<u32> {
        self.sizes.get(name).copied()
    }
}
