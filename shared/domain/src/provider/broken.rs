//! Payloads that are broken at any place, and what holds of them whoever the provider is.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::{Decoded, Occurrence, Own, Provider};
use crate::limits;

/// Steps down a payload, and what is done there: another value, or none.
pub(super) type Break = (Vec<Index>, Value, bool);

pub(super) fn breaks() -> impl Strategy<Value = Vec<Break>> {
    prop::collection::vec((prop::collection::vec(any::<Index>(), 0..6), json_value(), any::<bool>()), 1..4)
}

pub(super) fn broken(payload: &Value, breaks: Vec<Break>) -> Value {
    let mut payload = payload.clone();
    for (steps, value, remove) in breaks {
        let (last, steps) = steps.split_last().map_or((None, &[][..]), |(last, steps)| (Some(last), steps));
        let place = place(&mut payload, steps);
        match (place, last, remove) {
            (Value::Object(members), Some(last), true) if !members.is_empty() => {
                let name = members.keys().nth(last.index(members.len())).cloned().unwrap_or_default();
                members.remove(&name);
            }
            (place, Some(last), _) => *self::place(place, &[*last]) = value,
            (place, None, _) => *place = value,
        }
    }
    payload
}

/// It is decoded within the limits and by known names, or left with a name and a reason, or refused by a member.
pub(super) fn holds(provider: Provider, event: &str, payload: &Value, own: &Own) -> Result<(), TestCaseError> {
    match provider.decode(event, payload, own) {
        Ok(Decoded::Used(occurrence)) => {
            let Occurrence { keys, text, control, .. } = &*occurrence;
            let longest = [&keys.item, &keys.commit, &keys.branch, &keys.thread].map(Option::as_ref);
            let longest = longest.into_iter().chain([Some(&keys.object)]);
            prop_assert!(longest.flatten().all(|key| key.len() <= limits::CONCURRENCY_KEY_BYTES));
            prop_assert!(text.as_ref().is_none_or(|text| text.len() <= limits::EVENT_TEXT_BYTES));
            prop_assert!(text.is_none() || control.is_none(), "a word to us is no prompt");
            prop_assert!(!occurrence.names.is_empty());
            prop_assert!(occurrence.names.iter().all(|name| provider.events().contains(&name.as_str())));
            let again: Occurrence = serde_json::from_value(serde_json::to_value(&*occurrence).unwrap()).unwrap();
            prop_assert_eq!(again, *occurrence);
        }
        Ok(Decoded::NotUsed { name, why }) => prop_assert!(!name.is_empty() && !why.is_empty()),
        Err(err) if err.field == "payload" => prop_assert!(!payload.is_object()),
        Err(err) => prop_assert!(names_a_member(payload, &err.field), "{}", err),
    }
    Ok(())
}

/// A place in a payload: at each depth one of the members or items, some of the way down.
fn place<'a>(value: &'a mut Value, steps: &[Index]) -> &'a mut Value {
    let count = match &*value {
        Value::Object(members) => members.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    };
    let Some((step, rest)) = steps.split_first().filter(|_| count > 0) else { return value };
    let next = match value {
        Value::Object(members) => members.values_mut().nth(step.index(count)),
        Value::Array(items) => items.get_mut(step.index(count)),
        _ => None,
    };
    place(next.expect("there are so many"), rest)
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(json!("0".repeat(40))),
        Just(json!("")),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        let name = prop_oneof![
            "[a-z_]{1,8}".boxed(),
            prop::sample::select(vec!["id", "login", "sha"]).prop_map_into().boxed()
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Whether there is such a member in the payload, or room for it.
fn names_a_member(payload: &Value, path: &str) -> bool {
    let mut value = Some(payload);
    for name in path.split(['.', '[']) {
        let Some(of) = value else { return true };
        value = match name.strip_suffix(']').and_then(|index| index.parse::<usize>().ok()) {
            Some(index) => of.get(index),
            None => of.get(name),
        };
        if value.is_none() && !of.is_object() && !of.is_null() {
            return false;
        }
    }
    true
}
