//! The clients against stand-ins of their providers, on loopback. Each request is held against what the provider publishes
//! of its API, where it does.

mod github;
mod gitlab;
mod jira;
mod limits;
mod linear;
mod published;
mod secrets;
mod slack;
mod stand_in;

use ozma_domain::id::RunId;
use ozma_providers::Http;

/// A client of a test: it goes straight to where it is told, and has no use for certificates.
fn http() -> Http {
    Http::new(reqwest::Client::builder().no_proxy().tls_certs_only([])).expect("a client")
}

fn run() -> RunId {
    "019ab0c0-7a3e-7000-8000-000000000001".parse().expect("a run")
}
