//! A change of the settings: what speaks against it, what was done, how it is taken back, what came of it.
//!
//! It plans, records and judges. Only `netlink::control` and the commands carry a plan out.

#![forbid(unsafe_code)]

pub mod journal;
pub mod journal_file;
pub mod manual_steps;
pub mod preflight;
pub mod regression;
pub mod report;
pub mod revert;
pub mod writers;
