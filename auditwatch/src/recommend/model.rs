//! The model: what the queue would have done at another limit.
//!
//! In: [`evidence::Evidence`] of one trace. Out: demand in time, the consumer's pace, and replays of
//! the one against the other through both queues, for any limit. Pure; docs/recommendation.md has
//! the formulas.

pub mod demand;
pub mod evidence;
pub mod replay;
pub mod service;
