//! How Ozma talks back to GitHub, Slack, Linear, Jira Cloud and GitLab: a status that is edited in place, a reply, and the
//! questions whose answers decide whether somebody may start a run.
//!
//! A call is made once. Whoever calls again asks [`Error::disposition`] when, and looks first (`find_…`) whether what it
//! wants to write is there already, because an answer may have been lost. The crate reads no clock and no environment, and
//! decides nothing.

pub mod github;
mod gitlab;
mod http;
mod jira;
mod linear;
mod slack;

mod error;

pub use error::{Disposition, Error};
pub use gitlab::{Gitlab, Item, MergeRequest};
pub use http::{BaseUrl, Http, InvalidBaseUrl};
pub use jira::Jira;
pub use linear::{Activity, Linear, Viewer};
pub use slack::{Bot, Message, Slack};
