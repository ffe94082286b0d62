//! Receive: something outside tells that something happened, and automations say what that starts. Whatever comes in may come
//! in again, and whoever takes it may die at any moment: each delivery is noted with the runs that it starts, and their ids,
//! before any of them is made.
//!
//! | step | is |
//! | --- | --- |
//! | `arrival` | who sent it, and whether that is true, over the bytes as they came; then what it says |
//! | `people` | who did it, where that decides whether they may, as far as it is known |
//! | `origin` | whose code it is about, where that decides about secrets and the payload does not say it |
//! | `identify` | what its provider is asked for: who did it, or whose code it is about |
//! | `matching` | which automations it starts, and why not the others |
//! | `deliver` | what is written, in which order, and what whoever goes on finds |
//! | `start` | one run of one automation |
//! | `follow_up` | what is said in a conversation, to the run that answers there |
//! | `control` | what is said to us: stop, status, help |
//! | `words` | what people are told |

mod arrival;
mod body;
mod control;
mod deliver;
mod follow_up;
#[cfg(feature = "outbound")]
mod identify;
mod matching;
mod origin;
mod people;
mod start;
mod words;

pub use arrival::{Request, Taken, account_event, planned, too_large, webhook};
pub use deliver::{Delivered, Refused, finish, replay};
#[cfg(feature = "outbound")]
pub use identify::identify;
pub use matching::{Tried, try_out};

use ozma_domain::id::AutomationId;
use ozma_domain::webhook::InvalidPayload;
use ozma_domain::webhook_auth::{InvalidDedupe, Unverified};
use ozma_store::StoreError;

/// Why nothing was taken.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    #[error(transparent)]
    Unverified(#[from] Unverified),
    #[error(transparent)]
    Sender(#[from] InvalidDedupe),
    #[error(transparent)]
    Payload(#[from] InvalidPayload),
    #[error("the payload is not of its provider: {0}")]
    Decode(#[from] ozma_domain::template::InvalidField),
    #[error("the body has more than {} KiB", ozma_domain::limits::WEBHOOK_BYTES / 1024)]
    TooLarge,
    /// Unknown, deleted, paused, or without its secret yet.
    #[error("nothing takes events at this address")]
    Nowhere,
    #[error("the automation {0} is paused")]
    Paused(AutomationId),
    /// 429.
    #[error("{reason}; try again in {retry_seconds} s")]
    TooMany { reason: String, retry_seconds: u64 },
    #[error("another body was delivered under this id before; use a new id for a new delivery")]
    Reused,
    #[error("the event could not be stored")]
    Store(#[from] StoreError),
}
