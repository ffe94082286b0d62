//! `application/x-www-form-urlencoded`, as slash commands come.

use serde_json::{Map, Value};

use crate::limits;
use crate::template::InvalidField;

/// A form as an object of texts, for [`super::super::Provider::decode`]. It is read strictly, as it is read after it was
/// signed: each name once, each value with its name, percent-encoded UTF-8.
pub fn form(body: &[u8]) -> Result<Value, InvalidField> {
    let no = |reason: &str| Err(InvalidField::new("body", reason));
    if body.len() > limits::EVENT_FORM_BYTES {
        return no(&format!("a form of more than {} bytes", limits::EVENT_FORM_BYTES));
    }
    let mut fields = Map::new();
    for pair in body.split(|byte| *byte == b'&').filter(|_| !body.is_empty()) {
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else {
            return no("not a form: name=value, with & between them");
        };
        let Some(name) = decoded(&pair[..equals]).filter(|name| !name.is_empty()) else {
            return no("a name that is empty, or not percent-encoded UTF-8");
        };
        let Some(value) = decoded(&pair[equals + 1..]) else {
            return Err(InvalidField::new(name, "not percent-encoded UTF-8"));
        };
        if fields.len() == limits::EVENT_FORM_FIELDS {
            return no(&format!("more than {} fields", limits::EVENT_FORM_FIELDS));
        }
        if fields.insert(name.clone(), Value::String(value)).is_some() {
            return Err(InvalidField::new(name, "comes more than once"));
        }
    }
    Ok(Value::Object(fields))
}

/// Nothing but visible ASCII stands for itself.
fn decoded(encoded: &[u8]) -> Option<String> {
    let (mut decoded, mut rest) = (Vec::with_capacity(encoded.len()), encoded);
    while let [byte, after @ ..] = rest {
        rest = after;
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let [high, low, after @ ..] = after else { return None };
                rest = after;
                digit(*high)? << 4 | digit(*low)?
            }
            byte if byte.is_ascii_graphic() => *byte,
            _ => return None,
        });
    }
    String::from_utf8(decoded).ok()
}

fn digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Value) {
        assert_eq!(form(body.as_bytes()), Ok(expected));
    }

    #[track_caller]
    fn refused(body: &[u8], expected: &str) {
        assert_eq!(form(body).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_form_is_an_object_of_texts() {
        check("", json!({}));
        check("command=%2Foz&text=run+fix%20it%21", json!({"command": "/oz", "text": "run fix it!"}));
        check("text=", json!({"text": ""}));
        check("a=b=c%3d&%C3%a4=%F0%9F%98%80", json!({"a": "b=c=", "ä": "😀"}));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for body in ["a", "a=1&", "&", "a=1&&b=2"] {
            refused(body.as_bytes(), "body: not a form: name=value, with & between them");
        }
        for body in ["=1", "%=1", "%ff=1", "a b=1"] {
            refused(body.as_bytes(), "body: a name that is empty, or not percent-encoded UTF-8");
        }
        for value in ["%", "%4", "%4g", "%+1", "%ff", "%C3", "a b", "\n"] {
            refused(format!("a={value}").as_bytes(), "a: not percent-encoded UTF-8");
        }
        refused(b"a=\xc3\xa4", "a: not percent-encoded UTF-8");
        refused(b"text=1&te%78t=2", "text: comes more than once");
        let many: Vec<_> = (0..=limits::EVENT_FORM_FIELDS).map(|field| format!("f{field}=")).collect();
        refused(many.join("&").as_bytes(), "body: more than 100 fields");
        let most = many[..limits::EVENT_FORM_FIELDS].join("&");
        assert_eq!(form(most.as_bytes()).unwrap().as_object().unwrap().len(), limits::EVENT_FORM_FIELDS);
        let long = format!("a={}", "a".repeat(limits::EVENT_FORM_BYTES - 1));
        refused(long.as_bytes(), "body: a form of more than 524288 bytes");
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(fields in prop::collection::btree_map(".{1,8}", ".{0,16}", 0..8)) {
            let encode = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
            let pairs = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
            let body = pairs.collect::<Vec<_>>().join("&");
            prop_assert_eq!(form(body.as_bytes()), Ok(json!(fields)));
        }

        #[test]
        fn any_bytes_are_a_form_or_refused(body in prop::collection::vec(prop::sample::select(&b"a=&%+4F\xc3\xa4 "[..]), 0..40)) {
            if let Ok(Value::Object(fields)) = form(&body) {
                prop_assert!(fields.values().all(Value::is_string));
                prop_assert_eq!(fields.len(), if body.is_empty() { 0 } else { body.split(|b| *b == b'&').count() });
            }
        }
    }
}
