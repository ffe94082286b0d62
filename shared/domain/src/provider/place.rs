//! Where an answer goes, and what a person may say besides asking for work.

use serde::{Deserialize, Serialize};

use super::Provider;
use crate::id::RunId;

/// What a provider needs to find the conversation again that an event belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Place {
    /// An issue or pull request, whose comments are one list to GitHub.
    GithubItem { repository: String, number: u64 },
    /// A commit alone, which can have a check run.
    GithubCommit { repository: String, sha: String },
    /// A thread of a channel or of a direct conversation; `thread` is the `ts` of its first message.
    SlackThread { team: String, channel: String, thread: String },
    /// A channel or a direct conversation alone: a slash command is no message, and nobody can reply to it. What is posted
    /// there begins a thread of its own.
    SlackChannel { team: String, channel: String },
    /// A session that somebody opened with our app, by mention or by delegation.
    LinearSession { session: String },
    /// An issue, by its id.
    LinearIssue { issue: String },
    /// An issue, by its key.
    JiraIssue { issue: String },
    /// An issue or merge request of a project, by the number that it has there; `discussion` where a comment began one.
    GitlabItem {
        project: u64,
        kind: GitlabKind,
        iid: u64,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        discussion: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GitlabKind {
    Issue,
    MergeRequest,
}

/// What somebody tells us that is no work for an agent, and must never become its prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Control {
    /// End the run: that of the conversation where none is named.
    Stop {
        #[serde(skip_serializing_if = "Option::is_none", default)]
        run: Option<RunId>,
    },
    /// Tell how it stands: of the conversation's run where none is named, and of all where there is no conversation.
    Status {
        #[serde(skip_serializing_if = "Option::is_none", default)]
        run: Option<RunId>,
    },
    /// Tell what can be said.
    Help,
}

impl Place {
    /// Whose it is.
    pub fn provider(&self) -> Provider {
        match self {
            Self::GithubItem { .. } | Self::GithubCommit { .. } => Provider::Github,
            Self::SlackThread { .. } | Self::SlackChannel { .. } => Provider::Slack,
            Self::LinearSession { .. } | Self::LinearIssue { .. } => Provider::Linear,
            Self::JiraIssue { .. } => Provider::Jira,
            Self::GitlabItem { .. } => Provider::Gitlab,
        }
    }
}

impl Control {
    /// What a text says that is one of these words and nothing else. A sentence that begins with one is work: whoever takes
    /// it for a wish to stop ends what somebody else is waiting for.
    pub(super) fn said(text: &str) -> Option<Self> {
        let word = text.trim().trim_end_matches(['.', '!']).trim_end();
        match word.to_ascii_lowercase().as_str() {
            "stop" | "cancel" => Some(Self::Stop { run: None }),
            "status" => Some(Self::Status { run: None }),
            "help" => Some(Self::Help),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_alone_is_for_us() {
        let (stop, status) = (Some(Control::Stop { run: None }), Some(Control::Status { run: None }));
        for text in ["stop", "Stop.", " STOP!! \n", "cancel", "Cancel!", "stop ."] {
            assert_eq!(Control::said(text), stop, "{text}");
        }
        assert_eq!((Control::said("status"), Control::said("Help!")), (status, Some(Control::Help)));
        let more =
            ["stop it", "stop, please", "stop the login from failing", "don't stop", "stop?", "stopp", "", ".", "s"];
        for text in more {
            assert_eq!(Control::said(text), None, "{text}");
        }
    }
}
