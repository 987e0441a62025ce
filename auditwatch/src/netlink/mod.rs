//! Audit netlink: questions and rules go to the kernel as messages, settings and counters come back.
//!
//! Only [`control`] sets anything.

pub mod control;
pub mod poll;
pub mod question;
pub mod rule;
pub mod socket;
pub mod status;
