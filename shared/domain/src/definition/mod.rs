//! Definitions: what a team keeps in files, and applies as a whole.

mod difference;
mod secret;

use std::fmt;
use std::str::FromStr;

pub use difference::{FieldChange, differences};
pub use secret::secret_in;

use crate::automation::AutomationConfig;
use crate::environment::EnvironmentConfig;
use crate::id::as_text;
use crate::named_agent::NamedAgentConfig;
use crate::runner::RunnerConfig;
use crate::schedule::ScheduleConfig;
use crate::subscription::SubscriptionConfig;
use crate::template::InvalidField;
use crate::webhook::WebhookConfig;

/// What can be defined. In the order in which the kinds build on one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Runner,
    Environment,
    Agent,
    Webhook,
    Automation,
    Schedule,
    Subscription,
}

/// A text that names no kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a kind that can be defined; there are runner, environment, agent, webhook, automation, schedule and \
     subscription"
)]
pub struct UnknownKind(String);

/// What somebody wants there to be, under its name. Others that it needs are named by their ids.
#[derive(Clone, Debug, PartialEq)]
pub enum Definition {
    Runner(RunnerConfig),
    Environment(EnvironmentConfig),
    Agent(NamedAgentConfig),
    Webhook(WebhookConfig),
    Automation(AutomationConfig),
    Schedule(ScheduleConfig),
    Subscription(SubscriptionConfig),
}

/// Something else that is named by its id, and has to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need<'a> {
    /// Where it is named, such as `config.environment_id`.
    pub field: String,
    pub kind: Kind,
    pub id: &'a str,
}

/// The name of a set: definitions that are kept together. What an apply makes carries the name of its set, and to prune a set
/// takes away what carries it and is defined no more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetName(String);

/// A text that is no name of a set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not the name of a set (1 to 64 of a-z, A-Z, 0-9, . _ -)")]
pub struct InvalidSetName(String);

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::Runner,
        Self::Environment,
        Self::Agent,
        Self::Webhook,
        Self::Automation,
        Self::Schedule,
        Self::Subscription,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runner => "runner",
            Self::Environment => "environment",
            Self::Agent => "agent",
            Self::Webhook => "webhook",
            Self::Automation => "automation",
            Self::Schedule => "schedule",
            Self::Subscription => "subscription",
        }
    }
}

impl Definition {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Runner(_) => Kind::Runner,
            Self::Environment(_) => Kind::Environment,
            Self::Agent(_) => Kind::Agent,
            Self::Webhook(_) => Kind::Webhook,
            Self::Automation(_) => Kind::Automation,
            Self::Schedule(_) => Kind::Schedule,
            Self::Subscription(_) => Kind::Subscription,
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Runner(config) => &config.name,
            Self::Environment(config) => &config.name,
            Self::Agent(config) => &config.name,
            Self::Webhook(config) => &config.name,
            Self::Automation(config) => &config.name,
            Self::Schedule(config) => &config.name,
            Self::Subscription(config) => &config.name,
        }
    }

    /// Whether it could be made, as far as it alone says.
    pub fn check(&self) -> Result<(), InvalidField> {
        match self {
            Self::Runner(config) => config.check(),
            Self::Environment(config) => config.check(),
            Self::Agent(config) => config.check(),
            Self::Webhook(config) => config.check(),
            Self::Automation(config) => config.check(),
            Self::Schedule(config) => config.check(),
            Self::Subscription(config) => config.check(),
        }
    }

    pub fn needs(&self) -> Vec<Need<'_>> {
        match self {
            Self::Webhook(_) | Self::Subscription(_) => Vec::new(),
            Self::Runner(config) => config.needs(),
            Self::Environment(config) => config.needs(),
            Self::Agent(config) => config.needs(),
            Self::Automation(config) => config.needs(),
            Self::Schedule(config) => config.needs(),
        }
    }
}

impl<'a> Need<'a> {
    pub fn new(field: &str, kind: Kind, id: &'a str) -> Self {
        Self { field: field.to_owned(), kind, id }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| UnknownKind(text.chars().take(80).collect()))
    }
}

impl Default for SetName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SetName {
    type Err = InvalidSetName;

    fn from_str(text: &str) -> Result<Self, InvalidSetName> {
        let is_valid =
            (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if is_valid { Ok(Self(text.to_owned())) } else { Err(InvalidSetName(text.chars().take(80).collect())) }
    }
}

as_text!(Kind, SetName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_does_not_exist_is_told_which_do() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        for other in ["agents", "identity", "Environment", ""] {
            let told = other.parse::<Kind>().expect_err("refused").to_string();
            assert!(Kind::ALL.iter().all(|kind| told.contains(kind.as_str())), "{told}");
        }
    }

    #[test]
    fn a_set_is_a_short_word() {
        for (text, valid) in [("default", true), ("team-a.prod_2", true), ("", false), ("a b", false), ("a/b", false)] {
            assert_eq!(text.parse::<SetName>().is_ok(), valid, "{text}");
        }
        assert!("x".repeat(65).parse::<SetName>().is_err());
    }
}
