//! The prototypes that the BPF programs were written for: their `match-proto` comments and the kernels of the cache
//! come in, a finding for each difference goes out.
//!
//! A comment is `// match-proto: FILES: PROTOTYPE`, and may go on in the next lines. What stands in brackets, such as
//! `[, int error]`, some kernels have and others do not. Must not fetch a kernel: it checks those that are there.

mod btf;
mod image;

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};

use self::btf::Btf;
use crate::{
    cache::Cache,
    kernels::{self, Release},
};

const SOURCES: &str = "auditwatch-ebpf/src";
const MARK: &str = "// match-proto:";

/// A comment.
#[derive(Debug, PartialEq, Eq)]
struct Comment {
    /// File and line.
    place: String,
    function: String,
    /// The prototype without and with the parts in brackets.
    forms: [String; 2],
}

/// Checks each comment against each kernel of the matrix that is in the cache.
///
/// # Errors
/// When a prototype differs, when no kernel has the function, or when a file cannot be read.
pub(crate) fn run(cache: &Cache) -> Result<()> {
    let comments = comments(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(SOURCES),
    )?;
    let (present, absent): (Vec<_>, Vec<_>) = Release::ALL
        .into_iter()
        .partition(|&release| kernels::is_cached(cache, release));
    let mut seen = vec![false; comments.len()];
    let mut findings = Vec::new();
    let mut counts = Vec::new();
    for &release in &present {
        let kernel = kernels::get(cache, release)?;
        let about = || format!("cannot read the types of kernel {}", kernel.version);
        let image = fs::read(&kernel.vmlinuz).with_context(about)?;
        let blob = image::btf_of(&image).with_context(about)?;
        let btf = Btf::parse(&blob).with_context(about)?;
        let mut count = 0;
        for (comment, seen) in comments.iter().zip(&mut seen) {
            // A kernel may lack it: it came later, or the compiler split or inlined it.
            let found = btf.prototype(&comment.function).with_context(about)?;
            *seen |= found.is_some();
            count += usize::from(found.is_some());
            findings.extend(found.and_then(|found| difference(comment, &kernel.version, &found)));
        }
        counts.push(format!("{count} in {release}"));
    }
    // One that is new in the newest kernel cannot be missed without it.
    if absent.is_empty() {
        let unseen = comments.iter().zip(seen).filter(|(_, seen)| !seen);
        findings.extend(unseen.map(|(comment, _)| {
            format!(
                "{}: no kernel of the matrix has {}: correct the name, or remove the program",
                comment.place, comment.function
            )
        }));
    }
    for finding in &findings {
        println!("{finding}");
    }
    if present.is_empty() {
        println!("PROTOTYPES WERE NOT CHECKED: cargo xtask setup fetches the kernels");
    } else {
        println!(
            "{} prototypes: {} checked",
            comments.len(),
            counts.join(", ")
        );
    }
    for release in absent {
        println!("kernel {release} was not checked: cargo xtask setup fetches it");
    }
    let count = findings.len();
    ensure!(count == 0, "{count} prototypes differ from the kernels'");
    Ok(())
}

fn difference(comment: &Comment, kernel: &str, found: &str) -> Option<String> {
    (!comment.forms.iter().any(|form| form == found)).then(|| {
        format!(
            "{}: kernel {kernel} has\n    {found}\nand the comment has\n    {}\nadapt the program and its comment",
            comment.place, comment.forms[1]
        )
    })
}

fn comments(directory: &Path) -> Result<Vec<Comment>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(directory)
        .with_context(|| format!("cannot read {}", directory.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    for path in entries {
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        found.extend(comments_of(&format!("{SOURCES}/{name}"), &text)?);
    }
    found.sort_by(|one, other| one.place.cmp(&other.place));
    ensure!(!found.is_empty(), "no {MARK} in {}", directory.display());
    Ok(found)
}

fn comments_of(name: &str, text: &str) -> Result<Vec<Comment>> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begins = lines
        .iter()
        .enumerate()
        .filter_map(|(at, line)| Some((at, line.strip_prefix(MARK)?)));
    begins
        .map(|(at, first)| {
            let place = format!("{name}:{}", at + 1);
            parse(&place, first, &lines[at + 1..])
                .with_context(|| format!("{place}: expected {MARK} FILE: PROTOTYPE"))
        })
        .collect()
}

fn parse(place: &str, first: &str, rest: &[&str]) -> Option<Comment> {
    let (_, prototype) = first.split_once(':')?;
    let mut prototype = prototype.trim().to_owned();
    let mut rest = rest.iter();
    // Pieces that stand in further lines of the comment.
    while !prototype.contains('(') || count(&prototype, '(') > count(&prototype, ')') {
        prototype = format!("{prototype} {}", rest.next()?.strip_prefix("//")?.trim());
    }
    let prototype = prototype.trim();
    let prototype = prototype.strip_prefix("static ").unwrap_or(prototype);
    let function = prototype.split('(').next()?.rsplit([' ', '*']).next()?;
    Some(Comment {
        place: place.to_owned(),
        function: function.to_owned(),
        forms: [
            without_brackets(prototype),
            prototype.replace(['[', ']'], ""),
        ],
    })
}

fn count(text: &str, sign: char) -> usize {
    text.matches(sign).count()
}

fn without_brackets(text: &str) -> String {
    let pieces = text.split('[');
    pieces
        .enumerate()
        .map(|(at, piece)| match piece.split_once(']') {
            Some((_, rest)) if at > 0 => rest,
            _ => piece,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comment_may_have_several_lines_and_optional_parts() {
        let text = "x\n// match-proto: kernel/a.c, kernel/b.c:\n// static int f(struct s *s,\n\
                    // void (*hook)(int[, int]))\n// Called often.\nfn f() {}\n";
        let comments = comments_of("x.rs", text).expect("comments");
        assert_eq!(
            comments,
            [Comment {
                place: "x.rs:2".to_owned(),
                function: "f".to_owned(),
                forms: [
                    "int f(struct s *s, void (*hook)(int))".to_owned(),
                    "int f(struct s *s, void (*hook)(int, int))".to_owned(),
                ],
            }]
        );
    }

    #[test]
    fn comment_without_a_prototype_is_an_error_with_its_line() {
        for text in [
            "// match-proto: kernel/a.c\n",
            "\n// match-proto: a.c: f(\nfn f() {}",
        ] {
            let error = comments_of("x.rs", text).expect_err("no prototype");
            assert!(error.to_string().starts_with("x.rs:"), "{error}");
        }
    }

    #[test]
    fn another_prototype_is_a_finding_that_shows_both() {
        let text = "// match-proto: a.c: struct s *f(int a[, int b])\n";
        let comment = &comments_of("x.rs", text).expect("a comment")[0];
        assert_eq!(comment.function, "f");
        for form in ["struct s *f(int a)", "struct s *f(int a, int b)"] {
            assert_eq!(difference(comment, "6.1", form), None);
        }
        let finding = difference(comment, "6.1", "struct s *f(long a)").expect("a finding");
        for part in ["x.rs:1", "kernel 6.1", "f(long a)", "f(int a, int b)"] {
            assert!(finding.contains(part), "{finding}");
        }
    }
}
