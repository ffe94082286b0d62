//! A body, once it is believed: JSON in one reading.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::limits;
use crate::text;

/// What a body says.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload(pub Value);

/// Why a body is not one. Told to whoever could sign it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPayload {
    #[error("the body is no JSON: {0}")]
    Json(String),
    #[error("the body is a form without a member \"payload\"; let the sender send application/json")]
    Form,
}

impl Payload {
    /// Reads JSON. A member that comes twice is refused: whoever reads the body next might take the other one. Depth is
    /// bounded by the reader at 128.
    pub fn json(body: &[u8]) -> Result<Self, InvalidPayload> {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let value = Unambiguous.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
        value.map(Self).map_err(|err| InvalidPayload::Json(text::shorten(&err.to_string(), limits::TITLE_CHARS)))
    }
}

/// A value of which no member comes twice.
struct Unambiguous;

impl<'de> DeserializeSeed<'de> for Unambiguous {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unambiguous {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Self)?;
            if object.contains_key(&name) {
                let name = text::shorten(&text::one_line(&name), 40);
                return Err(A::Error::custom(format_args!("the member \"{name}\" comes twice in one object")));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(body: &[u8], expected: &str) {
        let told = Payload::json(body).map_or_else(|err| err.to_string(), |Payload(value)| value.to_string());
        assert!(told.starts_with(expected), "{told}");
    }

    #[test]
    fn any_json_is_a_payload() {
        for json in ["null", "true", "0", "-1", "1.5", "\"\"", "[]", "{}", r#"{"a":[{"b":null}]}"#] {
            check(json.as_bytes(), json);
        }
        check(b" \n[1]\t", "[1]");
    }

    #[test]
    fn what_is_none_or_two_things_is_refused() {
        check(b"", "the body is no JSON: EOF");
        check(b"{", "the body is no JSON: EOF");
        check(b"{} {}", "the body is no JSON: trailing characters");
        check(b"\"\xff\"", "the body is no JSON: ");
        check(b"NaN", "the body is no JSON: ");
        check(br#"{"a":1,"a":1}"#, "the body is no JSON: the member \"a\" comes twice in one object");
        check(br#"[{"x":{"b":1,"c":2,"b":3}}]"#, "the body is no JSON: the member \"b\" comes twice");
        check(br#"{"a":1,"\u0061":2}"#, "the body is no JSON: the member \"a\" comes twice");
        let deep = [vec![b'['; 200], vec![b']'; 200]].concat();
        check(&deep, "the body is no JSON: recursion limit exceeded");
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_any_reader_reads(text in "[\\[\\]{},:\"a0-2.e \\-]{0,24}") {
            if let Ok(Payload(value)) = Payload::json(text.as_bytes()) {
                prop_assert_eq!(Some(value), serde_json::from_str(&text).ok());
            }
        }
    }
}
