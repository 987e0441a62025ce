//! The auditwatch program: reads the command line, runs the command, and turns
//! its outcome into an exit status.

use std::{io::Write as _, process::ExitCode, time::Instant};

use auditwatch::{
    cli::{Cli, Command},
    commands,
    untrusted::{Untrusted, is_hidden, message},
};
fn main() -> ExitCode {
    let started = Instant::now();
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return wrong_words(&error),
    };
    let changes_nothing = cli.command.changes_nothing();
    let outcome = match cli.command {
        Command::Trace(args) => commands::trace::run(&args, started),
        Command::Replay(args) => commands::replay::run(&args),
        Command::Compare(args) => commands::compare::run(&args),
        Command::Diagnose(args) => commands::diagnose::run(&args),
        Command::Bench(command) => commands::bench::run(&command),
        Command::Recommend(args) => commands::recommend::run(&args),
        Command::Apply(args) => commands::apply::run(&args),
        Command::Undo(args) => commands::undo::run(&args),
        Command::History(args) => commands::history::run(&args),
        Command::Rescue(args) => commands::rescue::run(&args),
        Command::Status(args) if args.files => commands::rules_view::run(&args),
        Command::Status(args) => commands::status::run(args.output.wants_json()),
        Command::Doctor(args) => commands::doctor::run(&args),
        Command::Completions(args) => commands::help_files::completions(&args),
        Command::Man(args) => commands::help_files::man(&args),
    };
    outcome.unwrap_or_else(|error| {
        // Whoever closed the output, as `head` does, has read enough.
        if changes_nothing && commands::is_closed_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        // A closed stderr is no reason to panic on the way out.
        let _ = writeln!(
            std::io::stderr(),
            "auditwatch: {}",
            message(&format!("{error:#}"))
        );
        ExitCode::FAILURE
    })
}

/// What the parser has to say of the command line. A word of it may be the name of a file that somebody
/// else chose (`auditwatch replay *`); then it is shown escaped, and without the parser's colours.
fn wrong_words(error: &clap::Error) -> ExitCode {
    let is_hostile =
        std::env::args_os().any(|word| Untrusted::from_os(word).as_raw().contains(is_hidden));
    if !error.use_stderr() || !is_hostile {
        error.exit();
    }
    let _ = writeln!(std::io::stderr(), "{}", message(&error.to_string()));
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
