//! Tests of the command line: accepted and refused words.

use super::*;

fn trace(words: &[&str]) -> Result<TraceArgs, clap::Error> {
    let words = ["auditwatch", "trace"].iter().chain(words);
    match Cli::read(words.map(OsString::from))?.command {
        Command::Trace(args) => Ok(args),
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn command_line_is_consistent() {
    use clap::CommandFactory as _;
    Cli::command().debug_assert();
}

#[test]
fn options_after_the_command_are_its_own() {
    for words in [
        &["-d", "5s", "make", "-j8", "--json"][..],
        &["-d", "5s", "--", "make", "-j8", "--json"],
    ] {
        let args = trace(words).expect("it can be read");
        assert_eq!(args.command, ["make", "-j8", "--json"], "{words:?}");
        assert_eq!(args.duration, Some(Duration::from_secs(5)));
        assert!(!args.print.json);
    }
}

#[test]
fn unknown_option_before_the_command_is_an_error() {
    for words in [&["--durration", "5s"][..], &["-j8", "make"]] {
        assert!(trace(words).is_err(), "{words:?}");
    }
}

#[test]
fn dashes_without_a_command_are_an_error() {
    let error = trace(&["-d", "5s", "--"]).expect_err("there is no command");
    assert!(error.to_string().contains("COMMAND"), "{error}");
    assert!(trace(&["true", "--"]).is_ok_and(|args| args.command == ["true", "--"]));
    assert!(trace(&[]).is_ok_and(|args| args.command.is_empty()));
}

#[test]
fn case_of_a_name_does_not_matter() {
    let words = [
        "auditwatch",
        "recommend",
        "--policy",
        "CIS",
        "--format",
        "JSON",
    ];
    assert!(Cli::try_parse_from(words).is_ok());
}
