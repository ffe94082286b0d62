//! Segments: the trail in numbered pieces, each sent until it is accepted, none before the one before it.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use ozma_domain::failure::FailureClass;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::client::{CallError, Client};
use crate::pace::Pace;
use crate::recorder::Recorder;
use crate::stop::{Stop, Stopper};

/// Lines in one segment. Below the limit for gzip, so that even what does not compress fits.
const LINES_BYTES: usize = 768 * 1024;

/// The way to the task that sends.
#[derive(Clone)]
pub(crate) struct Segments {
    requests: mpsc::Sender<Request>,
}

enum Request {
    Flush(oneshot::Sender<()>),
    Close(oneshot::Sender<Closed>),
}

/// How much of the trail has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) last_segment: u32,
    pub(crate) is_complete: bool,
}

struct Sender {
    client: Arc<Client>,
    recorder: Arc<Recorder>,
    stop: Arc<Stopper>,
    requests: mpsc::Receiver<Request>,
    started: Instant,
    pace: Pace,
    /// The number of the last segment that was accepted.
    last: u32,
    refused: bool,
}

impl Segments {
    pub(crate) fn start(
        client: Arc<Client>,
        recorder: Arc<Recorder>,
        stop: Arc<Stopper>,
        heartbeat_seconds: u64,
    ) -> Self {
        let (sender, requests) = mpsc::channel(4);
        let heartbeat = Duration::from_secs(heartbeat_seconds.max(1));
        let pace = Pace { heartbeat, sent_at: Duration::ZERO, segments: 0 };
        let started = Instant::now();
        let sending = Sender { client, recorder, stop, requests, started, pace, last: 0, refused: false };
        tokio::spawn(sending.run());
        Self { requests: sender }
    }

    /// Returns when everything recorded so far is accepted, or cannot be.
    pub(crate) async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.requests.send(Request::Flush(done)).await.is_ok() {
            let _ = wait.await;
        }
    }

    /// Sends what is left, and nothing after it.
    pub(crate) async fn close(&self) -> Closed {
        let (done, wait) = oneshot::channel();
        // Not sent means that nobody is there to send anything.
        let _ = self.requests.send(Request::Close(done)).await;
        wait.await.unwrap_or(Closed { last_segment: 0, is_complete: false })
    }
}

impl Sender {
    async fn run(mut self) {
        let mut watched = self.client.watched();
        loop {
            let (since, full) = self.recorder.waiting();
            let since = since.map(|since| since.saturating_duration_since(self.started));
            let due = self.started + self.pace.due(*watched.borrow_and_update(), since);
            if full {
                self.send().await;
                continue;
            }
            tokio::select! {
                biased;
                request = self.requests.recv() => match request {
                    Some(Request::Flush(done)) => {
                        self.send_all().await;
                        let _ = done.send(());
                    }
                    Some(Request::Close(done)) => {
                        self.send_all().await;
                        let _ = done.send(Closed { last_segment: self.last, is_complete: !self.refused });
                        return;
                    }
                    None => return,
                },
                () = tokio::time::sleep_until(due) => self.send().await,
                // What is due has changed.
                () = self.recorder.added() => {}
                _ = watched.changed() => {}
            }
        }
    }

    async fn send_all(&mut self) {
        while self.recorder.waiting().0.is_some() {
            self.send().await;
        }
    }

    /// Sends a segment, an empty one if there is nothing to say: each is also a heartbeat.
    async fn send(&mut self) {
        let lines = self.recorder.take(LINES_BYTES);
        self.pace.sent_at = self.started.elapsed();
        self.pace.segments += 1;
        if self.refused {
            return;
        }
        match self.client.put_segment(self.last + 1, gzip(&lines)).await {
            Ok(()) => self.last += 1,
            Err(err) => {
                self.refused = true;
                self.recorder.close();
                if let CallError::Refused { .. } = err {
                    tracing::error!("{err}");
                    let message = format!("the trail of the run could not be stored: {err}");
                    self.stop.request(Stop::Failed { class: FailureClass::AgentFailed, message });
                }
            }
        }
    }
}

fn gzip(lines: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(lines.len() / 4 + 64), Compression::new(4));
    // Writing to memory does not fail.
    let _ = encoder.write_all(lines);
    Bytes::from(encoder.finish().unwrap_or_default())
}
