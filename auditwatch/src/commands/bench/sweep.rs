//! `bench sweep`: a storm at several limits.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Result;

use super::{Played, Stage, play_with_progress, status, storm, style, write};
use crate::{
    cli::{Format, bench::SweepArgs},
    render::bench::sweep,
    truth::Point,
};

pub(super) async fn run(args: &SweepArgs) -> Result<ExitCode> {
    let storm = storm(&args.storm.storm)?;
    let mut stage = Stage::set(&storm, args.storm.yes)?;
    let mut points = Vec::new();
    for &limit in &args.limits.0 {
        let storm = storm.clone().with_limit(limit);
        let Played { report, .. } =
            play_with_progress(&mut stage, &storm, &args.storm, None).await?;
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
    stage.strike()?;
    if args.storm.print.format() == Format::Table {
        write(&args.storm, &(), &sweep(&points, style(&args.storm)))?;
    }
    Ok(status(points.iter().all(|point| point.agrees)))
}
