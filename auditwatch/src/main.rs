//! The auditwatch program: reads the command line, runs the command, and turns
//! its outcome into an exit status.

use std::{io::Write as _, process::ExitCode, time::Instant};

use auditwatch::{
    cli::{Cli, Command},
    commands,
};
fn main() -> ExitCode {
    let started = Instant::now();
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
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
        let _ = writeln!(std::io::stderr(), "auditwatch: {error:#}");
        ExitCode::FAILURE
    })
}
