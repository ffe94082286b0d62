//! What the task's models cost: lines of JSON that the task appends to a file, summed up while it works.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ozma_domain::audit::event::Record;
use ozma_domain::protocol::{USAGE_FILE, Usage};
use serde::Deserialize;

use crate::agent::Agent;
use crate::workspace;

const BEAT: Duration = Duration::from_secs(1);

/// Read at once. A task that writes more than this between two beats is read for as long as it takes.
const READ_BYTES: usize = 64 * 1024;

/// Read at the end, at most: what a task wrote in its last second is less.
const READ_AT_END_BYTES: usize = 16 * 1024 * 1024;

/// A longer line is no line of usage.
const LINE_BYTES: usize = 16 * 1024;

/// No single exchange with a model uses more: a line that says so is a mistake, and would end the run by its budget.
const LINE_TOKENS: u64 = 1_000_000_000;
const LINE_USD: f64 = 100_000.0;

/// A file that grows, and the sum of what it says.
pub(crate) struct Meter {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How far the file was read, and what of it is not yet a line.
    offset: u64,
    line: Vec<u8>,
    /// The line is too long: the rest of it is passed over.
    is_overlong: bool,
    sum: Sum,
    was_told: bool,
}

#[derive(Debug, Default, PartialEq)]
struct Sum {
    lines: u64,
    malformed: u64,
    tokens: u64,
    usd: f64,
}

/// Other members (a model, a time) are the task's own business.
#[derive(Deserialize)]
struct Line {
    tokens: Option<u64>,
    usd: Option<f64>,
}

impl Meter {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, state: Mutex::default() }
    }

    /// None while the task has reported nothing.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let state = self.state.lock().expect("no panic while locked");
        (state.sum.lines > 0).then(|| state.sum.usage())
    }

    /// Reads on, and says whether there was something.
    fn read(&self) -> io::Result<bool> {
        let mut state = self.state.lock().expect("no panic while locked");
        let mut file: File = match workspace::open(&self.path, OpenOptions::new().read(true)) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(err) => return Err(err),
        };
        // Emptied, or another file: it begins anew, and what was counted stays counted.
        if file.metadata()?.len() < state.offset {
            *state = State { sum: std::mem::take(&mut state.sum), was_told: state.was_told, ..State::default() };
        }
        file.seek(SeekFrom::Start(state.offset))?;
        let mut buffer = vec![0; READ_BYTES];
        let read = file.read(&mut buffer)?;
        state.offset += read as u64;
        state.add(&buffer[..read]);
        Ok(read > 0)
    }

    /// Whether something could not be read, said once.
    fn is_news(&self) -> bool {
        let mut state = self.state.lock().expect("no panic while locked");
        state.sum.malformed > 0 && !std::mem::replace(&mut state.was_told, true)
    }

    /// A last line without its end counts too.
    fn end(&self) {
        let mut state = self.state.lock().expect("no panic while locked");
        state.end_line();
    }
}

impl State {
    fn add(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            self.is_overlong |= self.line.len() + text.len() > LINE_BYTES;
            if !self.is_overlong {
                self.line.extend_from_slice(text);
            }
            if ended {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.is_overlong) {
            self.sum.malformed += 1;
        } else if !line.trim_ascii().is_empty() {
            self.sum.add(&line);
        }
    }
}

impl Sum {
    fn add(&mut self, line: &[u8]) {
        match serde_json::from_slice(line) {
            Ok(Line { tokens, usd })
                if (tokens.is_some() || usd.is_some())
                    && tokens.is_none_or(|tokens| tokens <= LINE_TOKENS)
                    && usd.is_none_or(|usd| (0.0..=LINE_USD).contains(&usd)) =>
            {
                self.lines += 1;
                self.tokens = self.tokens.saturating_add(tokens.unwrap_or(0));
                self.usd += usd.unwrap_or(0.0);
            }
            _ => self.malformed += 1,
        }
    }

    /// Rounded as late as this, so that many small amounts are not many nothings.
    fn usage(&self) -> Usage {
        Usage { tokens: self.tokens, micro_usd: (self.usd * 1e6).round() as u64 }
    }
}

/// Reads along for as long as the agent lives.
pub(crate) async fn watch(agent: Arc<Agent>) {
    loop {
        tokio::time::sleep(BEAT).await;
        while catch_up(&agent).await {
            tokio::task::yield_now().await;
        }
    }
}

/// Reads what is left when the task has ended.
pub(crate) async fn finish(agent: &Agent) {
    let mut left = READ_AT_END_BYTES / READ_BYTES;
    while left > 0 && catch_up(agent).await {
        left -= 1;
    }
    agent.usage.end();
    tell(agent).await;
}

async fn catch_up(agent: &Agent) -> bool {
    let read = agent.usage.read().unwrap_or_else(|err| {
        // The task's own doing, and its next line may be readable again.
        tracing::debug!("the task's usage cannot be read: {err}");
        false
    });
    if read {
        agent.activity.sign();
        if let Some(usage) = agent.usage.usage() {
            agent.client.used(usage);
        }
    }
    tell(agent).await;
    read
}

async fn tell(agent: &Agent) {
    if let Some(usage) = agent.usage.usage() {
        agent.client.used(usage);
    }
    if agent.usage.is_news() {
        let text = format!(
            "a line of the file {USAGE_FILE} is not counted: each is to be a JSON object such as \
             {{\"tokens\": 1200, \"usd\": 0.018}}"
        );
        agent.recorder.record(Record::Notice { text }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, tokens: u64, micro_usd: u64, malformed: u64) {
        let mut state = State::default();
        // However the file is cut when it is read.
        for piece in text.as_bytes().chunks(7) {
            state.add(piece);
        }
        state.end_line();
        assert_eq!((state.sum.usage(), state.sum.malformed), (Usage { tokens, micro_usd }, malformed), "{text:.80}");
    }

    #[test]
    fn lines_are_summed_and_what_is_no_line_is_passed_over() {
        check("", 0, 0, 0);
        check("{\"tokens\": 1200, \"usd\": 0.018}\n\n{\"usd\":0.002,\"model\":\"x\"}\n{\"tokens\":1}", 1201, 20_000, 0);
        check(&"{\"usd\":0.0000004}\n".repeat(10), 0, 4, 0);
        for line in [
            "x",
            "{}",
            "[]",
            "{\"tokens\":-1}",
            "{\"tokens\":1.5}",
            "{\"tokens\":99999999999}",
            "{\"tokens\":1,\"usd\":-0.1}",
            "{\"usd\":NaN}",
            "{\"usd\":1e300}",
            "{\"usd\":1e999}",
            "{\"usd\":\"1\"}",
            "\u{0}",
        ] {
            check(&format!("{line}\n{{\"tokens\":5}}\n"), 5, 0, 1);
        }
        check(&format!("{{\"x\":\"{}\"}}\n{{\"tokens\":5}}\n", "y".repeat(LINE_BYTES)), 5, 0, 1);
    }

    #[test]
    fn a_file_is_read_once_and_links_and_pipes_never() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usage");
        let meter = Meter::new(path.clone());
        assert!(!meter.read().unwrap());
        std::fs::write(&path, "{\"tokens\":1}\n{\"tok").unwrap();
        assert!(meter.read().unwrap() && !meter.read().unwrap());
        assert_eq!(meter.usage().unwrap().tokens, 1);
        std::fs::write(&path, "{\"tokens\":1}\n{\"tokens\":2}\n").unwrap();
        assert!(meter.read().unwrap());
        assert_eq!(meter.usage().unwrap().tokens, 3);
        std::fs::write(&path, "{\"tokens\":4}\n").unwrap();
        assert!(meter.read().unwrap());
        assert_eq!(meter.usage().unwrap().tokens, 7);

        std::fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert!(meter.read().is_err());
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        assert!(meter.read().is_err());
    }
}
