//! The running trace: where samples come from, where they go, and what is in force on the host.
//!
//! In: the probe, or polling; `/proc`; auditd's files. Out: intervals, a recording, a summary. It must not write to the
//! terminal.

pub(crate) mod consumer;
mod control_group;
pub(crate) mod host;
pub(crate) mod log;
pub(crate) mod poller;
pub(crate) mod recorder;
pub(crate) mod recording_file;
pub(crate) mod settings;
pub(crate) mod signals;
pub(crate) mod source;
pub(crate) mod status;
pub(crate) mod window;
