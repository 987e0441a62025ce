//! A BTF for the library that loads programs, with nothing in it but the
//! functions to be hooked, each at its number in the kernel's own BTF.
//!
//! The library needs a function's number and finds it by walking all types of
//! the BTF that it is given; parsing the kernel's 100,000 types once more for
//! that would make up a third of the start-up.

use aya::Btf;
use aya_obj::btf::{BtfType, Func, FuncLinkage};

use crate::{kernel::types::KernelTypes, plan::HookPlan};

/// Builds it for the functions of a plan.
pub(super) fn sparse_btf(types: &KernelTypes, plan: &[HookPlan]) -> Btf {
    let mut functions: Vec<(u32, &str)> = plan
        .iter()
        .flat_map(|hook| &hook.alternatives)
        .flat_map(|alternative| &alternative.attachments)
        .filter(|attachment| attachment.form.needs_btf())
        .filter_map(|attachment| {
            let name = attachment.function.as_str();
            Some((types.function(name)?.id, name))
        })
        .collect();
    functions.sort_unstable();
    functions.dedup();
    let mut sparse = Btf::new();
    // Type 0 is there from the start.
    let mut next = 1;
    for (id, name) in functions {
        while next < id {
            next = sparse.add_type(BtfType::Unknown) + 1;
        }
        let name = sparse.add_string(name);
        next = sparse.add_type(BtfType::Func(Func::new(name, 0, FuncLinkage::Global))) + 1;
    }
    sparse
}

#[cfg(test)]
mod tests {
    use aya_obj::btf::BtfKind;

    use super::*;
    use crate::{
        kernel::{
            btf::{self, builder::Builder},
            symbols::Symbols,
        },
        plan::{Inputs, Preference, plan},
    };

    #[test]
    fn functions_keep_their_numbers() {
        let mut builder = Builder::new();
        let int = builder.int();
        // Each function comes with a prototype before it, and with others between: gaps to keep.
        let mut hooked = Vec::new();
        for name in [
            "audit_log_lost",
            "audit_filter",
            "audit_receive_msg",
            "netlink_unicast",
        ] {
            builder.structure(name, 8, &[]);
            builder.function("audit_not_hooked", &[int]);
            hooked.push((name, builder.function(name, &[int, int])));
        }
        let blob = btf::Btf::parse(builder.build()).expect("a whole blob");
        let types = KernelTypes::extract(&blob);
        let symbols = Symbols::parse(b"0000000000000000 T audit_log_lost\n");
        let plan = plan(&Inputs {
            symbols: &symbols,
            types: Some(&types),
            kprobes: None,
            preference: Preference::Auto,
        });
        let sparse = sparse_btf(&types, &plan);
        for (name, id) in hooked {
            assert_eq!(
                sparse.id_by_type_name_kind(name, BtfKind::Func).ok(),
                Some(id),
                "{name}"
            );
        }
        assert!(
            sparse
                .id_by_type_name_kind("audit_not_hooked", BtfKind::Func)
                .is_err()
        );
    }
}
