//! Whether the machine's own processor can run guests: a short trial boot goes in, a remembered answer comes out.
//!
//! `/dev/kvm` alone says little: within another virtual machine it may exist, and yet fail or hang at the first guest.

use std::{fs, fs::File, io, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    cache::Cache,
    guest::{Accelerator, Ending, Guest},
    image::{Image, Overlay},
    kernels::Release,
};

/// A guest boots in a second or two; one that takes longer is no gain over emulation.
const TRIAL_LIMIT: Duration = Duration::from_secs(20);

/// Decides how a guest's instructions are run, if its caller left that open.
pub(crate) fn decide(guest: &mut Guest, cache: &Cache, image: &Image) -> Result<()> {
    if guest.accelerator == Accelerator::Auto && !guest.icount {
        guest.accelerator = if is_usable(cache, image, guest.release)? {
            Accelerator::Kvm
        } else {
            Accelerator::Tcg
        };
    }
    Ok(())
}

/// Whether guests run on the machine's own processor; tried once per boot of the machine.
fn is_usable(cache: &Cache, image: &Image, release: Release) -> Result<bool> {
    if File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_err()
    {
        return Ok(false);
    }
    let boot =
        fs::read_to_string("/proc/sys/kernel/random/boot_id").context("cannot read the boot id")?;
    let _lock = cache.lock("kvm")?;
    let path = cache.path("kvm");
    let remembered = fs::read_to_string(&path).unwrap_or_default();
    if let Some((of_boot, answer)) = remembered.split_once(' ')
        && of_boot == boot.trim()
    {
        return Ok(answer.trim() == "usable");
    }
    let usable = trial(cache, image, release);
    if !usable {
        eprintln!("/dev/kvm does not run guests here: they are emulated");
    }
    let answer = if usable { "usable" } else { "unusable" };
    // Written in one call and read back as a whole: a torn answer does not match, and is tried again.
    fs::write(&path, format!("{} {answer}\n", boot.trim()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(usable)
}

fn trial(cache: &Cache, image: &Image, release: Release) -> bool {
    let guest = Guest {
        accelerator: Accelerator::Kvm,
        time_limit: TRIAL_LIMIT,
        ..Guest::new(release)
    };
    let overlay = Overlay {
        programs: &[],
        share: &[],
        command: &["true".into()],
    };
    let outcome = guest.run(cache, image, &overlay, &mut io::sink(), &mut io::sink());
    outcome.is_ok_and(|outcome| outcome.ending == Ending::Exited(0))
}
