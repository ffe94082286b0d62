//! Payloads for tests: those of a folder of `events/`, with changes, and broken at any place.

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::{Decoded, Occurrence, Provider};
use crate::limits;
use crate::template::InvalidField;

/// The single files of a folder, by their names.
pub(super) fn files(folder: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events").join(folder);
    let names = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".json")).collect();
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let text = std::fs::read_to_string(folder.join(&name)).unwrap();
            (name.trim_end_matches(".json").to_owned(), serde_json::from_str(&text).unwrap())
        })
        .collect()
}

/// The payload with `changes`: pointers, and what is there instead.
pub(super) fn with(mut payload: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("{changes}") };
    for (pointer, value) in changes {
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        let parent = payload.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"));
        match parent {
            Value::Array(items) => items[member.parse::<usize>().unwrap()] = value,
            _ => parent[member] = value,
        }
    }
    payload
}

/// At which place, what is there instead, and whether there is nothing.
#[derive(Clone, Debug)]
pub(super) struct Break {
    steps: Vec<Index>,
    value: Value,
    remove: bool,
}

pub(super) fn breaks() -> impl Strategy<Value = Vec<Break>> {
    let steps = prop::collection::vec(any::<Index>(), 0..6);
    let one = (steps, json_value(), any::<bool>()).prop_map(|(steps, value, remove)| Break { steps, value, remove });
    prop::collection::vec(one, 1..4)
}

pub(super) fn broken(mut payload: Value, breaks: Vec<Break>) -> Value {
    for Break { steps, value, remove } in breaks {
        let (last, steps) = steps.split_last().map_or((None, &[][..]), |(last, steps)| (Some(last), steps));
        match (place(&mut payload, steps), last, remove) {
            (Value::Object(members), Some(last), true) if !members.is_empty() => {
                let name = members.keys().nth(last.index(members.len())).cloned().unwrap_or_default();
                members.remove(&name);
            }
            (at, Some(last), _) => *place(at, &[*last]) = value,
            (at, None, _) => *at = value,
        }
    }
    payload
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

/// What holds of whatever came of a payload: an occurrence that rows can hold, a name and a sentence, or the member that is
/// wrong.
pub(super) fn check(
    provider: Provider,
    payload: &Value,
    decoded: Result<Decoded, InvalidField>,
) -> Result<(), TestCaseError> {
    match decoded {
        Ok(Decoded::Used(occurrence)) => {
            let Occurrence { keys, text, control, .. } = &*occurrence;
            let names = [&keys.item, &keys.commit, &keys.branch, &keys.thread].into_iter().flatten();
            prop_assert!(names.chain([&keys.object]).all(|key| key.len() <= limits::CONCURRENCY_KEY_BYTES));
            prop_assert!(text.as_ref().is_none_or(|text| text.len() <= limits::EVENT_TEXT_BYTES));
            prop_assert!(text.is_none() || control.is_none());
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
