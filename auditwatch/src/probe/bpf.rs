//! The system calls that load, attach, run and describe programs.
//!
//! In: instructions, and the descriptors of programs. Out: descriptors; what one names stays in the kernel for as long
//! as it is open. It must not choose what is loaded or when: each load and each last close makes an audit record.

use std::{
    ffi::{CStr, CString},
    fs, io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_insn, bpf_prog_info, perf_event_attr};

use super::error::ProgramError;

/// Longest name that the kernel keeps, bytes (`BPF_OBJ_NAME_LEN` less its end).
const NAME_BYTES: usize = 15;
/// Room for the verifier's words, bytes; only what is written becomes memory.
const LOG_BYTES: usize = 16 << 20;
/// A signal makes the verifier give up with `EAGAIN`; so often it is asked again.
const TRIES: u32 = 5;
/// `PERF_EVENT_IOC_SET_BPF` and `PERF_EVENT_IOC_ENABLE` (uapi).
const SET_BPF: libc::c_ulong = 0x4004_2408;
const ENABLE: libc::c_ulong = 0x2400;
/// `PERF_FLAG_FD_CLOEXEC` (uapi).
const CLOSE_ON_EXEC: libc::c_ulong = 8;
/// `PERF_TYPE_SOFTWARE` and `PERF_COUNT_SW_CPU_CLOCK` (uapi).
const SOFTWARE: u32 = 1;
const CPU_CLOCK: u64 = 0;
/// The kernel's event source for probes, since 4.17.
const KPROBES: &str = "/sys/bus/event_source/devices/kprobe";

/// A program to load.
pub(super) struct Request<'a> {
    /// Its name in the kernel.
    pub(super) name: &'a str,
    /// `BPF_PROG_TYPE_*`.
    pub(super) kind: u32,
    /// `BPF_TRACE_FENTRY` or `BPF_TRACE_FEXIT`, 0 for others.
    pub(super) attach_type: u32,
    /// Number of the hooked function in the kernel's BTF, 0 for programs that need none.
    pub(super) function: u32,
    /// Its instructions, which name maps by descriptor.
    pub(super) instructions: &'a [bpf_insn],
    /// Its licence.
    pub(super) license: &'a CStr,
}

/// Loads a program.
pub(super) fn load(request: &Request<'_>) -> Result<OwnedFd, ProgramError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match try_load(request, &mut []) {
            Ok(fd) => return Ok(fd),
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && tries < TRIES => {}
            Err(_) => break,
        }
    }
    // Once more, with a place for the verifier's reasons; what fails makes no record.
    let mut log = vec![0; LOG_BYTES];
    try_load(request, &mut log).map_err(|source| {
        let length = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
        ProgramError::Load {
            source,
            log: String::from_utf8_lossy(log.get(..length).unwrap_or_default()).into_owned(),
        }
    })
}

fn try_load(request: &Request<'_>, log: &mut [u8]) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    // SAFETY: the fields of the union are integers, for which any value is valid.
    let fields = unsafe { &mut attr.__bindgen_anon_3 };
    for (to, from) in fields
        .prog_name
        .iter_mut()
        .zip(request.name.bytes().take(NAME_BYTES))
    {
        *to = from.cast_signed();
    }
    fields.prog_type = request.kind;
    fields.expected_attach_type = request.attach_type;
    fields.attach_btf_id = request.function;
    fields.insns = request.instructions.as_ptr().expose_provenance() as u64;
    fields.insn_cnt = u32::try_from(request.instructions.len()).unwrap_or(u32::MAX);
    fields.license = request.license.as_ptr().expose_provenance() as u64;
    if !log.is_empty() {
        fields.log_level = 1;
        fields.log_buf = log.as_mut_ptr().expose_provenance() as u64;
        fields.log_size = u32::try_from(log.len()).unwrap_or(u32::MAX);
    }
    descriptor(bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr)?)
}

/// Attaches a loaded trampoline to the function that it was loaded for.
pub(super) fn attach_trampoline(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    // A program for a trampoline has no tracepoint's name.
    attr.raw_tracepoint.prog_fd = number(program);
    descriptor(bpf(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr)?)
}

/// Attaches a loaded probe to the beginning or the return of a function.
pub(super) fn attach_probe(
    program: BorrowedFd<'_>,
    function: &str,
    at_return: bool,
) -> io::Result<OwnedFd> {
    let name = CString::new(function).map_err(io::Error::other)?;
    let mut event = event();
    event.type_ = probe_type()?;
    if at_return {
        event.config = 1 << return_bit()?;
    }
    event.__bindgen_anon_3.config1 = name.as_ptr().expose_provenance() as u64;
    attach_event(program, &event, 0)
}

/// Runs a loaded program so many times a second on one CPU.
pub(super) fn attach_clock(
    program: BorrowedFd<'_>,
    cpu: u32,
    per_second: u64,
) -> io::Result<OwnedFd> {
    let mut event = event();
    event.type_ = SOFTWARE;
    event.config = CPU_CLOCK;
    event.__bindgen_anon_1.sample_freq = per_second;
    event.set_freq(1);
    attach_event(
        program,
        &event,
        i32::try_from(cpu).map_err(io::Error::other)?,
    )
}

/// Runs a loaded raw tracepoint program once, with these arguments.
pub(super) fn run(program: BorrowedFd<'_>, arguments: &[u64]) -> io::Result<()> {
    let mut attr = zeroed();
    attr.test.prog_fd = number(program);
    attr.test.ctx_in = arguments.as_ptr().expose_provenance() as u64;
    attr.test.ctx_size_in = u32::try_from(size_of_val(arguments)).unwrap_or(u32::MAX);
    bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr).map(drop)
}

/// What the kernel says of a loaded program.
pub(super) fn info(program: BorrowedFd<'_>) -> io::Result<bpf_prog_info> {
    // SAFETY: the structure is plain integers, for which zeroes are valid.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    let mut attr = zeroed();
    attr.info.bpf_fd = number(program);
    attr.info.info_len = u32::try_from(size_of::<bpf_prog_info>()).unwrap_or(u32::MAX);
    attr.info.info = (&raw mut info).expose_provenance() as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}

/// Writes the only value of a map that holds variables.
pub(super) fn fill(map: BorrowedFd<'_>, value: &[u8]) -> io::Result<()> {
    let key = 0_u32;
    let mut attr = zeroed();
    // SAFETY: the fields of the union are integers, for which any value is valid.
    let fields = unsafe { &mut attr.__bindgen_anon_2 };
    fields.map_fd = number(map);
    fields.key = (&raw const key).expose_provenance() as u64;
    fields.__bindgen_anon_1.value = value.as_ptr().expose_provenance() as u64;
    bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr).map(drop)
}

/// Makes a map's values constants.
pub(super) fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = zeroed();
    // SAFETY: the field of the union is an integer, for which any value is valid.
    let fields = unsafe { &mut attr.__bindgen_anon_2 };
    fields.map_fd = number(map);
    bpf(bpf_cmd::BPF_MAP_FREEZE, &mut attr).map(drop)
}

fn attach_event(program: BorrowedFd<'_>, event: &perf_event_attr, cpu: i32) -> io::Result<OwnedFd> {
    const EVERY_PROCESS: libc::pid_t = -1;
    const NO_GROUP: libc::c_int = -1;
    // SAFETY: the kernel reads `event`, whose size is in it, and the text that it points to, during the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const *event,
            EVERY_PROCESS,
            cpu,
            NO_GROUP,
            CLOSE_ON_EXEC,
        )
    };
    let event = descriptor(result(fd)?)?;
    control(&event, SET_BPF, program.as_raw_fd())?;
    control(&event, ENABLE, 0)?;
    Ok(event)
}

fn control(event: &OwnedFd, request: libc::c_ulong, argument: RawFd) -> io::Result<()> {
    // SAFETY: these requests take a number, and write no memory of ours.
    let done = unsafe { libc::ioctl(event.as_raw_fd(), request, argument) };
    result(done.into()).map(drop)
}

fn event() -> perf_event_attr {
    // SAFETY: the structure is plain integers, for which zeroes are valid.
    let mut event: perf_event_attr = unsafe { std::mem::zeroed() };
    event.size = u32::try_from(size_of::<perf_event_attr>()).unwrap_or(u32::MAX);
    event
}

fn probe_type() -> io::Result<u32> {
    let path = format!("{KPROBES}/type");
    let text = fs::read_to_string(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
    text.trim()
        .parse()
        .map_err(|_| io::Error::other(format!("{path}: cannot parse {text:?}")))
}

/// `config:0`: the bit that asks for the function's return.
fn return_bit() -> io::Result<u32> {
    let path = format!("{KPROBES}/format/retprobe");
    let text = fs::read_to_string(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
    text.trim()
        .strip_prefix("config:")
        .and_then(|bit| bit.parse().ok())
        .filter(|&bit: &u32| bit < u64::BITS)
        .ok_or_else(|| io::Error::other(format!("{path}: cannot parse {text:?}")))
}

fn zeroed() -> bpf_attr {
    // SAFETY: the union is plain integers, for which zeroes are valid.
    unsafe { std::mem::zeroed() }
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i64> {
    // SAFETY: the kernel reads `attr`, of the size given, and reads and writes what it points to; all of that lives
    // beyond the call.
    result(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            &raw mut *attr,
            size_of::<bpf_attr>(),
        )
    })
}

fn result(returned: i64) -> io::Result<i64> {
    if returned < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(returned)
    }
}

fn descriptor(returned: i64) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(returned).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
