//! Any JSON, as a webhook of Linear's: nothing panics, and what is said to us instead of an agent is never a prompt.
//!
//! In `shared/domain`, with the payloads to begin with:
//! `mkdir -p fuzz/corpus/linear && cargo +nightly fuzz run linear fuzz/corpus/linear ../../events/linear`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ozma_domain::provider::{ActorKind, Decoded, Own, Provider};

fuzz_target!(|bytes: &[u8]| {
    let Ok(payload) = serde_json::from_slice(bytes) else { return };
    let own = Own { mention: Some("@oz".to_owned()), ..Own::default() };
    match Provider::Linear.decode("", &payload, &own) {
        Ok(Decoded::Used(occurrence)) => {
            assert!(occurrence.text.is_none() || occurrence.control.is_none());
            assert!(occurrence.names.iter().all(|name| Provider::Linear.events().contains(&name.as_str())));
            let actor = &occurrence.actor;
            assert_eq!(
                actor.association.is_some(),
                actor.kind == ActorKind::User,
                "users are members, and nobody else"
            );
        }
        Ok(Decoded::NotUsed { name, why }) => assert!(!name.is_empty() && !why.is_empty()),
        Err(err) => assert!(!err.field.is_empty()),
    }
});
