//! Benchmark runs: storms, their consumers, and the host as it was before.
//!
//! In: a storm. Out: what the producers did and what the consumer received, which is
//! the truth that a trace is held against. Producers and consumer are processes of
//! their own, so that the trace counts them like anybody else. It must leave the
//! host's audit settings as they were, also when it is killed: see `keeper`.

pub mod board;
pub mod changes;
pub mod child;
pub mod consumer;
pub mod directory;
pub mod ground_truth;
pub mod journal;
pub mod keeper;
pub mod lock;
pub mod producers;
pub mod programs;
pub mod restore;
pub mod search;
pub mod sink;
pub mod work;
