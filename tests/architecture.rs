//! The wings: wings.txt has a row for each wing, and the sources are held against it.
//!
//! An import that the table does not list or that leads upwards, a row that lists too much, a command that imports
//! another, and a pure module that touches the world are failures here.

use std::{collections::BTreeMap, path::Path};

use sources::{files, modules, product, sources, test_modules};

#[path = "architecture/sources.rs"]
mod sources;

const WINGS: &str = include_str!("wings.txt");
const MOST_WINGS: usize = 24;
/// What commands share: no command of its own.
const SHARED: [&str; 5] = ["output", "terminal", "progress", "executor", "log_source"];
/// Paths that a pure module names neither itself nor below.
const IMPURE: [&str; 21] = [
    "aya",
    "aya_log",
    "aya_obj",
    "libc",
    "tokio",
    "std::env",
    "std::fs",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::io::IsTerminal",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "io::IsTerminal",
    "io::stderr",
    "io::stdin",
    "io::stdout",
];
/// Wings that call the kernel past what safe crates offer; all others forbid unsafe code at their root.
const UNSAFE: [&str; 5] = ["bench", "commands", "live", "netlink", "probe"];
/// Macros that write where a pure module must not.
const PRINTS: [&str; 4] = ["print!", "println!", "eprint!", "eprintln!"];
const MOST_LINES: usize = 500;

/// A row of the table: a wing is a module at the top, with all that is below it.
struct Wing {
    name: &'static str,
    floor: u32,
    /// Modules that may touch the world; the wing's name stands for all of it.
    io: Vec<&'static str>,
    /// Wings on lower floors.
    may_import: Vec<&'static str>,
}

impl Wing {
    fn of(line: &'static str) -> Self {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [floor, name, io, imports] = cells.as_slice() else {
            panic!("four cells: {line}");
        };
        Self {
            name,
            floor: floor.parse().expect("a floor is a number"),
            io: io.split_whitespace().collect(),
            may_import: imports.split_whitespace().collect(),
        }
    }

    fn may_touch_the_world(&self, module: &str) -> bool {
        self.io.iter().any(|io| begins_with(module, io))
    }
}

fn wings() -> Vec<Wing> {
    let lines = WINGS.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter(|line| line.contains('|'))
        .map(Wing::of)
        .collect()
}

fn wing_of(module: &str) -> &str {
    module.split("::").next().unwrap_or(module)
}

/// Names and signs of a piece of code.
fn tokens(code: &str) -> Vec<&str> {
    let in_name = |sign: char| sign.is_alphanumeric() || sign == '_';
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if in_name(first) {
            rest.find(|sign| !in_name(sign)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after.trim_start();
    }
    tokens
}

/// Every path that the code of a module names, from its root: `use` trees are
/// taken apart, and `crate`, `self` and `super` resolved. Roots of this crate are
/// written `crate`.
fn paths(module: &str, code: &str) -> Vec<String> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begins = tokens.get(at + 1) == Some(&"::")
            && at
                .checked_sub(1)
                .is_none_or(|before| !["::", "$"].contains(&tokens[before]))
            && tokens[at].starts_with(|sign: char| sign.is_alphabetic() || sign == '_');
        if begins {
            at = branch(&tokens, at, &own(module), &[], &mut found);
        } else {
            at += 1;
        }
    }
    found.into_iter().map(|path| path.join("::")).collect()
}

/// The path of a module, from the crate on.
fn own(module: &str) -> Vec<&str> {
    match module {
        "lib" | "main" => vec!["crate"],
        _ => ["crate"].into_iter().chain(module.split("::")).collect(),
    }
}

/// Follows a path, or a `use` tree, behind `stem`; where it ends.
fn branch<'a>(
    tokens: &[&'a str],
    mut at: usize,
    own: &[&'a str],
    stem: &[&'a str],
    found: &mut Vec<Vec<&'a str>>,
) -> usize {
    let mut path = stem.to_vec();
    loop {
        match tokens.get(at).copied().unwrap_or_default() {
            "{" => {
                at += 1;
                while !["}", ""].contains(&tokens.get(at).copied().unwrap_or_default()) {
                    let end = branch(tokens, at, own, &path, found);
                    // `as NAME` and the comma.
                    let comma = |token: &&str| [",", "}"].contains(token);
                    at = end
                        + tokens[end..]
                            .iter()
                            .take_while(|token| !comma(token))
                            .count();
                    at += usize::from(tokens.get(at) == Some(&","));
                }
                return at + 1;
            }
            "crate" | "auditwatch" if path.is_empty() => path.push("crate"),
            "self" if path.is_empty() => path.extend(own),
            "super" if path.is_empty() => path.extend(&own[..own.len() - 1]),
            "super" => drop(path.pop()),
            "self" | "*" => {}
            name if name.starts_with(|sign: char| sign.is_alphabetic() || sign == '_') => {
                path.push(name);
            }
            // A type parameter, or nothing more.
            _ => {
                found.push(path);
                return at;
            }
        }
        at += 1;
        if tokens.get(at) != Some(&"::") {
            found.push(path);
            return at;
        }
        at += 1;
    }
}

/// The modules that the code of a module imports, itself left out.
fn imports(modules: &BTreeMap<String, String>, module: &str, code: &str) -> Vec<String> {
    let mut imported: Vec<String> = paths(module, code)
        .iter()
        .filter_map(|path| path.strip_prefix("crate::"))
        .map(|path| {
            let stems = modules.keys().filter(|stem| begins_with(path, stem));
            stems
                .max_by_key(|stem| stem.len())
                .unwrap_or_else(|| panic!("{module} names {path}, in no module"))
        })
        .filter(|imported| *imported != module)
        .cloned()
        .collect();
    imported.sort();
    imported.dedup();
    imported
}

fn begins_with(path: &str, stem: &str) -> bool {
    path.strip_prefix(stem)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// What of `stems` the code names.
fn named(module: &str, code: &str, stems: &[&str]) -> Vec<String> {
    let mut named = paths(module, code);
    named.retain(|path| stems.iter().any(|stem| begins_with(path, stem)));
    named
}

fn impurities(module: &str, code: &str) -> Vec<String> {
    let mut found = named(module, code, &IMPURE);
    let tokens = tokens(code);
    let calls = tokens.windows(2).filter(|pair| pair[1] == "!");
    found.extend(
        calls
            .map(<[&str]>::concat)
            .filter(|call| PRINTS.contains(&call.as_str())),
    );
    found
}

/// The wings that each wing imports, by the first module that does.
fn arrows() -> BTreeMap<(String, String), String> {
    let modules = modules();
    let mut arrows = BTreeMap::new();
    for (module, code) in &modules {
        // They wire and declare.
        if ["lib", "main"].contains(&module.as_str()) {
            continue;
        }
        for imported in imports(&modules, module, code) {
            let pair = (wing_of(module).to_owned(), wing_of(&imported).to_owned());
            if pair.0 != pair.1 {
                arrows
                    .entry(pair)
                    .or_insert_with(|| format!("{module} imports {imported}"));
            }
        }
    }
    arrows
}

#[test]
fn every_wing_has_one_row() {
    let listed: Vec<&str> = wings().iter().map(|wing| wing.name).collect();
    let mut present: Vec<String> = modules()
        .keys()
        .map(|module| wing_of(module).to_owned())
        .filter(|wing| !["lib", "main"].contains(&wing.as_str()))
        .collect();
    present.dedup();
    let mut sorted = listed.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, present);
    assert!(listed.len() <= MOST_WINGS, "{} wings", listed.len());
}

#[test]
fn wings_import_what_their_rows_list_and_no_less() {
    let found: Vec<(String, String)> = arrows().into_keys().collect();
    for wing in wings() {
        let imported: Vec<&str> = found
            .iter()
            .filter(|(importer, _)| importer == wing.name)
            .map(|(_, imported)| imported.as_str())
            .collect();
        assert_eq!(
            imported, wing.may_import,
            "{}: left is what it imports",
            wing.name
        );
    }
}

#[test]
fn arrows_lead_downwards() {
    let floors: BTreeMap<&str, u32> = wings().iter().map(|wing| (wing.name, wing.floor)).collect();
    for ((importer, imported), example) in arrows() {
        let [above, below] = [&importer, &imported].map(|wing| floors[wing.as_str()]);
        assert!(above > below, "{example}: from floor {above} to {below}");
    }
}

#[test]
fn no_command_imports_another() {
    let modules = modules();
    let command = |module: &str| {
        module
            .strip_prefix("commands::")
            .map(|rest| wing_of(rest).to_owned())
    };
    for (module, code) in &modules {
        let Some(own) = command(module) else { continue };
        for imported in imports(&modules, module, code) {
            let other = command(&imported).filter(|other| *other != own);
            let shared = other.as_deref().is_none_or(|other| SHARED.contains(&other));
            assert!(shared, "{module} imports {imported}");
        }
    }
}

#[test]
fn pure_modules_touch_nothing() {
    let wings = wings();
    for (module, code) in &modules() {
        let row = wings.iter().find(|wing| wing.name == wing_of(module));
        if row.is_some_and(|row| !row.may_touch_the_world(module)) {
            assert_eq!(impurities(module, code), [""; 0], "{module} is to be pure");
        }
    }
}

#[test]
fn only_the_probe_knows_aya() {
    for (module, code) in &modules() {
        if wing_of(module) != "probe" {
            let named = named(module, code, &["aya", "aya_log", "aya_obj"]);
            assert_eq!(named, [""; 0], "{module}");
        }
    }
}

#[test]
fn only_the_edge_uses_anyhow() {
    // Keeper, sink and producers are programs of their own, and so an edge.
    let edge = ["commands", "live", "bench", "main"];
    for (module, code) in &modules() {
        if !edge.contains(&wing_of(module)) {
            assert_eq!(named(module, code, &["anyhow"]), [""; 0], "{module}");
        }
    }
}

#[test]
fn unsafe_code_is_where_it_is_needed() {
    for wing in wings() {
        let name = wing.name;
        let all = files(&sources());
        let is_forbidden = all.iter().any(|(path, text)| {
            let root = [format!("{name}.rs"), format!("{name}/mod.rs")];
            root.iter().any(|root| *path == sources().join(root))
                && text.lines().any(|line| line == "#![forbid(unsafe_code)]")
        });
        assert_eq!(is_forbidden, !UNSAFE.contains(&name), "{name}");
    }
    for wing in UNSAFE {
        let uses = modules()
            .iter()
            .any(|(module, code)| wing_of(module) == wing && tokens(code).contains(&"unsafe"));
        assert!(uses, "{wing} needs no unsafe code, so it is to forbid it");
    }
}

#[test]
fn every_file_is_small_and_says_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for place in [
        "auditwatch/src",
        "auditwatch-ebpf/src",
        "tests",
        "xtask/src",
    ] {
        for (path, text) in files(&root.join(place)) {
            let path = path.display();
            assert!(text.starts_with("//! "), "{path} has no //! line");
            let lines = text.lines().count();
            assert!(lines <= MOST_LINES, "{path} has {lines} lines");
        }
    }
}

#[test]
fn the_table_is_read_as_it_is_meant() {
    let wing = Wing::of("2 | a | a::b | c d");
    assert_eq!((wing.name, wing.floor), ("a", 2));
    assert_eq!(wing.may_import, ["c", "d"]);
    assert!(wing.may_touch_the_world("a::b::x"));
    assert!(!wing.may_touch_the_world("a") && !wing.may_touch_the_world("a::bc"));
    assert!(Wing::of("1 | a | |").io.is_empty());
}

#[test]
fn imports_are_seen_in_every_form() {
    let modules: BTreeMap<String, String> = ["a", "a::b", "a::c", "d", "e", "f", "g"]
        .into_iter()
        .map(|module| (module.to_owned(), String::new()))
        .collect();
    let code = "use crate::{\n    a::{self, c::{X as Y, Z}},\n    d::*,\n};\n\
        pub(super) fn f() -> crate::e::T<u8> { super::super::f::g(super::c::h::<crate::g::I>()) }";
    assert_eq!(
        imports(&modules, "a::b", code),
        ["a", "a::c", "d", "e", "f", "g"]
    );
    assert_eq!(
        imports(&modules, "main", "use auditwatch::a::b::X;"),
        ["a::b"]
    );
    assert_eq!(imports(&modules, "a", "b::x(); self::b::y()"), ["a::b"]);
}

#[test]
fn impurity_is_seen_in_every_form() {
    for code in [
        "use std::fs;",
        "use std::{fmt, fs::File};",
        "use std::io::{self, IsTerminal as _};",
        "let now = std::time::Instant::now();",
        "io::stdout().flush()",
        "fn f() { eprintln!(\"x\") }",
        "use aya_obj::btf;",
    ] {
        assert_eq!(impurities("a", code).len(), 1, "{code}");
    }
    for code in [
        "use std::{fmt, io::Write};",
        "use crate::libc::fs;",
        "fn process() { profs::env() }",
    ] {
        assert_eq!(impurities("a", code), [""; 0], "{code}");
    }
}

#[test]
fn comments_and_tests_are_excluded_from_the_code() {
    let text = "//! std::fs is named here\n#[cfg(test)]\nmod builder;\n\nuse std::net;\n\
        impl A {\n    #[cfg(test)]\n    fn f() {\n        tokio::x();\n    }\n    // aya::x\n}\n\
        #[cfg(test)]\n#[derive(Debug)]\nmod tests {\n    use tokio::x;\n}\nuse std::env;\n";
    assert_eq!(impurities("a", &product(text)), ["std::net", "std::env"]);
    assert_eq!(test_modules(text).collect::<Vec<_>>(), ["builder"]);
}
