//! The trail on its way out: every event is masked here, and waits here for its segment.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use ozma_domain::audit::event::{Event, Record};
use ozma_domain::limits;
use ozma_domain::mask::Masker;
use ozma_domain::outcome::Outcome;
use secrecy::SecretString;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock;

/// Unsent events past which whoever produces more has to wait: a task's output, mostly.
const WAITING_BYTES: usize = 4 * 1024 * 1024;

/// Pieces of output are joined up to this size, so that an event is not a line.
const JOINED_BYTES: usize = 32 * 1024;

pub(crate) struct Recorder {
    masker: Mutex<Arc<Masker>>,
    queue: Mutex<Queue>,
    added: Notify,
    room: Notify,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    bytes: usize,
    since: Option<Instant>,
    closed: bool,
}

impl Recorder {
    pub(crate) fn new(masker: Masker) -> Self {
        let masker = Mutex::new(Arc::new(masker));
        Self { masker, queue: Mutex::default(), added: Notify::new(), room: Notify::new() }
    }

    pub(crate) fn masker(&self) -> Arc<Masker> {
        self.masker.lock().expect("no panic while locked").clone()
    }

    /// Masks these values too, in everything that is recorded from now on.
    pub(crate) fn hide(&self, secrets: &[SecretString]) {
        let mut masker = self.masker.lock().expect("no panic while locked");
        *masker = Arc::new(masker.with(secrets));
    }

    /// Adds to the trail, when there is room.
    pub(crate) async fn record(&self, record: Record) {
        let record = masked(record, &self.masker());
        loop {
            let room = self.room.notified();
            let mut room = std::pin::pin!(room);
            room.as_mut().enable();
            {
                let mut queue = self.queue.lock().expect("no panic while locked");
                if queue.closed {
                    return;
                }
                if queue.bytes < WAITING_BYTES {
                    queue.add(record);
                    break;
                }
            }
            room.await;
        }
        self.added.notify_one();
    }

    /// The next lines of JSON for a segment, `bytes` at most unless one alone is longer.
    pub(crate) fn take(&self, bytes: usize) -> Vec<u8> {
        let mut queue = self.queue.lock().expect("no panic while locked");
        let mut lines = Vec::new();
        while let Some(event) = queue.events.front() {
            // Records have string keys and finite numbers, so this cannot fail.
            let line = serde_json::to_vec(event).unwrap_or_default();
            if !lines.is_empty() && lines.len() + line.len() + 1 > bytes {
                break;
            }
            lines.extend_from_slice(&line);
            lines.push(b'\n');
            let weight = weight(event);
            queue.bytes -= weight;
            queue.events.pop_front();
        }
        queue.since = queue.events.front().map(|_| Instant::now());
        drop(queue);
        self.room.notify_waiters();
        lines
    }

    /// Since when something waits, and whether it is so much that it should go at once.
    pub(crate) fn waiting(&self) -> (Option<Instant>, bool) {
        let queue = self.queue.lock().expect("no panic while locked");
        (queue.since, queue.bytes >= limits::SEGMENT_FLUSH_BYTES)
    }

    /// Returns when something was added.
    pub(crate) async fn added(&self) {
        self.added.notified().await;
    }

    /// Nothing can be sent any more: what waits and what comes is dropped, and nobody waits for room.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock().expect("no panic while locked");
        *queue = Queue { closed: true, ..Queue::default() };
        drop(queue);
        self.room.notify_waiters();
    }
}

impl Queue {
    fn add(&mut self, record: Record) {
        self.since.get_or_insert_with(Instant::now);
        let record = match (self.events.back_mut().map(|event| &mut event.record), record) {
            (
                Some(Record::Output { command, stream, text }),
                Record::Output { command: next_command, stream: next_stream, text: next },
            ) if *command == next_command && *stream == next_stream && text.len() + next.len() <= JOINED_BYTES => {
                text.push_str(&next);
                self.bytes += next.len();
                return;
            }
            (_, record) => record,
        };
        let event = Event { at: clock::now(), record };
        self.bytes += weight(&event);
        self.events.push_back(event);
    }
}

/// About what an event takes in memory.
fn weight(event: &Event) -> usize {
    let text = match &event.record {
        Record::Output { text, .. } | Record::Notice { text } | Record::Message { text, .. } => text.len(),
        Record::CommandStarted { argv, cwd, .. } => argv.iter().map(String::len).sum::<usize>() + cwd.len(),
        Record::File { path, .. } => path.len(),
        Record::Ended { outcome } => outcome.message().len(),
        _ => 0,
    };
    text + 128
}

/// Masks what is free text, and leaves the words of the format alone: a secret may be called "stdout".
fn masked(record: Record, masker: &Masker) -> Record {
    let mask = |text: String| masker.mask(&text);
    match record {
        Record::Notice { text } => Record::Notice { text: mask(text) },
        Record::CommandStarted { command, phase, argv, cwd } => {
            Record::CommandStarted { command, phase, argv: argv.into_iter().map(mask).collect(), cwd: mask(cwd) }
        }
        Record::Output { command, stream, text } => Record::Output { command, stream, text: mask(text) },
        Record::File { path, change, bytes, sha256 } => Record::File { path: mask(path), change, bytes, sha256 },
        Record::Message { id, from, text } => Record::Message { id, from: mask(from), text: mask(text) },
        Record::Ended { outcome } => Record::Ended { outcome: masked_outcome(outcome, masker) },
        record @ (Record::State { .. }
        | Record::OutputSkipped { .. }
        | Record::CommandEnded { .. }
        | Record::FilesSkipped { .. }
        | Record::Resources { .. }) => record,
    }
}

pub(crate) fn masked_outcome(outcome: Outcome, masker: &Masker) -> Outcome {
    match outcome {
        Outcome::Succeeded { summary } => Outcome::Succeeded { summary: masker.mask(&summary) },
        Outcome::Failed { class, message } => Outcome::Failed { class, message: masker.mask(&message) },
        Outcome::Cancelled => Outcome::Cancelled,
    }
}

#[cfg(test)]
mod tests {
    use ozma_domain::audit::event::Stream;
    use secrecy::SecretString;

    use super::*;

    fn output(stream: Stream, text: &str) -> Record {
        Record::Output { command: 1, stream, text: text.to_owned() }
    }

    fn texts(lines: &[u8]) -> Vec<String> {
        let lines = std::str::from_utf8(lines).unwrap().lines();
        lines
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_owned())
            .collect()
    }

    #[tokio::test]
    async fn pieces_of_one_stream_are_joined_and_masked() {
        let recorder = Recorder::new(Masker::new(&[SecretString::from("stdout"), SecretString::from("hunter22")]));
        for record in [
            output(Stream::Stdout, "a"),
            output(Stream::Stdout, "b hunter22"),
            output(Stream::Stderr, "c"),
            output(Stream::Stdout, "d"),
        ] {
            recorder.record(record).await;
        }
        let lines = recorder.take(usize::MAX);
        assert_eq!(texts(&lines), ["ab ***", "c", "d"]);
        assert!(String::from_utf8(lines).unwrap().contains(r#""stream":"stdout""#));
        assert_eq!(recorder.waiting(), (None, false));
    }

    #[tokio::test]
    async fn a_segment_is_filled_but_not_overfilled() {
        let recorder = Recorder::new(Masker::new([]));
        for _ in 0..3 {
            recorder.record(Record::Notice { text: "x".repeat(100) }).await;
        }
        assert_eq!(texts(&recorder.take(350)).len(), 2);
        assert_eq!(texts(&recorder.take(1)).len(), 1);
        assert!(recorder.take(1).is_empty());
    }

    #[tokio::test]
    async fn whoever_records_too_much_waits_until_some_is_taken() {
        let recorder = Recorder::new(Masker::new([]));
        let much = || recorder.record(Record::Notice { text: "x".repeat(WAITING_BYTES) });
        much().await;
        assert!(recorder.waiting().1);
        let (_, taken) = tokio::join!(much(), async { recorder.take(1).len() });
        assert!(taken > WAITING_BYTES);
        recorder.close();
        much().await;
        assert!(recorder.take(1).is_empty());
    }
}
