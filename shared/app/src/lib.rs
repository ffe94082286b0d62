//! The use cases, and the ports to the outside. Each use case fetches facts, asks `ozma-domain`, writes the answer on
//! condition that the facts still hold, and announces it. Each may run twice, late, or half: the state after is the same.

pub mod accept;
#[cfg(feature = "outbound")]
pub mod answers;
pub mod apply;
pub mod artifacts;
pub mod audit;
pub mod automations;
pub mod cancel;
pub mod clock;
pub mod complete;
#[cfg(feature = "outbound")]
pub mod deliver;
pub mod deliveries;
pub mod dispatch;
pub mod executions;
pub mod handle;
pub mod launch;
pub mod list;
pub mod messages;
pub mod metrics;
pub mod needs;
pub mod notify;
pub mod ports;
pub mod receive;
#[cfg(feature = "outbound")]
pub mod reply;
pub mod resources;
pub mod schedules;
pub mod settle;
pub mod subscriptions;
pub mod sweep;
pub mod teams;
pub mod transcript;
pub mod waiting;
pub mod webhooks;

mod app;
mod budget;
#[cfg(feature = "outbound")]
mod connected;
mod gzip;
mod maskers;
#[cfg(feature = "outbound")]
mod outbound;
mod queueing;
mod rate;
mod resolve;

pub use app::{App, Settings};
