//! auditwatch: measures the kernel's audit backlog exactly.
//!
//! One way for data: probe -> wire types -> [`sample::Sample`] ->
//! [`trace::timeline::Timeline`] -> render. The modules in the middle are pure, and
//! shared by live runs, replays and tests; ARCHITECTURE.md has the picture.

pub mod auditd;
pub mod bench;
pub mod change;
pub mod cli;
pub mod commands;
pub mod diagnosis;
pub mod doctor;
pub mod files;
pub mod hooks;
pub mod kernel;
pub mod live;
pub mod netlink;
pub mod probe;
pub mod recommend;
pub mod render;
pub mod rescue;
pub mod rules;
pub mod sample;
pub mod status;
pub mod storm;
pub mod trace;
pub mod units;
pub mod untrusted;
