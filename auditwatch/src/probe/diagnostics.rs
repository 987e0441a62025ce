//! What the programs say for themselves, in debug builds only: through aya-log
//! to stderr. A release build's programs have no such words.

use std::io::Write as _;

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};

/// A log that writes to stderr, and whose failures are nobody's concern.
struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let _ = writeln!(
            std::io::stderr(),
            "auditwatch: probe: {}: {}",
            record.level(),
            record.args()
        );
    }

    fn flush(&self) {}
}

/// The programs' words, where they have any.
pub(super) struct Diagnostics {
    logger: Option<EbpfLogger<Stderr>>,
}

impl Diagnostics {
    /// Takes the log's map out of the object; a release build's has none.
    pub(super) fn new(ebpf: &mut Ebpf) -> Self {
        Self {
            logger: EbpfLogger::init_with_logger(ebpf, Stderr).ok(),
        }
    }

    /// Writes what has been said since the last time.
    pub(super) fn flush(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }
}
