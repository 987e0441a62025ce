//! `bench run`: a storm once, its trace beside the truth.

use std::process::ExitCode;

use anyhow::Result;

use super::{RunResult, Setup, play_with_progress, status, storm, style, write};
use crate::{cli::bench::RunArgs, live::recorder::Recorder, render};

pub(super) async fn run(args: &RunArgs) -> Result<ExitCode> {
    let mut storm = storm(&args.storm.storm)?;
    if let Some(limit) = args.limit {
        storm = storm.with_limit(limit);
    }
    if let Some(ms) = args.wait_time.or(args.wait_time_ms) {
        storm = storm.with_wait_time_ms(ms);
    }
    let recorder = args.record.as_deref().map(Recorder::create).transpose()?;
    let mut setup = Setup::set(&storm, args.storm.yes)?;
    let RunResult { report, recorded } =
        play_with_progress(&mut setup, &storm, &args.storm, recorder).await?;
    setup.restore()?;
    let text = render::bench::report(&report, style(&args.storm));
    write(&args.storm, &report, &text)?;
    recorded?;
    Ok(status(report.agrees))
}
