//! Any JSON, as a webhook of Github's.
//!
//! In `shared/domain`, with the payloads to begin with:
//! `mkdir -p fuzz/corpus/github && cargo +nightly fuzz run github fuzz/corpus/github ../../events/github`.
#![no_main]

mod decoding;

use libfuzzer_sys::fuzz_target;
use ozma_domain::provider::{Own, Provider};

use decoding::decoded;

/// What the header `X-GitHub-Event` says of events that are used.
const KINDS: [&str; 15] = [
    "issues",
    "issue_comment",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_review_thread",
    "push",
    "check_suite",
    "check_run",
    "workflow_run",
    "deployment_status",
    "release",
    "discussion",
    "discussion_comment",
    "commit_comment",
];

fuzz_target!(|bytes: &[u8]| {
    let Ok(payload) = serde_json::from_slice(bytes) else { return };
    let own = Own { mention: Some("@oz".to_owned()), logins: vec!["ozma[bot]".to_owned()], ..Own::default() };
    for kind in KINDS {
        decoded(Provider::Github, kind, &payload, &own);
    }
});
