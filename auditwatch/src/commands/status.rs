//! TEMP
/// x
pub fn run(_json: bool) -> anyhow::Result<std::process::ExitCode> { anyhow::bail!("temp") }
