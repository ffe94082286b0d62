//! What an execution left in its workspace, kept as a set: the files first, then the list that makes them a set.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{ExecutionId, InvalidId};
use crate::limits;

/// The list. There is a set once it is stored, and it is stored once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSet {
    /// When it was stored; the agent does not say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub saved_at: Option<Timestamp>,
    pub files: Vec<SavedFile>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub left_out: Vec<LeftOut>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedFile {
    /// Of its object, from 1.
    pub number: u32,
    /// Relative to the folder of the work, with `/` between its names.
    pub path: String,
    #[serde(flatten)]
    pub kind: SavedKind,
    /// Of the content, not of the gzip that is stored.
    pub bytes: u64,
    pub sha256: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SavedKind {
    /// Takes the repository in `folder` from the commit `base` to what it was, for `git apply`.
    Patch {
        folder: String,
        base: String,
    },
    File {
        executable: bool,
    },
}

/// What was changed and is not kept, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    pub path: String,
    pub reason: String,
}

/// `<execution id>-<number>`: one file of a set. Nothing has to be looked up to find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArtifactId {
    pub execution: ExecutionId,
    pub number: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSet {
    #[error("files: {0} are more than {limit}", limit = limits::SAVED_FILES)]
    Files(usize),
    #[error("left_out: {0} are more than {limit}", limit = limits::SAVED_LEFT_OUT)]
    LeftOut(usize),
    #[error("files: together larger than {limit} bytes", limit = limits::SAVED_BYTES)]
    Bytes,
    #[error("number: {0} is there twice, or not from 1 to {limit}", limit = limits::SAVED_FILES)]
    Number(u32),
    #[error("path: {0:?} is not a relative path below the folder of the work")]
    Path(String),
    #[error("path: {0:?} is there twice")]
    Twice(String),
    #[error("sha256: {0:?} is not 64 hexadecimal digits")]
    Digest(String),
}

impl SavedSet {
    /// Whether it can be what an honest agent says: whoever reads it writes files by these names.
    pub fn check(&self) -> Result<(), InvalidSet> {
        if self.files.len() > limits::SAVED_FILES {
            return Err(InvalidSet::Files(self.files.len()));
        }
        if self.left_out.len() > limits::SAVED_LEFT_OUT {
            return Err(InvalidSet::LeftOut(self.left_out.len()));
        }
        if self.files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.bytes)) > limits::SAVED_BYTES {
            return Err(InvalidSet::Bytes);
        }
        let (mut paths, mut numbers) = (BTreeSet::new(), BTreeSet::new());
        for file in &self.files {
            let in_range = (1..=limits::SAVED_FILES).contains(&(file.number as usize));
            if !in_range || !numbers.insert(file.number) {
                return Err(InvalidSet::Number(file.number));
            }
            let mut named = vec![&file.path];
            if let SavedKind::Patch { folder, base } = &file.kind {
                named.push(folder);
                if !(base.len() == 40 || base.len() == 64) || !is_hex(base) {
                    return Err(InvalidSet::Digest(base.clone()));
                }
            }
            if let Some(path) = named.into_iter().find(|path| !is_safe(path)) {
                return Err(InvalidSet::Path(path.clone()));
            }
            if file.sha256.len() != 64 || !is_hex(&file.sha256) {
                return Err(InvalidSet::Digest(file.sha256.clone()));
            }
            if !paths.insert(&file.path) {
                return Err(InvalidSet::Twice(file.path.clone()));
            }
        }
        Ok(())
    }
}

/// Whether a path stays below the folder that it is joined to, on whatever system that is, and can be shown. What git
/// would read as its own is not a file of the work.
pub fn is_safe(path: &str) -> bool {
    let name = |name: &str| !matches!(name, "" | "." | "..") && !name.eq_ignore_ascii_case(".git");
    path.len() <= limits::SAVED_PATH_BYTES
        && !path.contains(|c: char| c.is_control() || c == '\\' || c == ':')
        && path.split('/').all(name)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl fmt::Display for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.execution, self.number)
    }
}

impl FromStr for ArtifactId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId { text: text.chars().take(80).collect(), expected: "an artifact's id" };
        let (execution, number) = text.rsplit_once('-').ok_or_else(invalid)?;
        let canonical = number.starts_with(|c: char| ('1'..='9').contains(&c));
        let number = number.parse().ok().filter(|_| canonical).ok_or_else(invalid)?;
        Ok(Self { execution: execution.parse().map_err(|_| invalid())?, number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_where_they_are_written() {
        for good in ["a", "src/main.rs", ".github/x", "a..b/...", "ä b/c'd\"e"] {
            assert!(is_safe(good), "{good:?}");
        }
        let long = "x".repeat(limits::SAVED_PATH_BYTES + 1);
        for bad in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\0", "a\nb", "a\\b", "C:a", ".git/x", &long] {
            assert!(!is_safe(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_set_is_what_an_honest_agent_says() {
        let file = |path: &str, bytes| SavedFile {
            number: 1,
            path: path.to_owned(),
            kind: SavedKind::File { executable: false },
            bytes,
            sha256: "0".repeat(64),
        };
        let set = |mut files: Vec<SavedFile>| {
            files.iter_mut().zip(1..).for_each(|(file, number)| file.number = number);
            SavedSet { files, ..SavedSet::default() }.check()
        };
        let twice = SavedSet { files: vec![file("a", 1), file("b", 1)], ..SavedSet::default() };
        assert_eq!(twice.check(), Err(InvalidSet::Number(1)));
        assert_eq!(set(vec![file("a", 1), file("b", 2)]), Ok(()));
        assert_eq!(set(vec![file("a", 1), file("a", 2)]), Err(InvalidSet::Twice("a".to_owned())));
        assert_eq!(set(vec![file("a", u64::MAX), file("b", u64::MAX)]), Err(InvalidSet::Bytes));
        assert_eq!(set(vec![file("../a", 1)]), Err(InvalidSet::Path("../a".to_owned())));
        assert!(set((0..=limits::SAVED_FILES).map(|n| file(&n.to_string(), 1)).collect()).is_err());
        let patch = |folder: &str, base: &str| {
            let kind = SavedKind::Patch { folder: folder.to_owned(), base: base.to_owned() };
            set(vec![SavedFile { kind, ..file("web.patch", 1) }])
        };
        assert_eq!(patch("web", &"a".repeat(40)), Ok(()));
        assert!(patch("..", &"a".repeat(40)).is_err() && patch("web", "--help").is_err());
    }

    #[test]
    fn an_artifact_has_one_id() {
        let text = "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10-2-7";
        let id: ArtifactId = text.parse().unwrap();
        assert_eq!((id.execution.number, id.number, id.to_string()), (2, 7, text.to_owned()));
        for bad in ["", "x", "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10-2-07", "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10-2-0"] {
            assert!(bad.parse::<ArtifactId>().is_err(), "{bad}");
        }
    }
}
