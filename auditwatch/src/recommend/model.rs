//! The model: what the queue would have done at another limit.
//!
//! In: [`evidence::Evidence`] of one trace. Out: demand in time, the consumer's pace, whether the two explain what was
//! measured, and replays of
//! the one against the other through both queues, for any limit. Pure; docs/recommendation.md has
//! the formulas.

pub mod demand;
pub mod evidence;
pub mod fit;
pub mod replay;
pub mod service;
