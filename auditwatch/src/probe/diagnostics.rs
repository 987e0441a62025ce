//! What the programs say for themselves, in debug builds only: through aya-log
//! to stderr. A release build's programs have no such words.

use std::io::Write as _;

use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};

use super::object::Object;
use crate::untrusted::message;

/// The map that the library's macros write to.
const LOGS_MAP: &str = "AYA_LOGS";

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
            message(&record.args().to_string())
        );
    }

    fn flush(&self) {}
}

/// The programs' words, where they have any.
pub(super) struct Diagnostics {
    logger: Option<EbpfLogger<Stderr>>,
}

impl Diagnostics {
    /// Finds the log's map by a loaded program. A release build's object has none, and nothing is asked of the kernel.
    pub(super) fn new(object: &Object, program: &'static str) -> Self {
        let id = object
            .has_map(LOGS_MAP)
            .then(|| object.id(program))
            .flatten();
        Self {
            logger: id.and_then(|id| EbpfLogger::init_from_id_with_logger(id, Stderr).ok()),
        }
    }

    /// Writes what has been said since the last time.
    pub(super) fn flush(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }
}
