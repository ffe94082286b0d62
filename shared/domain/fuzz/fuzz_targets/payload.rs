//! Any bytes, as a body that was signed: what is read as JSON is read by everybody in the same way, and what is a form of
//! Slack's has each field once.
//!
//! In `shared/domain`: `mkdir -p fuzz/corpus/payload && cargo +nightly fuzz run payload fuzz/corpus/payload ../../events/github`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ozma_domain::provider::slack;
use ozma_domain::webhook::Payload;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let plain = serde_json::from_slice::<Value>(bytes);
    match Payload::json(bytes) {
        Ok(Payload(value)) => assert_eq!(plain.ok(), Some(value), "one reading"),
        Err(err) => assert!(!err.to_string().is_empty()),
    }
    if let Ok(form) = slack::form(bytes) {
        assert!(form.is_object());
    }
});
