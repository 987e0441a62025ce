//! The stage: a host that is ready for storms, and put back as it was after them.
//!
//! In: the storm's consumer and the user's consent. Out: a keeper that knows what
//! was changed. It must refuse a host where a storm could do harm, before anything
//! is changed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    audit_status::AuditStatus,
    bench::{changes::Settings, child::ChildId, consumer, keeper::Keeper},
    control::{self, Setting},
    kernel::facts::Facts,
    netlink::AuditSocket,
    storm::{ConsumerKind, Storm},
};

/// Files of a bench: on a disk where the host has one, since auditd's logs go there.
const FILES: &str = "/var/tmp";

/// A host that is ready.
pub(super) struct Stage {
    pub(super) keeper: Keeper,
    pub(super) socket: AuditSocket,
    /// The auditd that lives here and takes the storm's records.
    pub(super) host_auditd: Option<u32>,
    /// For the files of producers and consumer.
    pub(super) directory: PathBuf,
    pub(super) facts: Facts,
}

impl Stage {
    /// Makes the host ready.
    pub(super) fn set(storm: &Storm, yes: bool) -> Result<Self> {
        // SAFETY: takes no numbers.
        let user = unsafe { libc::geteuid() };
        ensure!(
            user == 0,
            "a storm changes audit settings and rules, which takes root: run it by sudo"
        );
        let facts = Facts::gather();
        super::super::ensure_audit(&facts)?;
        let mut socket = AuditSocket::open()?;
        let status = socket.status()?;
        let keeper = {
            refuse(&status)?;
            Keeper::start()?
        };
        // What an earlier bench left behind may have been restored just now.
        let status = socket.status()?;
        refuse(&status)?;
        let mut stage = Self {
            keeper,
            socket,
            host_auditd: None,
            directory: Path::new(FILES).join(format!("auditwatch-bench-{}", std::process::id())),
            facts,
        };
        stage.prepare(storm, &status, yes)?;
        Ok(stage)
    }

    fn prepare(&mut self, storm: &Storm, status: &AuditStatus, yes: bool) -> Result<()> {
        let lives = (status.pid != 0 && ChildId::of(status.pid).is_some()).then_some(status.pid);
        let stays = storm.consumer.kind == ConsumerKind::Auditd && storm.consumer.conf.is_empty();
        if let Some(pid) = lives {
            ensure!(
                yes,
                "an auditd lives here (process {pid}){}; with --yes the storm runs all the same",
                if stays {
                    ", and the storm's records would stand in its log"
                } else {
                    ", and would be stopped for the storm, so that this host's events are not logged \
                     meanwhile; it is started again afterwards"
                }
            );
        }
        let directory = self.directory.clone();
        self.keeper.announce(|changes| {
            changes.settings = Some(Settings::of(status));
            changes.directories.push(directory);
        })?;
        fs::create_dir_all(&self.directory)
            .with_context(|| format!("cannot make {}", self.directory.display()))?;
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
    pub(super) fn strike(self) -> Result<()> {
        self.keeper.restore()
    }
}

/// Refuses a host that a storm could harm, or that cannot be put back.
fn refuse(status: &AuditStatus) -> Result<()> {
    match (status.failure, status.enabled) {
        (2, _) => bail!(
            "a lost record panics this host (auditctl -f 2), and storms lose records; set -f 1 first"
        ),
        (_, 2) => bail!(
            "the audit settings are locked until reboot (auditctl -e 2), so that no storm can set or \
             restore them; take -e 2 out of the rules and reboot"
        ),
        _ => Ok(()),
    }
}
