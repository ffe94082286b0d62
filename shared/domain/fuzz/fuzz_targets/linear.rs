//! Any JSON, as a webhook of Linear's: nothing panics, and what is said to us instead of an agent is never a prompt.
//!
//! In `shared/domain`, with the payloads to begin with:
//! `mkdir -p fuzz/corpus/linear && cargo +nightly fuzz run linear fuzz/corpus/linear ../../events/linear`.
#![no_main]

mod decoding;

use libfuzzer_sys::fuzz_target;
use ozma_domain::provider::{ActorKind, Own, Provider};

use decoding::decoded;

fuzz_target!(|bytes: &[u8]| {
    let Ok(payload) = serde_json::from_slice(bytes) else { return };
    let own = Own { mention: Some("@oz".to_owned()), ..Own::default() };
    if let Some(occurrence) = decoded(Provider::Linear, "", &payload, &own) {
        let actor = &occurrence.actor;
        assert_eq!(actor.association.is_some(), actor.kind == ActorKind::User, "users are members, and nobody else");
    }
});
