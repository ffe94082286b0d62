//! How an execution ended.

use serde::{Deserialize, Serialize};

use crate::failure::FailureClass;
use crate::state::RunEvent;

/// The end of one execution, as its agent, the launcher or the sweep tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    Succeeded {
        summary: String,
    },
    Failed {
        class: FailureClass,
        /// One line that says what happened and, where there is one, the remedy.
        message: String,
    },
    Cancelled,
}

impl Outcome {
    pub fn failed(class: FailureClass, message: impl Into<String>) -> Self {
        Self::Failed { class, message: message.into() }
    }

    /// The run's last step, were there no retry.
    pub fn event(&self) -> RunEvent {
        match self {
            Self::Succeeded { .. } => RunEvent::Succeeded,
            Self::Failed { class, .. } => class.verdict().event,
            Self::Cancelled => RunEvent::Cancelled,
        }
    }

    pub fn message(&self) -> &str {
        match self {
            Self::Succeeded { summary } => summary,
            Self::Failed { message, .. } => message,
            Self::Cancelled => "cancelled",
        }
    }
}
