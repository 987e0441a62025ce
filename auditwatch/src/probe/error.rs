//! What can keep the probe from its work, each with the way out.

use std::io;

use aya::{maps::MapError, sys::SyscallError};
use thiserror::Error;

use crate::probe::load_guard::LoadRisk;

/// The probe could not be put in place, or could not be read.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// Built with `AYA_BUILD_SKIP=1`.
    #[error(
        "this auditwatch has no BPF programs: it was built with AYA_BUILD_SKIP; build it without that variable"
    )]
    NoPrograms,
    /// The kernel does not let this process use BPF at all.
    #[error("the kernel does not permit BPF: {cause}; {remedy}")]
    Refused {
        /// What the kernel said.
        cause: String,
        /// What would help.
        remedy: &'static str,
    },
    /// A hook that the counts rest on is not to be had.
    #[error("cannot attach to {function}, which every count needs: {cause}")]
    EssentialHook {
        /// The kernel function.
        function: String,
        /// Why not.
        cause: String,
    },
    /// The object could not be loaded.
    #[error("cannot prepare the BPF programs")]
    Load(#[from] ObjectError),
    /// Loading could panic the host.
    #[error(transparent)]
    Risk(#[from] LoadRisk),
    /// The object lacks something that it was built with.
    #[error("the BPF object has no {kind} {name}")]
    Missing {
        /// `map` or `program`.
        kind: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// A map could not be read or written.
    #[error("cannot access the map {name}")]
    Map {
        /// Its name.
        name: &'static str,
        /// What the kernel said.
        #[source]
        source: MapError,
    },
    /// A program could not be run on demand.
    #[error("cannot run the program {name}")]
    Run {
        /// Its name.
        name: &'static str,
        /// What the kernel said.
        #[source]
        source: Box<ProgramError>,
    },
    /// Facts about a loaded program could not be read.
    #[error("cannot read the properties of a loaded BPF program")]
    Info(#[source] io::Error),
}

/// Advice for a process that may not use BPF.
pub(super) const REFUSED_REMEDY: &str = "run as root (or with CAP_BPF, CAP_PERFMON and CAP_SYSLOG) \
    outside a container; `auditwatch doctor` shows the cause, and whether --source poll works";

/// The object could not be prepared.
#[derive(Debug, Error)]
pub enum ObjectError {
    /// It cannot be read.
    #[error(transparent)]
    Parse(#[from] aya_obj::ParseError),
    /// Its programs cannot be pointed to its maps.
    #[error(transparent)]
    Relocation(#[from] aya_obj::relocation::EbpfRelocationError),
    /// A map cannot be made.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The values of a map cannot be written.
    #[error("cannot initialize the map {map}")]
    Values {
        /// Its name.
        map: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// A program could not be loaded, attached or run.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// The kernel does not load it.
    #[error("load: {source}")]
    Load {
        /// What the kernel said.
        source: io::Error,
        /// The verifier's words.
        log: String,
    },
    /// Another call failed.
    #[error("{call}: {source}")]
    Call {
        /// Its name.
        call: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The object has no such program, or it is not loaded.
    #[error("the object has no loaded program {0}")]
    Missing(&'static str),
    /// The kernel has no type for the function.
    #[error("the kernel's BTF does not have the function {0}")]
    NoType(String),
    /// Loading it could panic the host.
    #[error(transparent)]
    Risk(LoadRisk),
}

/// A map that the kernel does not let this process make.
pub(super) fn refusal(error: &MapError) -> Option<ProbeError> {
    let (MapError::CreateError { io_error, .. }
    | MapError::SyscallError(SyscallError { io_error, .. })) = error
    else {
        return None;
    };
    matches!(io_error.raw_os_error(), Some(libc::EPERM | libc::EACCES)).then(|| {
        ProbeError::Refused {
            cause: format!("cannot create a map: {io_error}"),
            remedy: REFUSED_REMEDY,
        }
    })
}

/// Whether the kernel refused a program without looking at it: `EPERM` with an
/// empty verifier log, as hardened hosts and sandboxes do.
pub(super) fn is_refusal(error: &ProgramError) -> bool {
    matches!(
        error,
        ProgramError::Load { source, log }
            if source.raw_os_error() == Some(libc::EPERM) && log.trim().is_empty()
    )
}

/// Why a program is refused that reads the kernel's memory, and the way out.
const LOCKED_DOWN: &str = "the kernel does not let BPF programs read its memory (lockdown=confidentiality); boot with \
    lockdown=integrity, or use --source poll";

/// Whether the verifier does not know the helpers that read the kernel's memory. All kernels from 5.5 on have them: it is
/// lockdown that takes them away (`bpf_tracing_func_proto`).
fn misses_reads(complaint: &str) -> bool {
    // 5.10 and 6.1 say the first, 6.12 the second.
    complaint.contains("bpf_probe_read")
        && (complaint.contains("unknown func") || complaint.contains("cannot use helper"))
}

/// A program's failure in one line: the verifier's log is pages long, and its
/// last words say what it did not like.
pub(super) fn one_line(error: &ProgramError) -> String {
    let ProgramError::Load { source, log } = error else {
        return error.to_string();
    };
    let complaint = log.lines().rev().map(str::trim).find(|line| {
        !line.is_empty()
            && !line.starts_with("processed ")
            && !line.starts_with("insns processed ")
            && !line.starts_with("stack depth ")
            && !line.starts_with("verification time ")
            && !line.contains(" peak_states ")
    });
    match complaint {
        Some(complaint) if misses_reads(complaint) => LOCKED_DOWN.to_owned(),
        Some(complaint) => format!("load: {source}: {complaint}"),
        None => format!("load: {source}"),
    }
}

#[cfg(test)]
mod tests {
    use super::misses_reads;

    #[test]
    fn lockdown_is_distinguished_from_other_verifier_errors() {
        for complaint in [
            "unknown func bpf_probe_read#4",
            "unknown func bpf_probe_read_kernel#113",
            "program of this type cannot use helper bpf_probe_read_kernel#113",
        ] {
            assert!(misses_reads(complaint), "{complaint}");
        }
        for complaint in [
            "unknown func bpf_get_current_task_btf#158",
            "R1 type=scalar expected=fp, in bpf_probe_read_kernel",
            "invalid access to map value",
        ] {
            assert!(!misses_reads(complaint), "{complaint}");
        }
    }
}
