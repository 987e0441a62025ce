//! The machine's own package sources: `sources.list` texts come in, archives go out.
//!
//! Knows both notations of apt. Must not know any archive by name: mirrors differ from machine to machine.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

/// One archive and the suites that the machine takes from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Base address of the archive.
    pub(crate) uri: String,
    /// Suites, such as a release's code name.
    pub(crate) suites: Vec<String>,
    /// Keyring that the archive is verified with, if the source names one.
    pub(crate) signed_by: Option<String>,
}

/// Reads every source of this machine.
pub(crate) fn read() -> Result<Vec<Source>> {
    let apt = Path::new("/etc/apt");
    let mut files = vec![apt.join("sources.list")];
    if let Ok(directory) = fs::read_dir(apt.join("sources.list.d")) {
        files.extend(directory.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files.sort();
    let mut sources = Vec::new();
    for file in files.iter().filter(|file| file.is_file()) {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(parse_one_line(&text)),
            Some("sources") => sources.extend(parse_deb822(&text)),
            _ => {}
        }
    }
    Ok(sources)
}

/// The address of the first archive that has `suite`.
pub(crate) fn archive_of<'a>(sources: &'a [Source], suite: &str) -> Option<&'a Source> {
    sources
        .iter()
        .find(|source| source.suites.iter().any(|candidate| candidate == suite))
}

fn parse_one_line(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let mut rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t', '[']) {
        return None;
    }
    rest = rest.trim_start();
    let mut signed_by = None;
    if let Some(options) = rest.strip_prefix('[') {
        let (options, after) = options.split_once(']')?;
        signed_by = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="))
            .map(str::to_owned);
        rest = after;
    }
    let mut words = rest.split_whitespace();
    let uri = words.next()?.to_owned();
    let suite = words.next()?.to_owned();
    Some(Source {
        uri,
        suites: vec![suite],
        signed_by,
    })
}

fn parse_deb822(text: &str) -> Vec<Source> {
    let is_comment = |line: &&str| !line.starts_with('#');
    let lines: Vec<&str> = text.lines().filter(is_comment).collect();
    lines
        .split(|line| line.trim().is_empty())
        .flat_map(parse_stanza)
        .collect()
}

fn parse_stanza(lines: &[&str]) -> Vec<Source> {
    let words = |field: &str| -> Vec<String> { words_of(lines, field) };
    let enabled = !words("enabled")
        .iter()
        .any(|word| word.eq_ignore_ascii_case("no"));
    if !enabled || !words("types").iter().any(|word| word == "deb") {
        return Vec::new();
    }
    let suites = words("suites");
    // An inline key spans lines and is no path; the archive keyring serves then.
    let signed_by = words("signed-by")
        .into_iter()
        .next()
        .filter(|path| path.starts_with('/'));
    words("uris")
        .into_iter()
        .map(|uri| Source {
            uri,
            suites: suites.clone(),
            signed_by: signed_by.clone(),
        })
        .collect()
}

fn words_of(lines: &[&str], field: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut inside = false;
    for line in lines {
        let value = if line.starts_with([' ', '\t']) {
            *line
        } else {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            inside = name.eq_ignore_ascii_case(field);
            value
        };
        if inside {
            words.extend(value.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(uri: &str, suites: &[&str], signed_by: Option<&str>) -> Source {
        Source {
            uri: uri.to_owned(),
            suites: suites.iter().map(|&suite| suite.to_owned()).collect(),
            signed_by: signed_by.map(str::to_owned),
        }
    }

    #[test]
    fn one_line_sources_are_read_with_and_without_options() {
        let text = "# deb http://old.example/debian a main\n\
                    deb http://mirror.example/debian bookworm main contrib # ours\n\
                    deb-src http://mirror.example/debian bookworm main\n\
                    deb [arch=amd64 signed-by=/k.gpg] https://x.example/ y main\n\
                    \n\
                    deb\n";
        assert_eq!(
            parse_one_line(text),
            [
                source("http://mirror.example/debian", &["bookworm"], None),
                source("https://x.example/", &["y"], Some("/k.gpg")),
            ]
        );
    }

    #[test]
    fn deb822_stanzas_are_read_with_several_values_and_continued_lines() {
        let text = "Types: deb deb-src\n\
                    # a comment within a stanza\n\
                    URIs: http://a.example/debian\n http://b.example/debian\n\
                    Suites: bookworm bookworm-updates\n\
                    Components: main\n\
                    Signed-By: /usr/share/keyrings/k.gpg\n\
                    \n\
                    Types: deb\nURIs: http://c.example/\nSuites: s\nEnabled: no\n\
                    \n\
                    types: deb\nuris: http://d.example/\nsuites: t\nSigned-By:\n -----BEGIN\n .\n";
        let suites = ["bookworm", "bookworm-updates"];
        let keyring = Some("/usr/share/keyrings/k.gpg");
        let sources = parse_deb822(text);
        assert_eq!(
            sources,
            [
                source("http://a.example/debian", &suites, keyring),
                source("http://b.example/debian", &suites, keyring),
                source("http://d.example/", &["t"], None),
            ]
        );
        assert_eq!(
            archive_of(&sources, "t").map(|found| found.uri.as_str()),
            Some("http://d.example/")
        );
        assert_eq!(archive_of(&sources, "book"), None);
    }
}
