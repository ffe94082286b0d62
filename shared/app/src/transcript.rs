//! The live transcript: the audit events of a run as they come, by long polling.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ozma_domain::id::{ExecutionId, RunId, TeamId};
use ozma_domain::limits;
use ozma_domain::run::Run;
use ozma_domain::state::RunState;
use ozma_store::{ArchiveKey, StoreError};
use serde_json::value::RawValue;

use crate::App;
use crate::app::after;
use crate::gzip::unpack;

/// The last segment that a reader has seen: `<execution>.<sequence>`. `0.0` is before everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    pub execution: u32,
    pub sequence: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a place in a transcript; use the `next` of an earlier answer, or leave it out")]
pub struct InvalidCursor(String);

/// Events after a cursor, and where they end.
#[derive(Debug)]
pub struct Page {
    pub events: Vec<Box<RawValue>>,
    pub next: Cursor,
    pub state: RunState,
    /// No more will come.
    pub ended: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum TranscriptError {
    #[error("there is no run {0}")]
    Unknown(RunId),
    #[error("the transcript could not be read")]
    Store(#[from] StoreError),
}

/// How often a waiting reader looks again. A local look costs microseconds; on AWS two reads, and a watched agent sends
/// every two seconds.
const LOOK_EVERY: Duration = Duration::from_millis(150);
const LOOK_EVERY_BILLED: Duration = Duration::from_secs(1);

/// What came after `cursor`. Waits up to `wait` for something: an event, another state, or the end.
pub async fn transcript(
    app: &App,
    team: &TeamId,
    run_id: RunId,
    cursor: Cursor,
    wait: Duration,
) -> Result<Page, TranscriptError> {
    let wait = wait.min(Duration::from_secs(limits::LONG_POLL_SECONDS));
    let give_up = tokio::time::Instant::now() + wait;
    let mut first_state = None;
    loop {
        let run = app.store.run(run_id).await?.filter(|run| run.team == *team);
        let run = run.ok_or(TranscriptError::Unknown(run_id))?;
        watch(app, &run).await?;
        let page = read(app, &run, cursor).await?;
        let moved = *first_state.get_or_insert(run.state) != run.state;
        if !page.events.is_empty() || page.ended || moved || tokio::time::Instant::now() >= give_up {
            return Ok(page);
        }
        let pause = if app.settings.billed { LOOK_EVERY_BILLED } else { LOOK_EVERY };
        tokio::time::sleep(pause.min(give_up - tokio::time::Instant::now())).await;
    }
}

/// A page ends with the segment that reaches one of these: a Lambda answers with 6 MB at most, and what is escaped in it
/// counts as escaped.
const PAGE_SEGMENTS: usize = 8;
const PAGE_BYTES: usize = 1024 * 1024;

/// Segments from `cursor` on, a few at a time.
async fn read(app: &App, run: &Run, mut cursor: Cursor) -> Result<Page, StoreError> {
    let mut events: Vec<Box<RawValue>> = Vec::new();
    let (mut read, mut bytes) = (0, 0);
    while read < PAGE_SEGMENTS && bytes < PAGE_BYTES && cursor.execution <= run.executions {
        let next = Cursor { execution: cursor.execution.max(1), sequence: cursor.sequence + 1 };
        let execution = ExecutionId::new(run.run_id, next.execution);
        let key = ArchiveKey::Segment { team: &run.team, execution, sequence: next.sequence };
        let may_be = next.sequence <= run.last_segment(next.execution);
        let object = if may_be { app.archive.read(&key).await? } else { None };
        match object {
            Some(object) => {
                let lines = lines(&key, &object.bytes)?;
                bytes += lines.iter().map(|line| line.get().len()).sum::<usize>();
                events.extend(lines);
                cursor = next;
                read += 1;
            }
            // An execution before the current one is over: nothing more comes of it.
            None if next.execution < run.executions => cursor = Cursor { execution: next.execution + 1, sequence: 0 },
            None => break,
        }
    }
    let more = read >= PAGE_SEGMENTS || bytes >= PAGE_BYTES;
    let ended = !more && run.state.is_terminal() && run.held_slot().is_none();
    Ok(Page { events, next: cursor, state: run.state, ended })
}

fn lines(key: &ArchiveKey<'_>, object: &[u8]) -> Result<Vec<Box<RawValue>>, StoreError> {
    let unreadable =
        |cause: Box<dyn std::error::Error + Send + Sync>| StoreError::Unreadable { what: key.to_string(), cause };
    let text = unpack(object, limits::SEGMENT_CHAINED_BYTES + 1024).map_err(|err| unreadable(err.into()))?;
    let text = String::from_utf8(text).map_err(|err| unreadable(err.into()))?;
    text.lines().map(|line| RawValue::from_string(line.to_owned()).map_err(|err| unreadable(err.into()))).collect()
}

/// Lets the agent know that somebody reads along: it flushes more often then.
async fn watch(app: &App, run: &Run) -> Result<(), StoreError> {
    let now = app.now();
    let watched_enough = run.watched_until.is_some_and(|until| until > after(now, limits::WATCH_SECONDS / 2));
    if !watched_enough && !run.state.is_terminal() {
        app.store.watch(run.run_id, after(now, limits::WATCH_SECONDS)).await?;
    }
    Ok(())
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let parse = || {
            let (execution, sequence) = text.split_once('.')?;
            Some(Self { execution: execution.parse().ok()?, sequence: sequence.parse().ok()? })
        };
        // Beyond this no segment is ever stored, and counting on would overflow.
        parse()
            .filter(|cursor| cursor.sequence <= 999_999)
            .ok_or_else(|| InvalidCursor(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.execution, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_as_they_print() {
        for text in ["0.0", "1.12", "3.999999"] {
            assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        }
        for text in ["", "1", "1.", "a.b", "-1.2", "1.1000000", "1.2.3"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
