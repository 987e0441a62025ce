//! The English of documents and help texts: reads the files, returns a table and the findings.
//!
//! Must not decide by taste: it looks for the phrases of `language/phrases.txt`, counts the markers of `markers`, and
//! the words of each sentence.

mod markers;
mod phrases;
mod text;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use self::{
    markers::Counts,
    phrases::Phrases,
    text::{Part, Sentence},
};

/// Files and directories that fail the check. Move a path here from [`MEASURED`] when its text is rewritten.
const ENFORCED: [&str; 6] = [
    "README.md",
    "docs",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "auditwatch/src",
];
/// Sources whose documentation comments are printed as help. In other sources only literals are printed.
const HELP: [&str; 2] = ["auditwatch/src/cli.rs", "auditwatch/src/cli/"];
/// Files and directories that are shown and do not fail, also if they are within [`ENFORCED`].
const MEASURED: [&str; 1] = ["xtask/src"];

/// The result of a check.
#[derive(Debug)]
struct Report {
    /// Markers of each place, for people.
    table: String,
    /// Phrases in places that are measured only.
    notes: usize,
    /// Each finding that fails the check.
    failures: Vec<String>,
}

/// Checks the sources below the repository's root, and prints the table and the findings.
///
/// # Errors
/// When a file cannot be read, and when an enforced place has a listed phrase, a long sentence or too many markers.
pub(crate) fn run() -> Result<()> {
    let report = check(&root(), &ENFORCED, &MEASURED)?;
    print!("{}", report.table);
    if report.notes > 0 {
        println!(
            "{} phrases to replace in places that are measured only",
            report.notes
        );
    }
    for failure in &report.failures {
        println!("{failure}");
    }
    let count = report.failures.len();
    ensure!(count == 0, "{count} findings in the English");
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn check(root: &Path, enforced_places: &[&str], measured_places: &[&str]) -> Result<Report> {
    let phrases = Phrases::listed()?;
    let mut table = markers::heading();
    let mut failures = Vec::new();
    let mut notes = 0;
    let mut enforced = Counts::default();
    let mut lines = Vec::new();
    for path in files(root, enforced_places)? {
        if measured_places
            .iter()
            .any(|place| path.starts_with(root.join(place)))
        {
            continue;
        }
        let (name, sentences) = read(root, &path)?;
        failures.extend(phrases.findings(&name, &sentences));
        // Literals of a source are pieces of sentences; those of help pages are checked where they are printed.
        if path.extension().is_some_and(|end| end == "md") {
            failures.extend(markers::long(&name, &sentences));
        }
        let counts = markers::count(&sentences);
        lines.extend(markers::places(&name, &sentences));
        enforced.add(&counts);
        let _ = writeln!(table, "{}", markers::row(&name, &counts));
    }
    let _ = writeln!(table, "{}", markers::row("all of these", &enforced));
    let _ = writeln!(table, "{}", markers::limits());
    for place in measured_places {
        let mut counts = Counts::default();
        for path in files(root, &[place])? {
            let (name, sentences) = read(root, &path)?;
            notes += phrases.findings(&name, &sentences).len();
            counts.add(&markers::count(&sentences));
        }
        let _ = writeln!(table, "{} (measured only)", markers::row(place, &counts));
    }
    failures.extend(markers::excess(&enforced, &lines));
    Ok(Report {
        table,
        notes,
        failures,
    })
}

/// The Markdown and Rust files in these places without files of tests, sorted.
fn files(root: &Path, places: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for place in places {
        walk(&root.join(place), &mut found)?;
    }
    Ok(found)
}

fn walk(path: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_dir() {
        let mut entries = fs::read_dir(path)
            .with_context(|| format!("reading {}", path.display()))?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<Vec<_>>>()?;
        entries.sort();
        for entry in entries {
            walk(&entry, found)?;
        }
    } else if path
        .extension()
        .is_some_and(|end| end == "md" || end == "rs")
        && !path.ends_with("tests.rs")
    {
        found.push(path.to_owned());
    }
    Ok(())
}

fn read(root: &Path, path: &Path) -> Result<(String, Vec<Sentence>)> {
    let source = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let name = path
        .strip_prefix(root)
        .unwrap_or(path)
        .display()
        .to_string();
    let sentences = if path.extension().is_some_and(|end| end == "rs") {
        let help = HELP.iter().any(|start| name.starts_with(start));
        let part = if help {
            Part::LiteralsAndComments
        } else {
            Part::Literals
        };
        text::of_rust(&source, part)
    } else {
        text::of_markdown(&source)
    };
    Ok((name, sentences))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_documents_pass() {
        let report = check(&root(), &ENFORCED, &MEASURED).expect("the sources can be read");
        assert_eq!(report.failures, [""; 0], "{}", report.table);
    }

    #[test]
    fn a_listed_phrase_fails_an_enforced_file_and_not_a_measured_one() {
        let root = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("a file");
        };
        write("docs/page.md", "Records are dropped.\n");
        write("README.md", "By the folklore of 8,970 B.\n");
        let clean = check(root.path(), &["docs"], &["README.md"]).expect("a report");
        assert_eq!((clean.failures.len(), clean.notes), (0, 1));
        assert!(clean.table.contains("docs/page.md"), "{}", clean.table);

        write(
            "docs/page.md",
            "First line.\n\nBy the\nfolklore of 8,970 B.\n",
        );
        let failed = check(root.path(), &["docs"], &["README.md"]).expect("a report");
        let finding = failed.failures.first().expect("a finding");
        assert!(finding.starts_with("docs/page.md:4: "), "{finding}");
    }

    #[test]
    fn too_many_markers_fail_with_their_lines() {
        let root = tempfile::tempdir().expect("a directory");
        let page = "Records are dropped.\n\nThis is what the kernel does.\n";
        fs::write(root.path().join("SECURITY.md"), page).expect("a file");
        let report = check(root.path(), &["SECURITY.md"], &[]).expect("a report");
        let finding = report.failures.first().expect("a finding");
        assert!(finding.contains("SECURITY.md:3"), "{finding}");
    }
}
