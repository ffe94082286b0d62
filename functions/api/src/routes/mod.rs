//! The handlers, a file per noun. Each verifies, decodes, asks a use case, and answers.

pub(crate) mod artifacts;
pub(crate) mod audit;
pub(crate) mod automations;
pub(crate) mod definitions;
pub(crate) mod deliveries;
pub(crate) mod environments;
pub(crate) mod fields;
pub(crate) mod health;
pub(crate) mod identities;
pub(crate) mod new_run;
pub(crate) mod run_item;
pub(crate) mod run_query;
pub(crate) mod runners;
pub(crate) mod runs;
pub(crate) mod schedules;
pub(crate) mod secrets;
pub(crate) mod subscriptions;
pub(crate) mod teams;
pub(crate) mod timeline;
pub(crate) mod triggers;
pub(crate) mod webhooks;
pub(crate) mod whoami;
