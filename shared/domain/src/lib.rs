//! Ozma's rules, as pure code: what states a run has, what a plan allows, how an audit trail is chained and proven.
//!
//! Nothing here does IO, reads a clock or the environment, or draws random numbers, so nothing here can fail for an
//! outside reason. Everything with an `await` lives above, fetches facts, asks this crate, and writes the answer.

pub mod answer;
pub mod artifact;
pub mod audit;
pub mod automation;
pub mod aws;
mod checks;
pub mod definition;
pub mod delivery;
pub mod environment;
pub mod error_code;
pub mod event_key;
pub mod failure;
pub mod filter;
pub mod harness;
pub mod id;
pub mod identity;
pub mod lane;
pub mod ledger;
pub mod lifecycle;
pub mod limits;
pub mod mask;
pub mod named_agent;
pub mod notification;
pub mod outcome;
pub mod plan;
pub mod prompt_template;
pub mod protocol;
pub mod provider;
pub mod pull_request;
pub mod receipt;
pub mod receiver;
pub mod redelivery;
pub mod repository;
mod rotation;
pub mod run;
pub mod run_limits;
pub mod runner;
pub mod schedule;
pub mod scheduling;
pub mod sealed;
pub mod standard_webhooks;
pub mod state;
pub mod subscription;
pub mod team_settings;
pub mod template;
pub mod text;
pub mod token;
pub mod trigger;
pub mod waiting;
pub mod webhook;
pub mod webhook_auth;
