//! TEMP
/// status
#[derive(Clone, Debug, Default)]
pub struct AuditStatus { /// x
 pub enabled: u32, /// x
 pub failure: u32, /// x
 pub pid: u32, /// x
 pub rate_limit: u32, /// x
 pub backlog_limit: u32, /// x
 pub lost: u32, /// x
 pub backlog: u32, /// x
 pub backlog_wait_time_jiffies: Option<u32>, /// x
 pub backlog_wait_time_actual_jiffies: Option<u32> }
/// socket
#[derive(Debug)]
pub struct AuditSocket;
impl AuditSocket { /// open
 pub fn open() -> Result<Self, std::io::Error> { Err(std::io::Error::other("temp")) } /// st
 pub fn status(&mut self) -> Result<AuditStatus, std::io::Error> { Err(std::io::Error::other("temp")) } }
