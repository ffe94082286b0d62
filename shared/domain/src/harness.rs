//! Harnesses: the programs that do the thinking.

use serde::{Deserialize, Serialize};

/// Which harness a run asks for. Only [`HarnessKind::Shell`] works so far; the others are named so that a request for
/// them is answered with what is missing rather than with "unknown".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HarnessKind {
    Oz,
    Claude,
    Codex,
    Gemini,
    Opencode,
    /// The prompt is a bash script.
    Shell,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a harness (oz, claude, codex, gemini, opencode, shell)")]
pub struct UnknownHarness(pub String);

impl HarnessKind {
    pub const ALL: [Self; 6] = [Self::Oz, Self::Claude, Self::Codex, Self::Gemini, Self::Opencode, Self::Shell];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Oz => "oz",
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
            Self::Shell => "shell",
        }
    }

    /// Whether this version can run it.
    pub fn is_available(self) -> bool {
        self == Self::Shell
    }
}

impl std::str::FromStr for HarnessKind {
    type Err = UnknownHarness;

    fn from_str(text: &str) -> Result<Self, UnknownHarness> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownHarness(text.to_owned()))
    }
}
