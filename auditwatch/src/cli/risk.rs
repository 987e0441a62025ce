//! Options of commands that load BPF programs, which can be dangerous on some hosts.

use clap::Args;

use super::OutputArgs;

/// Risks that a command may take to load BPF programs.
#[derive(Clone, Copy, Debug, Args)]
pub struct RiskArgs {
    /// Load BPF programs even if this can panic the host
    ///
    /// Loading them makes audit records. In failure mode 2 (auditctl -f 2), the kernel panics if the queue is full
    /// and one of these records is dropped.
    #[arg(long)]
    pub accept_panic_risk: bool,
}

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Risks that the check may take
    #[command(flatten)]
    pub risk: RiskArgs,
    /// How it is printed
    #[command(flatten)]
    pub output: OutputArgs,
}
