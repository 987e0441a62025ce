//! Tasks that sleep in the audit code: where they are, and whether anything will wake them.

#![forbid(unsafe_code)]

pub mod report;
pub mod sleepers;
pub mod tasks;
