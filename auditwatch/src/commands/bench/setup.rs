//! The setup: a host that is ready for storms, and put back as it was after them.
//!
//! In: the storm's consumer and the user's consent. Out: a keeper that knows what
//! was changed. It must refuse a host where a storm could do harm, before anything
//! is changed.

use anyhow::{Result, bail, ensure};

use crate::{
    bench::{
        changes::Settings,
        child::ChildId,
        consumer,
        directory::{Directory, working_name},
        keeper::Keeper,
        lock::Lock,
    },
    kernel::{cmdline::AuditBoot, facts::Facts},
    netlink::{
        control::{self, Setting},
        socket::AuditSocket,
        status::AuditStatus,
    },
    storm::{ConsumerKind, Storm},
};

/// A host that is ready.
pub(super) struct Setup {
    pub(super) keeper: Keeper,
    pub(super) socket: AuditSocket,
    /// The auditd that lives here and takes the storm's records.
    pub(super) host_auditd: Option<u32>,
    /// For the files of producers and consumer.
    pub(super) directory: Directory,
    pub(super) facts: Facts,
}

impl Setup {
    /// Makes the host ready.
    pub(super) fn set(storm: &Storm, yes: bool) -> Result<Self> {
        ensure_root()?;
        let facts = Facts::gather();
        AuditBoot::ensure_on(facts.boot.as_ref())?;
        let lock = Lock::take()?;
        let mut socket = AuditSocket::open()?;
        refuse(&socket.status()?)?;
        let mut keeper = Keeper::start(lock)?;
        // What an earlier bench left behind may have been restored just now.
        let status = socket.status()?;
        refuse(&status)?;
        let directory = working_directory(&mut keeper)?;
        let mut setup = Self {
            keeper,
            socket,
            host_auditd: None,
            directory,
            facts,
        };
        setup.prepare(storm, &status, yes)?;
        Ok(setup)
    }

    fn prepare(&mut self, storm: &Storm, status: &AuditStatus, yes: bool) -> Result<()> {
        let lives = (status.pid != 0 && ChildId::of(status.pid).is_some()).then_some(status.pid);
        let stays = storm.consumer.kind == ConsumerKind::Auditd && storm.consumer.conf.is_empty();
        if let Some(pid) = lives {
            ensure!(
                yes,
                "refused: auditd is running (pid {pid}){}; add --yes to run the storm anyway",
                if stays {
                    ", and would write the storm's records to its log"
                } else {
                    ". It would be stopped during the storm, so this host's events would not be logged; it is \
                     started again afterwards"
                }
            );
        }
        self.keeper
            .announce(|changes| changes.settings = Some(Settings::of(status)))?;
        match lives {
            Some(pid) if stays => self.host_auditd = Some(pid),
            Some(pid) => consumer::dismiss(pid, &mut self.keeper)?,
            None => {}
        }
        // Processes that begin before audit was ever on have no audit context.
        if status.enabled == 0 {
            control::set(&mut self.socket, Setting::Enabled(1))?;
        }
        Ok(())
    }

    /// Puts the host back as it was.
    pub(super) fn restore(self) -> Result<()> {
        self.keeper.restore()
    }
}

/// Refuses to go on without the rights that it takes.
pub(super) fn ensure_root() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "bench changes audit settings and rules, which needs root; run it with sudo"
    );
    Ok(())
}

/// Makes the directory for the files of this bench, after the keeper knows of it.
fn working_directory(keeper: &mut Keeper) -> Result<Directory> {
    let state = Directory::state()?;
    loop {
        let name = working_name();
        keeper.announce(|changes| changes.directories = vec![state.path().join(&name)])?;
        if let Some(directory) = state.make(&name)? {
            return Ok(directory);
        }
    }
}

/// Refuses a host that a storm could harm, or that cannot be put back.
fn refuse(status: &AuditStatus) -> Result<()> {
    match (status.failure, status.enabled) {
        (2, _) => bail!(
            "refused: storms lose records, and a lost record panics this host (auditctl -f 2); set -f 1 first"
        ),
        (_, 2) => bail!(
            "refused: the audit settings are locked until reboot (auditctl -e 2), so a storm cannot set or \
             restore them; remove -e 2 from the rules and reboot"
        ),
        _ => Ok(()),
    }
}
