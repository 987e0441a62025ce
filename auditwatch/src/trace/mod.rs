//! A trace: its ledger, its intervals and summary, its recording, and two of them compared. Pure.

#![forbid(unsafe_code)]

pub mod command_cost;
pub mod comparison;
pub mod ledger;
pub mod recording;
pub mod report;
pub mod talkers;
pub mod timeline;
