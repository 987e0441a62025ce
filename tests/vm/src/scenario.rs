//! A scenario: a name, when it applies, and what to run; and the run over all of them.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::bpf_objects::BpfObjects;
use crate::lab::Lab;
use crate::netlink;
use crate::scenarios;
use crate::trial::{self, Evidence, Form, Trial};

/// Which scenarios are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pass {
    /// All for a host booted without `audit=`, as often and as large as their figures ask for.
    Whole,
    /// All of these, in a size that every change can be tested with.
    Full,
    /// The most telling ones.
    Short,
    /// Those for a host booted with `audit=1`.
    Audit1,
    /// Those for a host booted with `audit=0`.
    Audit0,
    /// Those that time something: for a guest whose clock counts instructions, so that the host's
    /// other work does not count.
    Clock,
}

/// How the host must have been booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    /// Without `audit=`.
    Plain,
    /// With `audit=1`.
    Audit1,
    /// With `audit=0`.
    Audit0,
    /// Without `audit=`, with a clock that counts instructions.
    Clock,
}

/// One scenario.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// How the host must have been booted.
    pub boot: Boot,
    /// Part of the short pass.
    pub short: bool,
    /// Run once more with kprobes.
    pub both: bool,
    /// Runs it.
    pub run: fn(&mut Scene<'_>) -> Result<()>,
}

impl Scenario {
    /// A scenario of the full pass.
    pub const fn new(name: &'static str, run: fn(&mut Scene<'_>) -> Result<()>) -> Self {
        Self {
            name,
            boot: Boot::Plain,
            short: false,
            both: false,
            run,
        }
    }

    /// Part of the short pass as well.
    pub const fn short(mut self) -> Self {
        self.short = true;
        self
    }

    /// Run with kprobes as well.
    pub const fn both(mut self) -> Self {
        self.both = true;
        self
    }

    /// For another boot.
    pub const fn boot(mut self, boot: Boot) -> Self {
        self.boot = boot;
        self
    }

    fn belongs(&self, pass: Pass) -> bool {
        match pass {
            Pass::Whole | Pass::Full => self.boot == Boot::Plain,
            Pass::Short => self.boot == Boot::Plain && self.short,
            Pass::Audit1 => self.boot == Boot::Audit1,
            Pass::Audit0 => self.boot == Boot::Audit0,
            Pass::Clock => self.boot == Boot::Clock,
        }
    }

    fn title(&self, form: Form) -> String {
        match form {
            Form::Auto => self.name.to_owned(),
            Form::Kprobe => format!("{}@kprobe", self.name),
        }
    }
}

/// What a running scenario has.
pub struct Scene<'a> {
    /// The guest.
    pub lab: &'a Lab,
    /// How auditwatch is to attach.
    pub form: Form,
    /// The pass, for those that do less in a short one.
    pub pass: Pass,
    /// Shown when the scenario fails.
    pub log: Vec<String>,
}

impl Scene<'_> {
    /// Runs a trial.
    pub fn trial(&mut self, trial: &Trial) -> Result<Evidence> {
        trial::run(self.lab, self.form, trial, &mut self.log)
    }
}

/// How often a scenario does what it does: as often as a longer run asks for by `VMTEST_ROUNDS`.
pub fn rounds(otherwise: u32) -> u32 {
    std::env::var("VMTEST_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

/// A scenario that does not apply here says why by this error.
#[derive(Debug)]
pub struct Skipped(pub String);

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

/// Names of all scenarios with their passes.
pub fn list() {
    for scenario in scenarios::all() {
        let mut notes = vec![match scenario.boot {
            Boot::Plain => "full",
            Boot::Clock => "clock",
            Boot::Audit1 => "audit1",
            Boot::Audit0 => "audit0",
        }];
        if scenario.short {
            notes.push("short");
        }
        if scenario.both {
            notes.push("also @kprobe");
        }
        println!("{:<34} {}", scenario.name, notes.join(", "));
    }
}

/// Runs a pass; whether all of it passed.
pub fn run(pass: Pass, filter: &str, auditwatch: &Path) -> Result<bool> {
    ensure!(auditwatch.exists(), "there is no {}", auditwatch.display());
    let mut lab = Lab::open(auditwatch)?;
    println!("# kernel {}, pass {pass:?}", lab.release);
    if pass != Pass::Audit0 {
        ensure!(
            lab.keeps_held == (pass == Pass::Audit1),
            "this pass needs a host booted {} audit=1",
            if pass == Pass::Audit1 {
                "with"
            } else {
                "without"
            }
        );
        lab.prepare()?;
    }
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for scenario in scenarios::all().iter().filter(|s| s.belongs(pass)) {
        for form in [Form::Auto, Form::Kprobe] {
            let title = scenario.title(form);
            if (form == Form::Kprobe && !scenario.both) || !title.contains(filter) {
                continue;
            }
            *match one(&lab, pass, scenario, form) {
                Outcome::Passed => &mut passed,
                Outcome::Failed => &mut failed,
                Outcome::Skipped => &mut skipped,
            } += 1;
        }
    }
    // Settings that a scenario has locked stay so until the guest ends.
    if pass != Pass::Audit0 && netlink::status()?.enabled != 2 {
        lab.clear().context("leaving the guest as it was")?;
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(failed == 0)
}

/// What came of a scenario.
enum Outcome {
    Passed,
    Failed,
    Skipped,
}

/// Runs one scenario and prints its line.
fn one(lab: &Lab, pass: Pass, scenario: &Scenario, form: Form) -> Outcome {
    let begin = Instant::now();
    let mut scene = Scene {
        lab,
        form,
        pass,
        log: Vec::new(),
    };
    let result = contained(&mut scene, scenario);
    let took = begin.elapsed().as_secs_f64();
    let title = scenario.title(form);
    match result {
        Ok(()) => {
            println!("ok {title} ({took:.1}s)");
            Outcome::Passed
        }
        Err(error) if error.is::<Skipped>() => {
            println!("skipped {title}: {error}");
            Outcome::Skipped
        }
        Err(error) => {
            println!("FAILED {title}: {error:#} ({took:.1}s)");
            for line in &scene.log {
                println!("  | {}", line.trim_end().replace('\n', "\n  | "));
            }
            if scenario.boot != Boot::Audit0 {
                println!("  | AUDIT_GET: {:?}", netlink::status());
            }
            Outcome::Failed
        }
    }
}

/// Runs it, and whatever came of it, nothing may be left behind.
fn contained(scene: &mut Scene<'_>, scenario: &Scenario) -> Result<()> {
    let before = BpfObjects::count()?;
    let result = (scenario.run)(scene);
    let left = scene.lab.nothing_left().and_then(|()| gone(before));
    result.and(left)
}

/// Waits until the kernel holds no more BPF objects than before: they go when the last task that
/// is inside of them has left.
pub fn gone(before: BpfObjects) -> Result<()> {
    let deadline = Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let now = BpfObjects::count()?;
        if now.programs <= before.programs && now.links <= before.links {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "left behind: {now:?}, before {before:?}"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
