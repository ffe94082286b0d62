//! Any JSON, as a webhook of Jira's.
//!
//! In `shared/domain`, with the payloads to begin with:
//! `mkdir -p fuzz/corpus/jira && cargo +nightly fuzz run jira fuzz/corpus/jira ../../events/jira`.
#![no_main]

mod decoding;

use libfuzzer_sys::fuzz_target;
use ozma_domain::provider::{Own, Provider};

use decoding::decoded;

fuzz_target!(|bytes: &[u8]| {
    let Ok(payload) = serde_json::from_slice(bytes) else { return };
    let own = Own { mention: Some("@oz".to_owned()), logins: vec!["ozma[bot]".to_owned()], ..Own::default() };
    decoded(Provider::Jira, "", &payload, &own);
});
