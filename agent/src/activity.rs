//! When the task last gave a sign of life. Signs are what only a task at work causes: a byte of its output, a line in the
//! file of its usage, a message delivered to it (whoever was just told something gets time to answer). Processor time is
//! none, because a task that hangs may well spin; nor are events of the agent's own, such as samples of resources.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Activity {
    last: Mutex<Instant>,
    /// Readers of output that cannot pass on what they read: the task may be waiting for the control plane.
    held_up: AtomicUsize,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self { last: Mutex::new(Instant::now()), held_up: AtomicUsize::new(0) }
    }

    pub(crate) fn sign(&self) {
        *self.last.lock().expect("no panic while locked") = Instant::now();
    }

    /// Passing on what was read; until then nobody can say that the task is silent.
    pub(crate) async fn during(&self, work: impl Future<Output = ()>) {
        self.held_up.fetch_add(1, Ordering::Relaxed);
        work.await;
        self.held_up.fetch_sub(1, Ordering::Relaxed);
        self.sign();
    }

    /// For how long there has been no sign.
    pub(crate) fn silent_for(&self) -> Duration {
        if self.held_up.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        self.last.lock().expect("no panic while locked").elapsed()
    }
}
