//! The event bus in process: outcomes are lines of `bus.jsonl` for whoever reads files, and a broadcast for whoever lives
//! in this process.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use ozma_app::ports::{Bus, PortError, RunEnded};
use tokio::sync::broadcast;

use crate::file::blocking;

/// A file this large becomes `bus.1.jsonl`, in place of the one before: the newest 64 to 128 MiB are kept.
const ROTATE_BYTES: u64 = 64 * 1024 * 1024;

/// Events that a slow subscriber may be behind before it misses some.
const BROADCAST_EVENTS: usize = 1024;

pub struct LocalBus {
    log: Arc<Mutex<Log>>,
    subscribers: broadcast::Sender<RunEnded>,
}

struct Log {
    path: PathBuf,
    rotated: PathBuf,
    file: File,
    length: u64,
    rotate_bytes: u64,
}

impl LocalBus {
    /// Appends to `bus.jsonl` in the folder.
    pub fn open(folder: &Path) -> io::Result<Self> {
        Self::rotating_at(folder, ROTATE_BYTES)
    }

    fn rotating_at(folder: &Path, rotate_bytes: u64) -> io::Result<Self> {
        let log = Log::open(folder.join("bus.jsonl"), folder.join("bus.1.jsonl"), rotate_bytes)?;
        Ok(Self { log: Arc::new(Mutex::new(log)), subscribers: broadcast::Sender::new(BROADCAST_EVENTS) })
    }

    /// Every event published from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<RunEnded> {
        self.subscribers.subscribe()
    }
}

#[async_trait]
impl Bus for LocalBus {
    async fn publish(&self, event: &RunEnded) -> Result<(), PortError> {
        let failed = |err: io::Error| PortError::because("could not write an outcome to bus.jsonl", err);
        let mut line = serde_json::to_vec(event).map_err(|err| failed(err.into()))?;
        line.push(b'\n');
        let log = self.log.clone();
        blocking(move || log.lock().unwrap_or_else(PoisonError::into_inner).append(&line)).await.map_err(failed)?;
        // That nobody listens is no error.
        let _ = self.subscribers.send(event.clone());
        Ok(())
    }
}

impl Log {
    fn open(path: PathBuf, rotated: PathBuf, rotate_bytes: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
        let mut length = file.metadata()?.len();
        if length > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                // A crash cut the last line. Its event is published again.
                file.write_all(b"\n")?;
                length += 1;
            }
        }
        Ok(Self { path, rotated, file, length, rotate_bytes })
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.length >= self.rotate_bytes {
            std::fs::rename(&self.path, &self.rotated)?;
            *self = Self::open(self.path.clone(), self.rotated.clone(), self.rotate_bytes)?;
        }
        if let Err(err) = self.file.write_all(line).and_then(|()| self.file.sync_data()) {
            // Not half a line in front of the next one, if the disk lets us.
            let _ = self.file.set_len(self.length);
            return Err(err);
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(number: u64) -> RunEnded {
        let run = ozma_domain::id::RunId::new(number, [0; 10]);
        RunEnded {
            id: format!("{run}/1/SUCCEEDED"),
            run_id: run,
            team: "local".parse().unwrap(),
            state: ozma_domain::state::RunState::Succeeded,
            ended_at: jiff::Timestamp::from_second(1).unwrap(),
            title: "title\nof two lines".to_owned(),
            message: String::new(),
        }
    }

    fn lines(folder: &Path, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).map_or("cut".to_owned(), |event: RunEnded| event.id))
            .collect()
    }

    #[tokio::test]
    async fn lines_are_whole_and_old_ones_move_away() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bus.jsonl"), r#"{"id":"cut by a cra"#).unwrap();
        let bus = LocalBus::rotating_at(folder.path(), 400).unwrap();
        let mut subscriber = bus.subscribe();
        for number in 1..=5 {
            bus.publish(&ended(number)).await.unwrap();
            assert_eq!(subscriber.recv().await.unwrap(), ended(number));
        }
        let ids = |range: std::ops::RangeInclusive<u64>| range.map(|number| ended(number).id).collect::<Vec<_>>();
        assert_eq!(lines(folder.path(), "bus.1.jsonl"), ids(3..=4));
        assert_eq!(lines(folder.path(), "bus.jsonl"), ids(5..=5));

        let bus = LocalBus::open(folder.path()).unwrap();
        bus.publish(&ended(6)).await.unwrap();
        assert_eq!(lines(folder.path(), "bus.jsonl"), ids(5..=6));
    }
}
