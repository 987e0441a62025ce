//! Storms in a guest whose clock counts instructions: a script comes in, what it printed goes out.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;

use crate::{
    cache::Cache,
    executables,
    guest::Guest,
    image::{Image, Overlay},
    kernels::Release,
    setup::{self, Part},
    vm,
};

/// What guests for storms are made of.
pub(super) struct Stage {
    cache: Cache,
    image: Image,
    programs: Vec<PathBuf>,
    kernel: Release,
    time_limit: Duration,
}

impl Stage {
    /// Sets up what is missing.
    pub(super) fn set(kernel: Release, time_limit: Duration) -> Result<Self> {
        let cache = Cache::open()?;
        let parts = [
            Part::EbpfCompiler,
            Part::Emulator,
            Part::GuestPackages,
            Part::Kernel(kernel),
        ];
        setup::ensure(&cache, &parts)?;
        Ok(Self {
            image: Image::get(&cache)?,
            programs: executables::for_guest()?,
            cache,
            kernel,
            time_limit,
        })
    }

    /// Runs a shell script in a guest in which nothing is left to chance, with these files in its /mnt; returns what it printed.
    pub(super) fn run(&self, script: &str, share: &[PathBuf]) -> Result<String> {
        let guest = Guest {
            icount: true,
            without_chance: true,
            time_limit: self.time_limit,
            ..Guest::new(self.kernel)
        };
        let command = ["sh", "-c", script].map(Into::into);
        let overlay = Overlay {
            programs: &self.programs,
            share,
            command: &command,
        };
        vm::output(&guest, &self.cache, &self.image, &overlay)
    }
}
