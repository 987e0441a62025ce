//! The commands: each reads options, wires the modules together, and writes.

pub mod doctor;
pub mod status;
pub mod trace;
