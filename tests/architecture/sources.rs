//! The sources of the crate, as the architecture test reads them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file below a directory, with its text.
pub fn files(directory: &Path) -> Vec<(PathBuf, String)> {
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
pub fn modules() -> BTreeMap<String, String> {
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
pub fn test_modules(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().zip(text.lines().skip(1));
    lines.filter_map(|(attribute, item)| {
        let (_, name) = item.split_once("mod ")?;
        (attribute.trim() == "#[cfg(test)]").then(|| name.trim_end_matches(';'))
    })
}

/// The code of a file: no comments, and nothing that is for tests only. It goes by
/// indentation, which rustfmt keeps right.
pub fn product(text: &str) -> String {
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
