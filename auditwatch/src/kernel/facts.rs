//! TEMP by lead until helper's version lands.
use super::{btf::Btf, symbols::Symbols};
/// Facts.
#[derive(Debug)]
pub struct Facts {
    /// release
    pub release: String,
    /// hz
    pub hz: Option<u32>,
    /// cpus
    pub cpus: Option<u32>,
    /// btf
    pub btf: Option<Btf>,
    /// symbols
    pub symbols: Symbols,
    /// kprobes
    pub kprobes: Option<bool>,
}
impl Facts {
    /// gather
    /// # Errors
    /// never
    pub fn gather() -> std::io::Result<Self> {
        Ok(Self {
            release: std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            hz: None,
            cpus: None,
            btf: std::fs::read("/sys/kernel/btf/vmlinux").ok().and_then(|b| Btf::parse(&b).ok()),
            symbols: Symbols::parse(&std::fs::read("/proc/kallsyms").unwrap_or_default()),
            kprobes: None,
        })
    }
    /// x
    #[must_use]
    pub fn booted_with_audit(&self) -> Option<bool> { None }
}
