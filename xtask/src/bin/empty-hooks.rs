//! The floor of `cargo xtask bench overhead`, inside its guest: places in the kernel and a command come in; the command
//! runs while a program that does nothing hangs at each place.
//!
//! `empty-hooks PLACE... -- COMMAND [ARGUMENT...]`, where a place is `entry:FUNCTION` or `exit:FUNCTION`. Speaks to the kernel itself: what tracers bring along would be
//! measured with it, and not every one of them has this form of hook on every kernel.

use std::{
    env,
    error::Error,
    fs, io,
    os::fd::{FromRawFd as _, OwnedFd},
    process::{Command, ExitCode},
};

/// The kernel's own types.
const TYPES: &str = "/sys/kernel/btf/vmlinux";

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const BPF_PROG_TYPE_TRACING: u32 = 26;
const BPF_TRACE_FENTRY: u32 = 24;
const BPF_TRACE_FEXIT: u32 = 25;
/// `r0 = 0; exit`.
const EMPTY: [u64; 2] = [0xb7, 0x95];

const BTF_KIND_FUNC: u32 = 12;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let mut halves = words.splitn(2, |word| word == "--");
    let places = halves.next().unwrap_or_default();
    let (program, arguments) = halves
        .next()
        .and_then(<[String]>::split_first)
        .ok_or("usage: empty-hooks PLACE... -- COMMAND [ARGUMENT...]")?;
    raise_locked_memory()?;
    let types = fs::read(TYPES)?;
    let mut links = Vec::new();
    for place in places {
        let (form, function) = split(place)
            .ok_or_else(|| format!("{place} is no place: write entry:FUNCTION or exit:FUNCTION"))?;
        let id = function_id(&types, function)
            .ok_or_else(|| format!("the kernel's types have no function {function}"))?;
        let hook = attach(id, form).map_err(|error| format!("cannot hook {place}: {error}"))?;
        links.push(hook);
    }
    let status = Command::new(program).args(arguments).status()?;
    drop(links);
    Ok(ExitCode::from(u8::from(!status.success())))
}

/// The attach type and the function of a place.
fn split(place: &str) -> Option<(u32, &str)> {
    match place.split_once(':')? {
        ("entry", function) => Some((BPF_TRACE_FENTRY, function)),
        ("exit", function) => Some((BPF_TRACE_FEXIT, function)),
        _ => None,
    }
}

/// The number of the kernel's type that is the function `name`.
fn function_id(types: &[u8], name: &str) -> Option<u32> {
    let word = |at: usize| -> Option<u32> {
        let bytes = types.get(at..at.checked_add(4)?)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    };
    let header = word(4)? as usize;
    let mut at = header + word(8)? as usize;
    let end = at + word(12)? as usize;
    let names = header + word(16)? as usize;
    let mut id = 1;
    while at < end {
        let info = word(at + 4)?;
        let kind = info >> 24 & 0x1f;
        if kind == BTF_KIND_FUNC {
            let text = types.get(names + word(at)? as usize..)?;
            if text.starts_with(name.as_bytes()) && text.get(name.len()) == Some(&0) {
                return Some(id);
            }
        }
        at += 12 + payload(kind, (info & 0xffff) as usize)?;
        id += 1;
    }
    None
}

/// Bytes behind the head of a type of this kind with so many members (`btf_type`, uapi/linux/btf.h).
fn payload(kind: u32, members: usize) -> Option<usize> {
    Some(match kind {
        // Pointers, forward declarations, typedefs, qualifiers, functions, floats, type tags.
        2 | 7 | 8 | 9 | 10 | 11 | 12 | 16 | 18 => 0,
        // Integers, variables, declaration tags.
        1 | 14 | 17 => 4,
        // Arrays.
        3 => 12,
        // Structures, unions, data sections, enumerations of 64 bits.
        4 | 5 | 15 | 19 => 12 * members,
        // Enumerations, prototypes.
        6 | 13 => 8 * members,
        _ => return None,
    })
}

/// The fields of `union bpf_attr` for `BPF_PROG_LOAD` up to the last one that is needed.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// The same for `BPF_RAW_TRACEPOINT_OPEN`.
#[repr(C)]
#[derive(Default)]
struct Open {
    name: u64,
    prog_fd: u32,
    unused: u32,
}

/// Hangs a program that does nothing at a function, for as long as the result lives. `form` is an attach type.
fn attach(function: u32, form: u32) -> io::Result<[OwnedFd; 2]> {
    let load = Load {
        prog_type: BPF_PROG_TYPE_TRACING,
        insn_cnt: 2,
        insns: EMPTY.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        prog_name: *b"empty\0\0\0\0\0\0\0\0\0\0\0",
        expected_attach_type: form,
        attach_btf_id: function,
        ..Load::default()
    };
    let (program, number) = bpf(BPF_PROG_LOAD, &load)?;
    let open = Open {
        prog_fd: number,
        ..Open::default()
    };
    let (link, _) = bpf(BPF_RAW_TRACEPOINT_OPEN, &open)?;
    Ok([program, link])
}

/// Makes a call of bpf(2) that returns a file, given with its number.
fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<(OwnedFd, u32)> {
    let size = size_of::<T>();
    // SAFETY: the kernel reads `size` bytes of a live value, and what its pointers refer to are constants.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size) };
    let number = i32::try_from(result).unwrap_or(-1);
    let Ok(unsigned) = u32::try_from(number) else {
        return Err(io::Error::last_os_error());
    };
    // SAFETY: the kernel has just made this file for us, and nobody else knows it.
    let file = unsafe { OwnedFd::from_raw_fd(number) };
    Ok((file, unsigned))
}

/// Before 5.11 programs count as locked memory, of which the limit is low.
fn raise_locked_memory() -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the pointer is to a live value that the call only reads.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_side_of_a_function() {
        assert_eq!(split("entry:f"), Some((BPF_TRACE_FENTRY, "f")));
        assert_eq!(split("exit:f"), Some((BPF_TRACE_FEXIT, "f")));
        assert_eq!(split("f"), None);
        assert_eq!(split("both:f"), None);
    }

    #[test]
    fn function_is_distinguished_from_types_of_the_same_name() {
        // Names: "", "f", "fg"; types: int f, func fg, func f.
        let words: [u32; 16] = [
            0x0001_eb9f,
            24,
            0,
            40,
            40,
            6, // header
            1,
            1 << 24,
            4,
            32, // an integer
            3,
            12 << 24,
            0, // a function
            1,
            12 << 24,
            0, // another
        ];
        let mut types: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        types.extend(b"\0f\0fg\0");
        assert_eq!(function_id(&types, "fg"), Some(2));
        assert_eq!(function_id(&types, "f"), Some(3));
        assert_eq!(function_id(&types, "g"), None);
    }
}
