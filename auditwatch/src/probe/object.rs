//! The object with all programs: its maps are made, and each of its programs is loaded when it is asked for.
//!
//! In: the object that `build.rs` left, and values for its globals. Out: maps, and programs in the kernel. It loads
//! nothing to find out what the kernel can do: each program that is loaded makes audit records. It must not decide
//! which form of a hook is taken: that is `attach`'s.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::CString,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use aya::maps::{Map, MapData};
use aya_obj::{
    EbpfSectionKind, Object as Parsed, ProgramSection,
    generated::{bpf_attach_type, bpf_insn, bpf_prog_type},
};

use super::{
    bpf::{self, Request},
    error::{ObjectError, ProbeError, ProgramError, refusal},
    globals::Globals,
};
use crate::{
    hooks::plan::Form,
    probe::load_guard::{LoadGuard, LoadRisk},
    sample::footprint::Footprint,
};

/// The object with all programs, built by `build.rs`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/auditwatch-ebpf"));

/// Maps and programs.
pub(super) struct Object {
    maps: BTreeMap<String, Map>,
    programs: BTreeMap<String, Program>,
    license: CString,
    guard: LoadGuard,
}

/// One program.
struct Program {
    kind: Kind,
    instructions: Vec<bpf_insn>,
    loaded: Option<Loaded>,
}

/// A program in the kernel, and all that keeps it attached.
struct Loaded {
    fd: OwnedFd,
    links: Vec<OwnedFd>,
}

/// How the kernel runs a program.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// At a function.
    Hook(Form),
    /// When it is asked to.
    OnDemand,
    /// So many times a second.
    Clock,
}

impl Kind {
    fn of(section: &ProgramSection) -> Option<Self> {
        Some(match section {
            ProgramSection::FEntry { .. } => Self::Hook(Form::Fentry),
            ProgramSection::FExit { .. } => Self::Hook(Form::Fexit),
            ProgramSection::KProbe => Self::Hook(Form::Kprobe),
            ProgramSection::KRetProbe => Self::Hook(Form::Kretprobe),
            ProgramSection::RawTracePoint => Self::OnDemand,
            ProgramSection::PerfEvent => Self::Clock,
            _ => return None,
        })
    }

    const fn program_type(self) -> bpf_prog_type {
        match self {
            Self::Hook(Form::Fentry | Form::Fexit) => bpf_prog_type::BPF_PROG_TYPE_TRACING,
            Self::Hook(Form::Kprobe | Form::Kretprobe) => bpf_prog_type::BPF_PROG_TYPE_KPROBE,
            Self::OnDemand => bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT,
            Self::Clock => bpf_prog_type::BPF_PROG_TYPE_PERF_EVENT,
        }
    }

    const fn attach_type(self) -> u32 {
        match self {
            Self::Hook(Form::Fentry) => bpf_attach_type::BPF_TRACE_FENTRY as u32,
            Self::Hook(Form::Fexit) => bpf_attach_type::BPF_TRACE_FEXIT as u32,
            _ => 0,
        }
    }
}

impl Object {
    /// Makes the maps, and points the programs to them. Nothing is loaded yet.
    pub(super) fn new(globals: &Globals, guard: LoadGuard) -> Result<Self, ProbeError> {
        if OBJECT.is_empty() {
            return Err(ProbeError::NoPrograms);
        }
        let mut parsed = Parsed::parse(OBJECT).map_err(ObjectError::from)?;
        let values = globals.values();
        let values: HashMap<&str, (&[u8], bool)> = values
            .iter()
            .map(|(name, value)| (*name, (value.as_slice(), true)))
            .collect();
        parsed.patch_map_data(values).map_err(ObjectError::from)?;
        let sizes = globals.map_sizes();
        let mut made = Vec::new();
        for (name, mut definition) in std::mem::take(&mut parsed.maps) {
            if let Some((_, size)) = sizes.iter().find(|(map, _)| *map == name) {
                definition.set_max_entries(*size);
            }
            let map = make_map(&name, &definition)?;
            made.push((name, map, definition));
        }
        let text: HashSet<usize> = parsed
            .functions
            .keys()
            .map(|&(section, _)| section)
            .collect();
        parsed
            .relocate_maps(
                made.iter().map(|(name, map, definition)| {
                    (name.as_str(), map.fd().as_fd().as_raw_fd(), definition)
                }),
                &text,
            )
            .map_err(ObjectError::from)?;
        parsed.relocate_calls(&text).map_err(ObjectError::from)?;
        let mut programs = BTreeMap::new();
        for (name, program) in &parsed.programs {
            if let (Some(kind), Some(function)) = (
                Kind::of(&program.section),
                parsed.functions.get(&program.function_key()),
            ) {
                let program = Program {
                    kind,
                    instructions: function.instructions.clone(),
                    loaded: None,
                };
                programs.insert(name.clone(), program);
            }
        }
        let mut maps = BTreeMap::new();
        for (name, map, _) in made {
            let map = Map::from_map_data(map).map_err(ObjectError::from)?;
            maps.insert(name, map);
        }
        Ok(Self {
            maps,
            programs,
            license: parsed.license,
            guard,
        })
    }

    /// Takes a map out.
    pub(super) fn take_map(&mut self, name: &str) -> Option<Map> {
        self.maps.remove(name)
    }

    /// Whether there is a map of this name that was not taken.
    pub(super) fn has_map(&self, name: &str) -> bool {
        self.maps.contains_key(name)
    }

    /// Loads a program, if it is not in the kernel already. `function` is the number of the hooked function in the
    /// kernel's BTF, for programs that need one.
    pub(super) fn load(&mut self, name: &'static str, function: u32) -> Result<(), ProgramError> {
        let program = self
            .programs
            .get_mut(name)
            .ok_or(ProgramError::Missing(name))?;
        if program.loaded.is_some() {
            return Ok(());
        }
        let before = self.guard.before_load().map_err(ProgramError::Risk)?;
        let fd = bpf::load(&Request {
            name,
            kind: program.kind.program_type() as u32,
            attach_type: program.kind.attach_type(),
            function,
            instructions: &program.instructions,
            license: &self.license,
        });
        self.guard.after_load(before, fd.is_ok());
        program.loaded = Some(Loaded {
            fd: fd?,
            links: Vec::new(),
        });
        Ok(())
    }

    /// Attaches a loaded program to a function, in the form that it was written for.
    pub(super) fn attach(
        &mut self,
        name: &'static str,
        function: &str,
    ) -> Result<(), ProgramError> {
        let (kind, loaded) = self.loaded_mut(name)?;
        let fd = loaded.fd.as_fd();
        let (call, link) = match kind {
            Kind::Hook(Form::Fentry | Form::Fexit) => {
                ("bpf_raw_tracepoint_open", bpf::attach_trampoline(fd))
            }
            Kind::Hook(form) => (
                "perf_event_open",
                bpf::attach_probe(fd, function, form == Form::Kretprobe),
            ),
            Kind::OnDemand | Kind::Clock => return Err(ProgramError::Missing(name)),
        };
        loaded
            .links
            .push(link.map_err(|source| ProgramError::Call { call, source })?);
        Ok(())
    }

    /// Has a loaded program run so many times a second on a CPU.
    pub(super) fn attach_clock(
        &mut self,
        name: &'static str,
        cpu: u32,
        per_second: u64,
    ) -> Result<(), ProgramError> {
        let (_, loaded) = self.loaded_mut(name)?;
        let link = bpf::attach_clock(loaded.fd.as_fd(), cpu, per_second).map_err(|source| {
            ProgramError::Call {
                call: "perf_event_open",
                source,
            }
        })?;
        loaded.links.push(link);
        Ok(())
    }

    /// Runs a loaded program once.
    pub(super) fn run(&self, name: &'static str, arguments: &[u64]) -> Result<(), ProgramError> {
        bpf::run(self.loaded(name)?.fd.as_fd(), arguments).map_err(|source| ProgramError::Call {
            call: "bpf_prog_test_run",
            source,
        })
    }

    /// Calls that a loaded program was skipped for since it was loaded. Before 5.12
    /// the kernel skips no trampoline and so has no counter: 0. Skipped probes are
    /// counted from 6.7 on; before, only the laws of the ledger show them.
    pub(super) fn misses(&self, name: &'static str) -> Result<u64, ProbeError> {
        let loaded = self.loaded(name).map_err(|source| ProbeError::Run {
            name,
            source: Box::new(source),
        })?;
        bpf::info(loaded.fd.as_fd())
            .map(|info| info.recursion_misses)
            .map_err(ProbeError::Info)
    }

    /// Number of a loaded program in the kernel.
    pub(super) fn id(&self, name: &'static str) -> Option<u32> {
        Some(bpf::info(self.loaded(name).ok()?.fd.as_fd()).ok()?.id)
    }

    /// Whether a program is a probe.
    pub(super) fn is_probe(&self, name: &str) -> bool {
        self.programs.get(name).is_some_and(|program| {
            matches!(program.kind, Kind::Hook(Form::Kprobe | Form::Kretprobe))
        })
    }

    /// Takes a program out of the kernel with all that attaches it, as soon as that cannot panic the host.
    pub(super) fn unload(&mut self, name: &str) {
        self.guard.wait_until_unloadable();
        self.take_out(name);
    }

    /// Waits until taking programs out cannot panic the host.
    pub(super) fn wait_until_unloadable(&mut self) {
        self.guard.wait_until_unloadable();
    }

    fn take_out(&mut self, name: &str) {
        if let Some(loaded) = self
            .programs
            .get_mut(name)
            .and_then(|program| program.loaded.take())
        {
            // Detaching takes its time and makes no record: the last close does.
            drop(loaded.links);
            let before = self.guard.before_unload();
            drop(loaded.fd);
            self.guard.after_unload(before);
        }
    }

    /// Whether all programs may be taken out now; the error is the reason why not.
    pub(super) fn may_unload(&mut self) -> Result<(), LoadRisk> {
        self.guard.may_unload()
    }

    /// From here on the programs count which of our own records are lost, or not.
    pub(super) fn set_witness(&mut self, in_place: bool) {
        self.guard.set_witness(in_place, 0);
    }

    /// Takes all programs out of the kernel, and says what that and loading them came to. `last` are the programs that
    /// count our own losses; `counted` tells their count, right before they are taken out.
    pub(super) fn unload_all(
        &mut self,
        last: &[&'static str],
        counted: impl FnOnce() -> u32,
    ) -> Footprint {
        let is_last = |name: &str| last.contains(&name);
        // All are detached first: what the kernel waits for between two of them delays nobody then.
        for (name, program) in &mut self.programs {
            if let Some(loaded) = program.loaded.as_mut().filter(|_| !is_last(name)) {
                loaded.links.clear();
            }
        }
        let names: Vec<String> = self.programs.keys().cloned().collect();
        for name in names.iter().filter(|name| !is_last(name)) {
            self.take_out(name);
        }
        self.guard.set_witness(false, counted());
        for name in last {
            self.take_out(name);
        }
        self.guard.footprint()
    }

    fn loaded(&self, name: &'static str) -> Result<&Loaded, ProgramError> {
        self.programs
            .get(name)
            .and_then(|program| program.loaded.as_ref())
            .ok_or(ProgramError::Missing(name))
    }

    fn loaded_mut(&mut self, name: &'static str) -> Result<(Kind, &mut Loaded), ProgramError> {
        self.programs
            .get_mut(name)
            .and_then(|program| Some((program.kind, program.loaded.as_mut()?)))
            .ok_or(ProgramError::Missing(name))
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // After an error; nothing is left to take out otherwise.
        self.wait_until_unloadable();
        self.unload_all(&[], || 0);
    }
}

fn make_map(name: &str, definition: &aya_obj::Map) -> Result<MapData, ProbeError> {
    let failed = |error| refusal(&error).unwrap_or_else(|| ObjectError::from(error).into());
    let map = MapData::create(definition.clone(), name, None).map_err(failed)?;
    let written = |source| {
        ProbeError::from(ObjectError::Values {
            map: name.to_owned(),
            source,
        })
    };
    if !definition.data().is_empty() {
        bpf::fill(map.fd().as_fd(), definition.data()).map_err(written)?;
    }
    if definition.section_kind() == EbpfSectionKind::Rodata {
        bpf::freeze(map.fd().as_fd()).map_err(written)?;
    }
    Ok(map)
}
