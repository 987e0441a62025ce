//! Rendering: intervals and summaries as text. In: values. Out: bytes. It must
//! not measure or decide anything.

#![forbid(unsafe_code)]

pub mod bench;
pub mod change;
pub mod comparison;
pub mod diagnosis;
pub mod doctor;
pub mod json;
pub mod live_table;
pub mod recommendation;
pub mod rescue;
pub mod rules_view;
pub mod status;
pub mod style;
pub mod summary;
mod talkers;
pub mod verdict;
mod wrap;
