//! What holds of every decoder, whatever the payload.

use ozma_domain::provider::{Allow, Code, Decoded, Occurrence, Own, Provider, may_start};
use serde_json::Value;

/// Decodes a payload of `kind`; what it is used as, if it is.
pub fn decoded(provider: Provider, kind: &str, payload: &Value, own: &Own) -> Option<Box<Occurrence>> {
    let occurrence = match provider.decode(kind, payload, own) {
        Ok(Decoded::Used(occurrence)) => occurrence,
        Ok(Decoded::NotUsed { name, why }) => {
            assert!(!name.is_empty() && !why.is_empty());
            return None;
        }
        Err(err) => {
            assert!(!err.field.is_empty());
            return None;
        }
    };
    assert!(occurrence.text.is_none() || occurrence.control.is_none(), "what is said to us is no prompt");
    assert!(occurrence.names.iter().all(|name| provider.events().contains(&name.as_str())));
    let told = may_start(&occurrence, &Allow::default());
    assert!(occurrence.own.is_none() || told.is_err(), "our own doing starts nothing");
    if let Ok(start) = told {
        assert!(!start.secrets || occurrence.code == Code::Repository, "secrets are for the repository's own code");
    }
    Some(occurrence)
}
