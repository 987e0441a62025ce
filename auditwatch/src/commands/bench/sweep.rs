//! `bench sweep`: a storm at several limits.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Result;

use super::{RunResult, Setup, play_with_progress, status, storm, style, write};
use crate::{
    bench::ground_truth::Point,
    cli::{Format, bench::SweepArgs},
    render::bench::sweep,
};

pub(super) async fn run(args: &SweepArgs) -> Result<ExitCode> {
    let storm = storm(&args.storm.storm)?;
    let mut setup = Setup::set(&storm, args.storm.yes)?;
    let mut points = Vec::new();
    for &limit in &args.limits.0 {
        let storm = storm.clone().with_limit(limit);
        let RunResult { report, .. } =
            play_with_progress(&mut setup, &storm, &args.storm, None).await?;
        let point = Point::of(&report);
        match args.storm.print.format() {
            Format::Json => write(&args.storm, &point, "")?,
            Format::Table => {
                // It takes a while: each run shows that it is done.
                let _ = writeln!(io::stderr(), "auditwatch: limit {limit} done");
            }
        }
        points.push(point);
    }
    setup.restore()?;
    if args.storm.print.format() == Format::Table {
        write(&args.storm, &(), &sweep(&points, style(&args.storm)))?;
    }
    Ok(status(points.iter().all(|point| point.agrees)))
}
