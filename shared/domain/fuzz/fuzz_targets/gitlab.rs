//! Any JSON, as a webhook of Gitlab's.
//!
//! In `shared/domain`, with the payloads to begin with:
//! `mkdir -p fuzz/corpus/gitlab && cargo +nightly fuzz run gitlab fuzz/corpus/gitlab ../../events/gitlab`.
#![no_main]

mod decoding;

use libfuzzer_sys::fuzz_target;
use ozma_domain::provider::{Own, Provider};

use decoding::decoded;

/// What the header `X-Gitlab-Event` says, as far as it matters.
const KINDS: [&str; 3] = ["System Hook", "Note Hook", ""];

fuzz_target!(|bytes: &[u8]| {
    let Ok(payload) = serde_json::from_slice(bytes) else { return };
    let own = Own { mention: Some("@oz".to_owned()), logins: vec!["ozma[bot]".to_owned()], ..Own::default() };
    for kind in KINDS {
        decoded(Provider::Gitlab, kind, &payload, &own);
    }
});
