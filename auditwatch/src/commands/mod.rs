//! The commands: each reads options, wires the modules together, and writes.

pub mod doctor;
pub mod status;
pub mod trace;

use anyhow::{Result, ensure};

use crate::kernel::facts::Facts;

/// Ends a command early on a host that makes no records at all.
fn ensure_audit(facts: &Facts) -> Result<()> {
    ensure!(
        !facts.boot.as_ref().is_some_and(|boot| boot.off),
        "auditing is off until reboot: the kernel was booted with audit=0; remove that from its command \
         line and reboot"
    );
    Ok(())
}
