//! The import rule of ARCHITECTURE.md, read from the sources. The table of that
//! document is the rule: a module that it does not list, an import that it does not
//! allow, and a pure module that touches the world are failures here.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

const ARCHITECTURE: &str = include_str!("../ARCHITECTURE.md");
const HEADING: &str = "## Who may import what";
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
/// Macros that write where a pure module must not.
const PRINTS: [&str; 4] = ["print!", "println!", "eprint!", "eprintln!"];
const MOST_LINES: usize = 500;

/// A row of the table.
struct Row {
    /// Names of modules; `x::*` is `x` with all that is below.
    modules: Vec<&'static str>,
    /// Whether it may touch the world. All others are pure.
    has_io: bool,
    /// What it may import, in the same words.
    may_import: Vec<&'static str>,
    /// Whether it may import all.
    may_import_all: bool,
}

impl Row {
    fn of(line: &'static str) -> Self {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [modules, imports] = cells.as_slice() else {
            panic!("two cells: {line}");
        };
        Self {
            modules: quoted(modules),
            has_io: modules.contains("I/O"),
            may_import: quoted(imports),
            may_import_all: imports.starts_with("everything"),
        }
    }

    fn allows(&self, module: &str, imported: &str) -> bool {
        // What belongs to one name is one module to all others.
        let siblings = |name: &&str| covers(name, module) && covers(name, imported);
        self.may_import_all
            || self.modules.iter().any(siblings)
            || self.may_import.iter().any(|name| covers(name, imported))
    }
}

/// What stands in backquotes.
fn quoted(cell: &'static str) -> Vec<&'static str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn covers(name: &str, module: &str) -> bool {
    match name.strip_suffix("::*") {
        Some(base) => module == base || module.starts_with(&format!("{base}::")),
        None => module == name,
    }
}

fn table() -> Vec<Row> {
    let (_, section) = ARCHITECTURE.split_once(HEADING).expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(Row::of)
        .collect()
}

/// The one row that lists a module by the longest name.
fn row<'a>(table: &'a [Row], module: &str) -> &'a Row {
    let closest = |row: &Row| {
        let names = row.modules.iter().filter(|name| covers(name, module));
        names.map(|name| name.len()).max()
    };
    let longest = table.iter().filter_map(closest).max();
    let rows: Vec<&Row> = table
        .iter()
        .filter(|row| longest.is_some() && closest(row) == longest)
        .collect();
    let [row] = rows.as_slice() else {
        panic!(
            "{module} stands in {} rows of the table in ARCHITECTURE.md, not in one",
            rows.len()
        );
    };
    row
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file below a directory, with its text.
fn files(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a source directory can be listed") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file is text");
            found.push((path, text));
        }
    }
    found
}

/// The modules that are shipped, by name, each with its code.
fn modules() -> BTreeMap<String, String> {
    let all: BTreeMap<String, String> = files(&sources())
        .into_iter()
        .map(|(path, text)| (module(&path), text))
        .collect();
    let tests: Vec<String> = all
        .iter()
        .flat_map(|(module, text)| test_modules(text).map(move |name| format!("{module}::{name}")))
        .collect();
    all.into_iter()
        .filter(|(module, _)| !tests.contains(module))
        .map(|(module, text)| (module, product(&text)))
        .collect()
}

/// The module that a file is.
fn module(path: &Path) -> String {
    let path = path.strip_prefix(sources()).expect("a source file");
    let name = path.with_extension("").display().to_string();
    let name = name.replace('/', "::");
    name.strip_suffix("::mod").unwrap_or(&name).to_owned()
}

/// Modules in files of their own that exist for tests only.
fn test_modules(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().zip(text.lines().skip(1));
    lines.filter_map(|(attribute, item)| {
        let (_, name) = item.split_once("mod ")?;
        (attribute.trim() == "#[cfg(test)]").then(|| name.trim_end_matches(';'))
    })
}

/// The code of a file: no comments, and nothing that is for tests only. It goes by
/// indentation, which rustfmt keeps right.
fn product(text: &str) -> String {
    let mut product = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let code = line.trim_start();
        if code == "#[cfg(test)]" {
            let indent = &line[..line.len() - code.len()];
            let ends = [format!("{indent}}}"), format!("{indent}}};")];
            let mut item = lines
                .by_ref()
                .skip_while(|line| line.trim_start().starts_with("#["));
            if item.next().is_some_and(|first| !first.ends_with(';')) {
                item.find(|line| ends.iter().any(|end| end == line));
            }
        } else if !code.starts_with("//") {
            product.push_str(line);
            product.push('\n');
        }
    }
    product
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

#[test]
fn every_module_imports_what_the_table_allows() {
    let (table, modules) = (table(), modules());
    for (module, code) in &modules {
        let row = row(&table, module);
        for imported in imports(&modules, module, code) {
            assert!(
                row.allows(module, &imported),
                "{module} imports {imported}, which the table in ARCHITECTURE.md does not allow"
            );
        }
    }
}

#[test]
fn every_name_in_the_table_is_a_module() {
    let modules = modules();
    for row in table() {
        for name in row.modules.iter().chain(&row.may_import) {
            assert!(
                modules.keys().any(|module| covers(name, module)),
                "ARCHITECTURE.md names {name}, which is no module"
            );
        }
    }
}

#[test]
fn pure_modules_touch_nothing() {
    let table = table();
    for (module, code) in &modules() {
        if !row(&table, module).has_io {
            assert_eq!(impurities(module, code), [""; 0], "{module} is to be pure");
        }
    }
}

#[test]
fn only_the_probe_knows_aya() {
    for (module, code) in &modules() {
        if !covers("probe::*", module) {
            let named = named(module, code, &["aya", "aya_log", "aya_obj"]);
            assert_eq!(named, [""; 0], "{module}");
        }
    }
}

#[test]
fn only_the_edge_uses_anyhow() {
    // Keeper, sink and producers are programs of their own, and so an edge.
    let edge = ["commands::*", "bench::*", "main"];
    for (module, code) in &modules() {
        if !edge.iter().any(|name| covers(name, module)) {
            assert_eq!(named(module, code, &["anyhow"]), [""; 0], "{module}");
        }
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
    let row = Row::of("| `a`, `b::*` (I/O; one) | `c`, and `d::*` for e |");
    assert!(row.has_io && !row.may_import_all);
    assert!(row.lists("a") && row.lists("b::x::y") && !row.lists("a::x") && !row.lists("bc"));
    for (importer, imported, allowed) in [
        ("a", "c", true),
        ("a", "d::x", true),
        ("a", "c::x", false),
        ("a", "e", false),
        ("b", "b::x", true),
        ("b::x", "a", false),
    ] {
        assert_eq!(
            row.allows(importer, imported),
            allowed,
            "{importer} {imported}"
        );
    }
    assert!(Row::of("| `a` | everything; it wires |").may_import_all);
    assert!(!Row::of("| `a` (pure) | nothing |").allows("a", "b"));
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
fn comments_and_tests_are_no_code_and_what_follows_them_is() {
    let text = "//! std::fs is named here\n#[cfg(test)]\nmod builder;\n\nuse std::net;\n\
        impl A {\n    #[cfg(test)]\n    fn f() {\n        tokio::x();\n    }\n    // aya::x\n}\n\
        #[cfg(test)]\n#[derive(Debug)]\nmod tests {\n    use tokio::x;\n}\nuse std::env;\n";
    assert_eq!(impurities("a", &product(text)), ["std::net", "std::env"]);
    assert_eq!(test_modules(text).collect::<Vec<_>>(), ["builder"]);
}
