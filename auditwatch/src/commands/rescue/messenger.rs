//! Making records, one at a time: a [`Means`] comes in, a record in the queue goes out.
//!
//! Whoever sends a message while the queue is over its limit is put to sleep by the kernel, for as long as the
//! wait time (`audit_receive`, 5.17 to 7.2), and a queue may fill up within the call. So a thread of its own
//! sends. One that does not come back is left to the next record, like any other task that is stuck.

use std::{sync::mpsc, thread, time::Duration};

use anyhow::{Context as _, Result, bail};

use crate::{
    netlink::{
        control::{self, Setting},
        socket::AuditSocket,
    },
    rescue::tasks,
};

/// After that long it is looked whether the sender sleeps.
const PROMPT: Duration = Duration::from_millis(250);
/// Looks before it is given up as lost.
const LOOKS: u32 = 40;
/// What the records say.
const TEXT: &[u8] = b"op=auditwatch-rescue res=success";

/// How a record is made, the least first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    /// A USER message that means nothing to anybody else.
    Message,
    /// The type that becomes a record while auditing is off, too.
    MessageWhileOff,
    /// The limit set to what it is: no filter of messages holds that up.
    SameLimit,
}

impl Means {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Message => "a USER message",
            Self::MessageWhileOff => "a USER_AVC message",
            Self::SameLimit => "setting backlog_limit to its present value",
        }
    }

    /// The one to try next. `limit` is the one in force, records, where that is known.
    pub(super) const fn next(self, limit: Option<u32>) -> Self {
        match (self, limit) {
            (Self::Message, _) => Self::MessageWhileOff,
            (Self::MessageWhileOff, Some(_)) => Self::SameLimit,
            (Self::MessageWhileOff, None) | (Self::SameLimit, _) => Self::Message,
        }
    }

    fn send(self, socket: &mut AuditSocket, limit: Option<u32>) -> Result<()> {
        match (self, limit) {
            (Self::SameLimit, Some(limit)) => control::set(socket, Setting::BacklogLimit(limit)),
            (Self::MessageWhileOff, _) => control::user_message_while_off(socket, TEXT),
            (Self::Message | Self::SameLimit, _) => control::user_message(socket, TEXT),
        }
        .context("cannot send a record")
    }
}

/// Who sends the messages.
pub(super) struct Messenger {
    tid: u32,
    orders: mpsc::Sender<(Means, Option<u32>)>,
    outcomes: mpsc::Receiver<Result<()>>,
}

impl Messenger {
    /// One that waits for orders.
    pub(super) fn ready() -> Result<Self> {
        let mut socket = AuditSocket::open()?;
        let (orders, to_do) = mpsc::channel::<(Means, Option<u32>)>();
        let (done, outcomes) = mpsc::channel();
        let (say, told) = mpsc::channel();
        thread::Builder::new()
            .name("messenger".to_owned())
            .spawn(move || {
                // SAFETY: the call has no precondition.
                let tid = unsafe { libc::gettid() };
                if say.send(tid).is_err() {
                    return;
                }
                for (means, limit) in to_do {
                    if done.send(means.send(&mut socket, limit)).is_err() {
                        break;
                    }
                }
            })
            .context("cannot start a thread")?;
        let tid = told.recv().context("the sender thread has ended")?;
        Ok(Self {
            tid: tid.unsigned_abs(),
            orders,
            outcomes,
        })
    }

    /// Makes a record. `limit` is the one in force, records.
    ///
    /// # Errors
    /// When the message cannot be sent, or nobody is there to send it.
    pub(super) fn send(&mut self, means: Means, limit: Option<u32>) -> Result<()> {
        self.orders
            .send((means, limit))
            .context("the sender thread has ended")?;
        for _ in 0..LOOKS {
            match self.outcomes.recv_timeout(PROMPT) {
                Ok(outcome) => return outcome,
                // The kernel puts it to sleep once its message has been dealt with.
                Err(mpsc::RecvTimeoutError::Timeout) if tasks::is_held_up(self.tid) => {
                    *self = Self::ready()?;
                    return Ok(());
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => bail!("the sender thread has ended"),
            }
        }
        bail!(
            "the kernel has not accepted a message after {} s",
            (PROMPT * LOOKS).as_secs()
        )
    }
}
