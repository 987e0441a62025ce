//! The parser against blobs built by hand, and against broken ones.

use std::cell::Cell;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{
    builder::{Builder, Member, member},
    *,
};

/// Shapes of the kernel's: a nested structure behind a typedef (`stamp.serial`), an
/// anonymous union in an anonymous structure (`sk_buff.users`), bit fields.
fn blob() -> Vec<u8> {
    let mut builder = Builder::new();
    let int = builder.int();
    let pointer = builder.pointer(int);
    let stamp = builder.structure(
        "audit_stamp",
        24,
        &[member("ctime", pointer, 0), member("serial", int, 16)],
    );
    let stamp = builder.typedef("audit_stamp_t", stamp);
    builder.structure(
        "audit_buffer",
        72,
        &[member("skb", pointer, 0), member("stamp", stamp, 40)],
    );
    let union = builder.union("", 4, &[member("len", int, 0), member("users", int, 0)]);
    let inner = builder.structure("", 8, &[member("mark", int, 0), member("", union, 4)]);
    let field = Member {
        name: "cloned",
        id: int,
        bits: 800,
        width: 1,
    };
    builder.structure(
        "sk_buff",
        224,
        &[
            member("head", pointer, 192),
            field,
            member("", inner, 208),
            member("next", pointer, 0),
        ],
    );
    builder.structure("schedule_data", 4, &[member("x", int, 0)]);
    builder.function("audit_log_lost", &[pointer]);
    builder.function("kauditd_hold_skb", &[pointer, int]);
    builder.function("schedule", &[]);
    builder.build()
}

fn parsed(blob: Vec<u8>) -> Btf {
    Btf::parse(blob).expect("a whole blob")
}

/// Asks everything that can be asked.
fn ask(btf: &Btf) {
    for (strukt, path) in [
        ("sk_buff", "users"),
        ("sk_buff", "cloned"),
        ("sk_buff", "absent"),
        ("audit_buffer", "stamp.serial"),
        ("audit_stamp", "serial"),
    ] {
        let _ = btf.member_offset(strukt, path);
        let _ = btf.struct_size(strukt);
    }
    for (name, _) in btf.functions() {
        let _ = btf.function_params(name);
    }
}

#[test]
fn members_are_found_through_typedefs_and_anonymous_members() {
    let btf = parsed(blob());
    assert_eq!(btf.member_offset("audit_buffer", "skb"), Some(0));
    assert_eq!(btf.member_offset("audit_buffer", "stamp.serial"), Some(56));
    assert_eq!(btf.member_offset("sk_buff", "mark"), Some(208));
    assert_eq!(btf.member_offset("sk_buff", "users"), Some(212));
    // Behind the anonymous member, and in a structure with bit fields.
    assert_eq!(btf.member_offset("sk_buff", "next"), Some(0));
    assert_eq!(btf.member_offset("sk_buff", "head"), Some(192));
}

#[test]
fn paths_without_a_byte_offset_have_none() {
    let btf = parsed(blob());
    for (strukt, path) in [
        ("sk_buff", "cloned"),
        ("sk_buff", "use"),
        ("sk_buff", "userspace"),
        ("sk_buff", ""),
        ("sk_buff", "users."),
        ("sk_buff", ".users"),
        ("audit_buffer", "skb.users"),
        ("audit_buffer", "stamp.serial.x"),
        ("audit_buffer_aux", "skb"),
        ("schedule_data", "x"),
    ] {
        assert_eq!(btf.member_offset(strukt, path), None, "{strukt}.{path}");
    }
}

#[test]
fn sizes_and_parameters_are_read() {
    let btf = parsed(blob());
    assert_eq!(btf.struct_size("sk_buff"), Some(224));
    assert_eq!(btf.struct_size("audit_log_lost"), None);
    assert_eq!(btf.function_params("audit_log_lost"), Some(1));
    assert_eq!(btf.function_params("kauditd_hold_skb"), Some(2));
    assert_eq!(btf.function_params("sk_buff"), None);
    let mut names: Vec<&str> = btf.functions().map(|(name, _)| name).collect();
    names.sort_unstable();
    assert_eq!(names, ["audit_log_lost", "kauditd_hold_skb"]);
}

#[test]
fn a_number_is_the_types_place_in_the_list() {
    let mut builder = Builder::new();
    let int = builder.int();
    builder.function("schedule", &[int]);
    let expected = builder.function("audit_log_end", &[int]);
    let btf = parsed(builder.build());
    assert_eq!(
        btf.functions().collect::<Vec<_>>(),
        [("audit_log_end", expected)]
    );
}

#[test]
fn unknown_kind_is_skipped_if_the_blob_has_its_length() {
    const KIND: u32 = 100;
    let with_layout = |layout: bool| {
        let mut builder = Builder::new();
        let int = builder.int();
        // Eight bytes once, and two elements of twelve.
        builder.raw("", KIND << 24 | 2, 0, &[u32::MAX; 8]);
        builder.structure("audit_buffer", 8, &[member("skb", int, 4)]);
        if layout {
            builder.layout(KIND as usize, 8, 12);
        }
        Btf::parse(builder.build())
    };
    let btf = with_layout(true).expect("the blob tells");
    assert_eq!(btf.member_offset("audit_buffer", "skb"), Some(4));
    assert_eq!(
        with_layout(false).err(),
        Some(BtfError::UnknownKind { id: 2, kind: KIND })
    );
}

#[test]
fn more_members_than_sixteen_bits_count_are_passed_over() {
    const COUNT: u32 = 0x1_0002;
    let mut builder = Builder::new();
    let int = builder.int();
    let enumerators = vec![0; COUNT as usize * 2];
    builder.raw("", 6 << 24 | COUNT, 4, &enumerators);
    builder.structure("audit_buffer", 8, &[member("skb", int, 4)]);
    let btf = parsed(builder.build());
    assert_eq!(btf.member_offset("audit_buffer", "skb"), Some(4));
}

#[test]
fn structures_that_contain_themselves_come_to_an_end() {
    let mut builder = Builder::new();
    let own = 1;
    let members: Vec<Member> = (0..64).map(|_| member("", own, 0)).collect();
    builder.structure("audit_loop", 8, &members);
    let circle = builder.raw("", 8 << 24, 3, &[]);
    let _ = builder.typedef("audit_circle_t", circle);
    builder.structure("audit_circle", 8, &[member("", circle, 0)]);
    let btf = parsed(builder.build());
    assert_eq!(btf.member_offset("audit_loop", "x"), None);
    assert_eq!(btf.member_offset("audit_circle", "x"), None);
}

#[test]
fn a_blob_cut_short_is_an_error() {
    let blob = blob();
    for length in 0..blob.len() {
        let cut = Btf::parse(blob[..length].to_vec());
        assert!(cut.is_err(), "{length} of {} bytes", blob.len());
    }
}

#[test]
fn other_byte_order_and_other_files_are_not_btf() {
    let mut swapped = blob();
    swapped.swap(0, 1);
    assert!(matches!(Btf::parse(swapped), Err(BtfError::Magic(_))));
    assert!(matches!(
        Btf::parse(b"\x7fELF and then some more bytes".to_vec()),
        Err(BtfError::Magic(_))
    ));
}

#[test]
fn changed_byte_does_not_make_it_panic() {
    let blob = blob();
    for place in 0..blob.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut broken = blob.clone();
            broken[place] = value;
            if let Ok(btf) = Btf::parse(broken) {
                ask(&btf);
            }
        }
    }
}

#[test]
fn several_changed_bytes_do_not_make_it_panic() {
    let blob = blob();
    let parsed = Cell::new(0);
    let config = Config {
        cases: 20_000,
        failure_persistence: None,
        ..Config::default()
    };
    // The header is spared: the parser refuses a wrong one at once.
    let changes = vec((24..blob.len(), any::<u8>()), 1..7);
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
        .run(&changes, |changes| {
            let mut broken = blob.clone();
            for (place, byte) in changes {
                broken[place] = byte;
            }
            if let Ok(btf) = Btf::parse(broken) {
                parsed.set(parsed.get() + 1);
                ask(&btf);
            }
            Ok(())
        })
        .expect("no panic");
    let parsed = parsed.get();
    assert!(parsed > 1_000, "only {parsed} got past the parser");
}

/// What the probe asks for, in the shapes that it has in kernels 5.10 to 7.2.
#[test]
fn probe_finds_its_types_in_the_shapes_of_all_kernels() {
    let mut builder = Builder::new();
    let int = builder.int();
    let pointer = builder.pointer(0);
    // Since 5.14 the links of the list stand in an anonymous union.
    let links = [member("next", pointer, 0), member("prev", pointer, 8)];
    let list = builder.structure("sk_buff_list", 16, &links);
    let links = builder.structure("", 16, &links);
    let either = builder.union("", 16, &[member("", links, 0), member("list", list, 0)]);
    builder.structure(
        "sk_buff_head",
        24,
        &[
            member("", either, 0),
            member("qlen", int, 16),
            member("lock", int, 20),
        ],
    );
    builder.structure(
        "auditd_connection",
        40,
        &[member("pid", pointer, 0), member("portid", int, 8)],
    );
    // An array of no declared length, of structures, at the end.
    let number = builder.structure(
        "upid",
        16,
        &[member("nr", int, 0), member("ns", pointer, 8)],
    );
    let numbers = builder.raw("", 3 << 24, 0, &[number, int, 0]);
    builder.structure(
        "pid",
        112,
        &[
            member("count", int, 0),
            member("level", int, 4),
            member("numbers", numbers, 96),
        ],
    );
    let volatile = builder.raw("", 9 << 24, int, &[]);
    builder.structure(
        "task_struct",
        9000,
        &[member("__state", volatile, 24), member("nvcsw", int, 2600)],
    );
    builder.function("netlink_unicast", &[pointer, pointer, int, int]);
    let btf = parsed(builder.build());
    for (strukt, path, offset) in [
        ("sk_buff_head", "next", 0),
        ("sk_buff_head", "list.prev", 8),
        ("sk_buff_head", "qlen", 16),
        ("auditd_connection", "pid", 0),
        ("pid", "numbers", 96),
        ("task_struct", "__state", 24),
        ("task_struct", "nvcsw", 2600),
    ] {
        assert_eq!(
            btf.member_offset(strukt, path),
            Some(offset),
            "{strukt}.{path}"
        );
    }
    assert_eq!(btf.struct_size("sk_buff_head"), Some(24));
    assert_eq!(btf.function_params("netlink_unicast"), Some(4));
}
