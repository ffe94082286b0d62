//! Payloads for tests: those of a folder of `events/`, with changes.

use std::path::Path;

use serde_json::Value;

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
