//! Any bytes, as the body of a request of Slack's: a form that is a slash command, or JSON that is an event. Nothing panics,
//! and what is said to us instead of an agent is never a prompt.
//!
//! In `shared/domain`, with the payloads to begin with:
//! `mkdir -p fuzz/corpus/slack && cargo +nightly fuzz run slack fuzz/corpus/slack ../../events/slack`.
#![no_main]

mod decoding;

use libfuzzer_sys::fuzz_target;
use ozma_domain::provider::{Own, Provider, slack};
use serde_json::Value;

use decoding::decoded;

fn check(kind: &str, payload: &Value) {
    let own = Own { logins: vec!["U0442US8QGH".to_owned()], ..Own::default() };
    let _ = (slack::challenge(payload), slack::delivery_id(payload), slack::response_url(payload));
    if let Some(occurrence) = decoded(Provider::Slack, kind, payload, &own) {
        assert!(occurrence.actor.association.is_none(), "who is a member is looked up");
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(form) = slack::form(bytes) {
        assert!(form.as_object().is_some_and(|fields| fields.values().all(Value::is_string)));
        check(slack::SLASH_COMMAND, &form);
    }
    if let Ok(payload) = serde_json::from_slice(bytes) {
        check(slack::EVENTS_API, &payload);
        check(slack::SLASH_COMMAND, &payload);
    }
});
