//! A notice for the user if a step takes longer than anybody would expect.
//!
//! In: what to say and when. Out: one line on stderr, unless the step is over by
//! then. It must not touch the step itself.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::commands::output::say;

/// When a word is due.
const AFTER: Duration = Duration::from_secs(5);

/// Says its word unless it is dropped in time.
pub(super) struct SlowNotice {
    over: Option<Sender<()>>,
    waiter: Option<JoinHandle<()>>,
}

impl SlowNotice {
    /// Begins to wait, to say `word` after five seconds.
    pub(super) fn with(word: &'static str) -> Self {
        let (over, news) = mpsc::channel();
        // Without a thread for it there is no word, and nothing else is amiss.
        let waiter = thread::Builder::new()
            .name("slow-notice".to_owned())
            .spawn(move || {
                if news.recv_timeout(AFTER) == Err(RecvTimeoutError::Timeout) {
                    say(vec![word.to_owned()]);
                }
            })
            .ok();
        Self {
            over: Some(over),
            waiter,
        }
    }
}

impl Drop for SlowNotice {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(waiter) = self.waiter.take() {
            // It has nothing left to do.
            let _ = waiter.join();
        }
    }
}
