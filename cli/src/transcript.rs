//! What to tell of an agent's events. Pure: events in, words out.

use std::collections::BTreeMap;
use std::time::Duration;

use ozma_domain::audit::{Change, Event, Phase, Record, Stream};
use ozma_domain::state::RunState;
use ozma_domain::text::{one_line, shorten};

use crate::values;

/// Something to show as it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The task's own words.
    Stdout(String),
    Stderr(String),
    /// A clone or a set-up command begins.
    Step(String),
    State(RunState),
    Notice(String),
}

/// Follows the events of a run and remembers what the end wants to know.
#[derive(Debug, Default)]
pub(crate) struct Narrator {
    phases: BTreeMap<u32, Phase>,
    created: u64,
    modified: u64,
    deleted: u64,
    unlisted: u64,
    peak_memory_bytes: u64,
}

impl Narrator {
    pub(crate) fn tell(&mut self, event: &Event) -> Option<Said> {
        match &event.record {
            Record::State { state } => Some(Said::State(*state)),
            Record::Notice { text } => Some(Said::Notice(one_line(text))),
            Record::CommandStarted { command, phase, argv, .. } => {
                self.phases.insert(*command, *phase);
                match phase {
                    Phase::Clone | Phase::Setup => Some(Said::Step(command_line(argv))),
                    // Preflight is the platform's own business; the task is announced by the state.
                    Phase::Preflight | Phase::Task => None,
                }
            }
            Record::Output { command, stream, text } => match self.phases.get(command) {
                Some(Phase::Preflight) => None,
                Some(Phase::Clone | Phase::Setup) => Some(Said::Stderr(text.clone())),
                // A transcript read from its middle does not know the command: the task talks most.
                Some(Phase::Task) | None => Some(match stream {
                    Stream::Stdout => Said::Stdout(text.clone()),
                    Stream::Stderr => Said::Stderr(text.clone()),
                }),
            },
            Record::OutputSkipped { kept_bytes, dropped_bytes, .. } => {
                let kept = values::bytes(*kept_bytes);
                Some(Said::Notice(match dropped_bytes {
                    0 => format!("{kept} of output are not shown here but kept in the archive"),
                    dropped => format!(
                        "{kept} of output are not shown here but kept in the archive, {} more were dropped",
                        values::bytes(*dropped)
                    ),
                }))
            }
            Record::CommandEnded { command, exit_code, signal, duration_ms, .. } => {
                let how = match (exit_code, signal) {
                    (Some(0), _) => return None,
                    (Some(code), _) => format!("exit code {code}"),
                    (None, Some(signal)) => format!("ended by signal {signal}"),
                    (None, None) => "ended".to_owned(),
                };
                let prepares = matches!(self.phases.get(command), Some(Phase::Clone | Phase::Setup));
                prepares
                    .then(|| Said::Notice(format!("{how} after {}", values::took(Duration::from_millis(*duration_ms)))))
            }
            Record::File { change, .. } => {
                match change {
                    Change::Created => self.created += 1,
                    Change::Modified => self.modified += 1,
                    Change::Deleted => self.deleted += 1,
                }
                None
            }
            Record::FilesSkipped { files } => {
                self.unlisted += files;
                None
            }
            Record::Resources { memory_bytes, .. } => {
                self.peak_memory_bytes = self.peak_memory_bytes.max(*memory_bytes);
                None
            }
            Record::Message { from, text, .. } => {
                Some(Said::Notice(format!("message from {}: {}", one_line(from), shorten(&one_line(text), 200))))
            }
            Record::Ended { .. } => None,
        }
    }

    /// What the run left behind, in short.
    pub(crate) fn facts(&self) -> Vec<String> {
        let mut facts = Vec::new();
        let files = [
            (self.created, "created"),
            (self.modified, "modified"),
            (self.deleted, "deleted"),
            (self.unlisted, "more"),
        ];
        let files: Vec<String> =
            files.iter().filter(|(count, _)| *count > 0).map(|(count, how)| format!("{count} {how}")).collect();
        if !files.is_empty() {
            facts.push(format!("files: {}", files.join(", ")));
        }
        if self.peak_memory_bytes > 0 {
            facts.push(format!("peak memory {}", values::bytes(self.peak_memory_bytes)));
        }
        facts
    }
}

/// An event as a line of the audit trail.
pub(crate) fn describe(event: &Event) -> String {
    let at = event.at.strftime("%H:%M:%S%.3f");
    let what = match &event.record {
        Record::State { state } => format!("state     {state}"),
        Record::Notice { text } => format!("notice    {}", one_line(text)),
        Record::CommandStarted { command, phase, argv, cwd } => {
            format!("command   #{command} {} in {cwd}: {}", phase_name(*phase), command_line(argv))
        }
        Record::Output { command, stream, text } => {
            let stream = match stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            };
            format!("output    #{command} {stream}: {}", shorten(&one_line(text), 120))
        }
        Record::OutputSkipped { command, kept_bytes, dropped_bytes, parts, .. } => format!(
            "output    #{command} {} kept in {parts} objects, {} dropped",
            values::bytes(*kept_bytes),
            values::bytes(*dropped_bytes)
        ),
        Record::CommandEnded { command, exit_code, signal, duration_ms, stdout, stderr } => {
            let how = match (exit_code, signal) {
                (Some(code), _) => format!("exit code {code}"),
                (None, Some(signal)) => format!("signal {signal}"),
                (None, None) => "ended".to_owned(),
            };
            format!(
                "command   #{command} {how} after {}, {} out, {} err",
                values::took(Duration::from_millis(*duration_ms)),
                values::bytes(stdout.bytes),
                values::bytes(stderr.bytes)
            )
        }
        Record::File { path, change, bytes, sha256 } => {
            let change = match change {
                Change::Created => "created",
                Change::Modified => "modified",
                Change::Deleted => "deleted",
            };
            let size = bytes.map(|size| format!(", {}", values::bytes(size))).unwrap_or_default();
            let hash = sha256.as_ref().map(|hash| format!(", sha256 {hash}")).unwrap_or_default();
            format!("file      {change} {}{size}{hash}", one_line(path))
        }
        Record::FilesSkipped { files } => format!("file      {files} more"),
        Record::Resources { wall_ms, cpu_ms, memory_bytes, disk_bytes, processes } => format!(
            "resources after {}: CPU {}, memory {}, disk {}, {processes} processes",
            values::took(Duration::from_millis(*wall_ms)),
            values::took(Duration::from_millis(*cpu_ms)),
            values::bytes(*memory_bytes),
            values::bytes(*disk_bytes)
        ),
        Record::Message { from, text, .. } => format!("message   from {}: {}", one_line(from), one_line(text)),
        Record::Ended { outcome } => format!("ended     {:?}: {}", outcome.event(), one_line(outcome.message())),
    };
    format!("{at}  {what}")
}

/// How a person would have typed it.
fn command_line(argv: &[String]) -> String {
    let plain = |word: &&String| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:=@,+%".contains(&b))
    };
    let words =
        argv.iter().map(|word| if plain(&word) { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) });
    shorten(&one_line(&words.collect::<Vec<_>>().join(" ")), 200)
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Preflight => "preflight",
        Phase::Clone => "clone",
        Phase::Setup => "setup",
        Phase::Task => "task",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn events() -> Vec<Event> {
        let digest = json!({"bytes": 6, "sha256": "00"});
        let records = json!([
            {"type": "state", "state": "CLAIMED"},
            {"type": "notice", "text": "no container engine:\nthe image is not used"},
            {"type": "command.started", "command": 1, "phase": "preflight", "argv": ["bash", "--version"], "cwd": "/w"},
            {"type": "output", "command": 1, "stream": "stdout", "text": "GNU bash\n"},
            {"type": "command.ended", "command": 1, "exit_code": 0, "duration_ms": 9, "stdout": digest, "stderr": digest},
            {"type": "command.started", "command": 2, "phase": "setup", "argv": ["bash", "-c", "npm ci && it's"], "cwd": "/w"},
            {"type": "output", "command": 2, "stream": "stdout", "text": "added 3 packages\n"},
            {"type": "command.ended", "command": 2, "exit_code": 1, "duration_ms": 2100, "stdout": digest, "stderr": digest},
            {"type": "state", "state": "INPROGRESS"},
            {"type": "command.started", "command": 3, "phase": "task", "argv": ["bash", "script"], "cwd": "/w/web"},
            {"type": "output", "command": 3, "stream": "stdout", "text": "hello\n"},
            {"type": "output", "command": 3, "stream": "stderr", "text": "warning\n"},
            {"type": "output.skipped", "command": 3, "kept_bytes": 2048, "dropped_bytes": 1048576, "parts": 1, "kept_sha256": "00"},
            {"type": "command.ended", "command": 3, "signal": 9, "duration_ms": 61000, "stdout": digest, "stderr": digest},
            {"type": "file", "path": "a.txt", "change": "created", "bytes": 5, "sha256": "abcd"},
            {"type": "file", "path": "b.txt", "change": "deleted"},
            {"type": "files.skipped", "files": 7},
            {"type": "resources", "wall_ms": 61000, "cpu_ms": 1200, "memory_bytes": 12582912, "disk_bytes": 4096, "processes": 2},
            {"type": "message", "id": "1", "from": "ada", "text": "also\nthis"},
            {"type": "ended", "outcome": "failed", "class": "task_failed", "message": "exit code 1"},
        ]);
        let at = |mut record: serde_json::Value| {
            record["at"] = "2026-11-21T01:02:03.004Z".into();
            serde_json::from_value(record).unwrap()
        };
        records.as_array().unwrap().iter().cloned().map(at).collect()
    }

    #[test]
    fn the_live_view_tells_what_a_person_wants_to_know() {
        let mut narrator = Narrator::default();
        let told: Vec<String> =
            events().iter().filter_map(|event| narrator.tell(event)).map(|said| format!("{said:?}")).collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
State(Claimed)
Notice("no container engine: the image is not used")
Step("bash -c 'npm ci && it'\\''s'")
Stderr("added 3 packages\n")
Notice("exit code 1 after 2.1 s")
State(InProgress)
Stdout("hello\n")
Stderr("warning\n")
Notice("2.0 KiB of output are not shown here but kept in the archive, 1.0 MiB more were dropped")
Notice("message from ada: also this")
"#);
        insta::assert_snapshot!(narrator.facts().join("\n"), @r"
files: 1 created, 1 deleted, 7 more
peak memory 12.0 MiB
");
    }

    #[test]
    fn the_audit_view_tells_everything() {
        let lines: Vec<String> = events().iter().map(describe).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
01:02:03.004  state     CLAIMED
01:02:03.004  notice    no container engine: the image is not used
01:02:03.004  command   #1 preflight in /w: bash --version
01:02:03.004  output    #1 stdout: GNU bash
01:02:03.004  command   #1 exit code 0 after 0.0 s, 6 B out, 6 B err
01:02:03.004  command   #2 setup in /w: bash -c 'npm ci && it'\''s'
01:02:03.004  output    #2 stdout: added 3 packages
01:02:03.004  command   #2 exit code 1 after 2.1 s, 6 B out, 6 B err
01:02:03.004  state     INPROGRESS
01:02:03.004  command   #3 task in /w/web: bash script
01:02:03.004  output    #3 stdout: hello
01:02:03.004  output    #3 stderr: warning
01:02:03.004  output    #3 2.0 KiB kept in 1 objects, 1.0 MiB dropped
01:02:03.004  command   #3 signal 9 after 1 min 01 s, 6 B out, 6 B err
01:02:03.004  file      created a.txt, 5 B, sha256 abcd
01:02:03.004  file      deleted b.txt
01:02:03.004  file      7 more
01:02:03.004  resources after 1 min 01 s: CPU 1.2 s, memory 12.0 MiB, disk 4.0 KiB, 2 processes
01:02:03.004  message   from ada: also this
01:02:03.004  ended     Failed: exit code 1
");
    }
}
