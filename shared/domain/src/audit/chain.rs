//! The hash chain: `prev` of a line is the SHA-256 of the line before it, of the first line a constant of its execution.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::id::ExecutionId;

/// A SHA-256, as hex in text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

pub fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

impl Digest {
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The end of a chain, to which the next line is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Lines so far.
    pub events: u64,
    /// The hash that the next line carries.
    pub head: Digest,
}

/// Where a line does not continue the chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("line {line} is not an audit event")]
    NotAnEvent { line: u64 },
    #[error("line {line} is numbered {found}")]
    Number { line: u64, found: u64 },
    #[error("line {line} does not follow the line before it: something was changed, added or removed")]
    Link { line: u64 },
}

/// What the chain adds to an event.
#[derive(Deserialize)]
struct Link {
    event: u64,
    prev: Digest,
}

impl Chain {
    /// The chain of an execution before its first line.
    pub fn genesis(execution: ExecutionId) -> Self {
        Self { events: 0, head: digest(format!("ozma audit v1\n{execution}").as_bytes()) }
    }

    /// Numbers an event and links it to the line before. `event` is what the agent sent; a member of it named like one
    /// of the chain's is replaced.
    pub fn add(&mut self, event: &serde_json::Map<String, serde_json::Value>) -> String {
        let mut line = serde_json::Map::with_capacity(event.len() + 2);
        line.insert("event".to_owned(), (self.events + 1).into());
        line.extend(
            event.iter().filter(|(key, _)| *key != "event" && *key != "prev").map(|(k, v)| (k.clone(), v.clone())),
        );
        line.insert("prev".to_owned(), self.head.to_string().into());
        let line = serde_json::Value::Object(line).to_string();
        self.events += 1;
        self.head = digest(line.as_bytes());
        line
    }

    /// Follows a stored line.
    pub fn follow(&mut self, line: &str) -> Result<(), Broken> {
        let number = self.events + 1;
        let link: Link = serde_json::from_str(line).map_err(|_| Broken::NotAnEvent { line: number })?;
        if link.event != number {
            return Err(Broken::Number { line: number, found: link.event });
        }
        if link.prev != self.head {
            return Err(Broken::Link { line: number });
        }
        self.events = number;
        self.head = digest(line.as_bytes());
        Ok(())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", hex::encode(&self.0[..4]))
    }
}

impl FromStr for Digest {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, hex::FromHexError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::id::RunId;

    fn execution() -> ExecutionId {
        ExecutionId::new(RunId::new(1, [1; 10]), 1)
    }

    fn event(text: &str) -> Map<String, Value> {
        let Value::Object(event) = json!({"type": "notice", "text": text, "prev": "forged", "event": 99}) else {
            unreachable!()
        };
        event
    }

    fn chained(texts: &[String]) -> Vec<String> {
        let mut chain = Chain::genesis(execution());
        texts.iter().map(|text| chain.add(&event(text))).collect()
    }

    fn follow(lines: &[String]) -> Result<Chain, Broken> {
        let mut chain = Chain::genesis(execution());
        lines.iter().try_for_each(|line| chain.follow(line))?;
        Ok(chain)
    }

    #[test]
    fn a_line_reads_as_plain_json() {
        let lines = chained(&["one".to_owned(), "two".to_owned()]);
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn another_executions_lines_do_not_fit() {
        let lines = chained(&["one".to_owned()]);
        let mut other = Chain::genesis(ExecutionId::new(execution().run, 2));
        assert_eq!(other.follow(&lines[0]), Err(Broken::Link { line: 1 }));
    }

    proptest! {
        #[test]
        fn what_was_chained_follows(texts in prop::collection::vec(".*", 0..8)) {
            prop_assert_eq!(follow(&chained(&texts)).map(|chain| chain.events), Ok(texts.len() as u64));
        }

        /// Any line changed, removed, doubled or swapped is noticed, unless nothing follows it: that is the manifest's part.
        #[test]
        fn tampering_shows(texts in prop::collection::vec("[a-z]{1,8}", 3..8), at in 0usize..6, how in 0usize..4) {
            let mut lines = chained(&texts);
            let at = at % (lines.len() - 2);
            match how {
                0 => lines[at] = lines[at].replacen("notice", "notise", 1),
                1 => { lines.remove(at); }
                2 => { let line = lines[at].clone(); lines.insert(at, line); }
                _ => lines.swap(at, at + 1),
            }
            prop_assert!(follow(&lines).is_err());
        }
    }
}
