//! Tests of `bpf_tools`, which the build script of auditwatch shares and could not run.

use std::path::Path;

use crate::bpf_tools::{Findings, Release, Version, source_version};

fn version(text: &str) -> Version {
    Version::parse(text).expect("a version")
}

/// A compiler that serves.
fn good() -> Findings {
    Findings {
        exists: true,
        release: Some(Release {
            rustc: version("1.96.0"),
            llvm: version("22.1.8"),
        }),
        cargo: Some(version("1.96.0")),
        has_source: true,
        source: Some(version("1.96.0")),
    }
}

fn refusal(findings: &Findings) -> String {
    findings
        .judge(version("1.95"))
        .expect_err("it does not serve")
}

#[test]
fn versions_are_read_and_compared_by_number() {
    assert_eq!(version("1.95"), version("1.95.0"));
    assert_eq!(version("1.97.0-nightly"), version("1.97.0"));
    assert_eq!(version("22."), version("22.0"));
    assert!(version("1.100.0") > version("1.95.9"));
    assert!(version("2") > version("1.99.99"));
    for text in ["", "x", "nightly-1.2", ".5", "99999999999.1"] {
        assert_eq!(Version::parse(text), None, "{text}");
    }
}

#[test]
fn a_version_is_found_in_what_a_program_prints() {
    for (text, expected) in [
        ("cargo 1.96.0 (1d4b5a3b2 2026-05-01)", "1.96.0"),
        ("bpf-linker 0.13.0\n", "0.13.0"),
        ("clippy 0.1.96 (59807616e1 2026-04-14)", "0.1.96"),
    ] {
        assert_eq!(Version::find(text), Some(version(expected)));
    }
    assert_eq!(Version::find("no version at all."), None);
}

#[test]
fn rustc_is_read_with_its_llvm() {
    let text = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\n\
        commit-hash: 59807616e1fa2540724bfbac14d7976d7e4a3860\nhost: x86_64-unknown-linux-gnu\n\
        release: 1.95.0\nLLVM version: 22.1.2\n";
    let release = Release::parse(text).expect("a release");
    assert_eq!(release.to_string(), "rustc 1.95.0 (LLVM 22.1.2)");
    assert_eq!(Release::parse("release: 1.95.0\n"), None);
}

#[test]
fn a_compiler_serves_if_it_is_new_enough_and_has_its_source() {
    assert_eq!(
        good().judge(version("1.95")).map(|release| release.rustc),
        Ok(version("1.96.0"))
    );
    // Rustup's library source does not tell its version.
    let of_rustup = Findings {
        source: None,
        ..good()
    };
    assert!(of_rustup.judge(version("1.96")).is_ok());
}

#[test]
fn an_old_compiler_is_refused_though_it_is_there() {
    let old = Findings {
        release: Some(Release {
            rustc: version("1.85.0"),
            llvm: version("19.1.7"),
        }),
        ..good()
    };
    assert_eq!(refusal(&old), "rustc 1.85.0 is older than 1.95.0");
}

#[test]
fn each_lack_has_its_own_reason() {
    let none = Findings::default();
    let broken = Findings {
        release: None,
        ..good()
    };
    let without_cargo = Findings {
        cargo: None,
        ..good()
    };
    let old_cargo = Findings {
        cargo: Some(version("1.85.1")),
        ..good()
    };
    let without_source = Findings {
        has_source: false,
        source: None,
        ..good()
    };
    let other_source = Findings {
        source: Some(version("1.85.0")),
        ..good()
    };
    for (findings, reason) in [
        (none, "there is no compiler"),
        (broken, "its rustc does not run"),
        (without_cargo, "it has no cargo that runs"),
        (old_cargo, "cargo 1.85.1 is older than 1.95.0"),
        (without_source, "rustc 1.96.0 has no library source"),
        (
            other_source,
            "its library source is that of 1.85.0, its rustc is 1.96.0",
        ),
    ] {
        assert_eq!(refusal(&findings), reason);
    }
}

#[test]
fn the_version_of_the_source_is_that_of_its_directory() {
    let path = Path::new("/usr/src/rustc-1.96.0/library/core/src/lib.rs");
    assert_eq!(source_version(path), Some(version("1.96.0")));
    let path = Path::new("/h/.rustup/toolchains/stable-x/lib/rustlib/src/rust/library/core");
    assert_eq!(source_version(path), None);
}
