//! The kernel's command line that a stopped host will boot with. In: a [`Root`]. Out: audit's options of it, and the
//! file that has them; nothing where no file is known that says so.
//!
//! Entries of the boot loader come first, since they are what it reads; then the files that they are made of.

use std::path::{Path, PathBuf};

use super::Known;
use crate::{files::root::Root, kernel::cmdline::AuditBoot, rules::file_names};

/// Directories of GRUB.
const GRUBS: [&str; 2] = ["/boot/grub2", "/boot/grub"];
/// Entries by the Boot Loader Specification.
const ENTRIES: [&str; 3] = [
    "/boot/loader/entries",
    "/boot/efi/loader/entries",
    "/efi/loader/entries",
];

/// What the next boot's kernel is given.
pub(super) fn of(root: &Root) -> Option<Known<AuditBoot>> {
    let environment = environment(root);
    entry(root, &environment)
        .or_else(|| grub_cfg(root, &environment))
        .or_else(|| extlinux(root))
        .or_else(|| kernel_install(root))
        .or_else(|| defaults(root))
}

fn text(root: &Root, path: &Path) -> Option<String> {
    let content = root.read(path).ok()?;
    Some(String::from_utf8_lossy(&content).into_owned())
}

fn known(line: &str, path: &Path) -> Known<AuditBoot> {
    Known {
        value: AuditBoot::parse(line),
        from: Some(path.display().to_string()),
    }
}

/// The variables of GRUB's environment block.
fn environment(root: &Root) -> Vec<(String, String)> {
    let blocks = GRUBS.map(|directory| Path::new(directory).join("grubenv"));
    let block = blocks
        .iter()
        .chain(&efi(root, "grubenv"))
        .find_map(|path| text(root, path));
    let block = block.unwrap_or_default();
    let pairs = block.lines().filter(|line| !line.starts_with('#'));
    pairs
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// A file of each distribution's directory on the EFI partition.
fn efi(root: &Root, name: &str) -> Vec<PathBuf> {
    let base = Path::new("/boot/efi/EFI");
    let directories = root.names(base).unwrap_or_default();
    directories
        .iter()
        .map(|directory| base.join(directory).join(name))
        .collect()
}

/// The line with `$name` and `${name}` replaced; what is not known is nothing.
fn expanded(line: &str, variables: &[(String, String)]) -> String {
    let mut parts = line.split('$');
    let mut done = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let braced = part.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let (name, rest) = braced.unwrap_or_else(|| {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            part.split_at(end.unwrap_or(part.len()))
        });
        let value = variables.iter().rfind(|(known, _)| known == name);
        done.push_str(value.map_or("", |(_, value)| value));
        done.push_str(rest);
    }
    done
}

/// The saved entry, else that of the newest kernel.
fn entry(root: &Root, environment: &[(String, String)]) -> Option<Known<AuditBoot>> {
    ENTRIES.iter().find_map(|directory| {
        let directory = Path::new(directory);
        let mut names: Vec<Vec<u8>> = root
            .names(directory)
            .ok()?
            .iter()
            .map(|name| name.as_encoded_bytes().to_vec())
            .filter(|name| {
                name.ends_with(b".conf") && memchr::memmem::find(name, b"rescue").is_none()
            })
            .collect();
        names.sort_by(|one, other| file_names::by_version(one, other));
        let saved = environment.iter().find(|(name, _)| name == "saved_entry");
        let is_saved = |name: &&Vec<u8>| {
            saved.is_some_and(|(_, entry)| name.strip_suffix(b".conf") == Some(entry.as_bytes()))
        };
        let name = names.iter().find(is_saved).or_else(|| names.last())?;
        let path = directory.join(String::from_utf8_lossy(name).into_owned());
        let text = text(root, &path)?;
        let options: Vec<String> = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("options"))
            .filter(|rest| rest.starts_with([' ', '\t']))
            .map(|rest| expanded(rest, environment))
            .collect();
        Some(known(&options.join(" "), &path))
    })
}

/// The first entry of GRUB's menu that boots a kernel.
fn grub_cfg(root: &Root, environment: &[(String, String)]) -> Option<Known<AuditBoot>> {
    let paths = GRUBS.map(|directory| Path::new(directory).join("grub.cfg"));
    paths
        .into_iter()
        .chain(efi(root, "grub.cfg"))
        .find_map(|path| {
            let text = text(root, &path)?;
            let line = text.lines().map(str::trim_start).find(|line| {
                let word = line.split_whitespace().next();
                ["linux", "linuxefi", "linux16"]
                    .iter()
                    .any(|known| word == Some(known))
            })?;
            Some(known(&expanded(line, environment), &path))
        })
}

fn extlinux(root: &Root) -> Option<Known<AuditBoot>> {
    let paths = [
        "/boot/extlinux/extlinux.conf",
        "/boot/extlinux.conf",
        "/boot/syslinux/syslinux.cfg",
    ];
    paths.into_iter().map(Path::new).find_map(|path| {
        let text = text(root, path)?;
        let line = text.lines().map(str::trim_start).find_map(|line| {
            line.strip_prefix("append ")
                .or_else(|| line.strip_prefix("APPEND "))
        })?;
        Some(known(line, path))
    })
}

/// The command line of systemd's kernel-install, which unified kernel images get.
fn kernel_install(root: &Root) -> Option<Known<AuditBoot>> {
    ["/etc/kernel/cmdline", "/usr/lib/kernel/cmdline"]
        .into_iter()
        .map(Path::new)
        .find_map(|path| Some(known(&text(root, path)?, path)))
}

/// The settings that grub-mkconfig makes a menu of, with those of grub.d behind them.
fn defaults(root: &Root) -> Option<Known<AuditBoot>> {
    let main = Path::new("/etc/default/grub").to_owned();
    let directory = Path::new("/etc/default/grub.d");
    let mut more: Vec<PathBuf> = root
        .names(directory)
        .unwrap_or_default()
        .iter()
        .map(|name| directory.join(name))
        .filter(|path| path.extension().is_some_and(|end| end == "cfg"))
        .collect();
    more.sort();
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut last = None;
    for path in [main].into_iter().chain(more) {
        let Some(text) = text(root, &path) else {
            continue;
        };
        for line in text.lines() {
            let line = line.trim();
            let Some((name, value)) = line.strip_prefix("export ").unwrap_or(line).split_once('=')
            else {
                continue;
            };
            // A quotation mark in the middle ends nothing that matters here.
            let value = expanded(&value.replace(['"', '\''], ""), &variables);
            let (name, value) = match name.strip_suffix('+') {
                Some(name) => {
                    let before = variables.iter().rfind(|(known, _)| known == name);
                    (
                        name,
                        format!("{}{value}", before.map_or("", |(_, value)| value)),
                    )
                }
                None => (name, value),
            };
            if ["GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"].contains(&name) {
                last = Some(path.clone());
            }
            variables.push((name.to_owned(), value));
        }
    }
    let value = |name: &str| {
        let found = variables.iter().rfind(|(known, _)| known == name);
        found.map_or("", |(_, value)| value).to_owned()
    };
    let line = format!(
        "{} {}",
        value("GRUB_CMDLINE_LINUX"),
        value("GRUB_CMDLINE_LINUX_DEFAULT")
    );
    Some(known(&line, &last?))
}
