//! What the task's models cost: lines of JSON that the task appends to a file, summed up while it works.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ozma_domain::audit::event::Record;
use ozma_domain::protocol::{USAGE_FILE, Usage};
use serde::Deserialize;

use crate::agent::Agent;
use crate::tail::{self, READS_AT_END, Tail};

const BEAT: Duration = Duration::from_secs(1);

/// No single exchange with a model uses more: a line that says so is a mistake, and would end the run by its budget.
const LINE_TOKENS: u64 = 1_000_000_000;
const LINE_USD: f64 = 100_000.0;

/// A file that grows, and the sum of what it says.
pub(crate) struct Meter(Mutex<State>);

struct State {
    tail: Tail,
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
        Self(Mutex::new(State { tail: Tail::new(path), sum: Sum::default(), was_told: false }))
    }

    /// None while the task has reported nothing.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let state = self.0.lock().expect("no panic while locked");
        (state.sum.lines > 0).then(|| state.sum.usage())
    }

    /// Reads on, and says whether there was something. What was counted stays counted, whatever becomes of the file.
    fn read(&self) -> io::Result<bool> {
        let State { tail, sum, .. } = &mut *self.0.lock().expect("no panic while locked");
        tail.read(|line| sum.add(line))
    }

    /// Whether something could not be read, said once.
    fn is_news(&self) -> bool {
        let mut state = self.0.lock().expect("no panic while locked");
        state.sum.malformed > 0 && !std::mem::replace(&mut state.was_told, true)
    }

    /// A last line without its end counts too.
    fn end(&self) {
        let State { tail, sum, .. } = &mut *self.0.lock().expect("no panic while locked");
        tail.end(|line| sum.add(line));
    }
}

impl Sum {
    fn add(&mut self, line: tail::Line<'_>) {
        match line.ok().and_then(|line| serde_json::from_slice(line).ok()) {
            Some(Line { tokens, usd })
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
    let mut left = READS_AT_END;
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
    use crate::tail::{LINE_BYTES, Lines};

    #[track_caller]
    fn check(text: &str, tokens: u64, micro_usd: u64, malformed: u64) {
        let (mut lines, mut sum) = (Lines::default(), Sum::default());
        // However the file is cut when it is read.
        for piece in text.as_bytes().chunks(7) {
            lines.add(piece, |line| sum.add(line));
        }
        lines.end(|line| sum.add(line));
        assert_eq!((sum.usage(), sum.malformed), (Usage { tokens, micro_usd }, malformed), "{text:.80}");
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
}
