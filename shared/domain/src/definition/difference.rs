//! In which fields two definitions differ.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A field that changes. None: it is not there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Such as `run.prompt`.
    pub field: String,
    pub old: Option<Value>,
    pub new: Option<Value>,
}

/// Every field in which two values differ, in order. Objects are looked into, lists are taken as a whole.
pub fn differences(old: &Value, new: &Value) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    compare("", Some(old), Some(new), &mut changes);
    changes
}

fn compare(field: &str, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<FieldChange>) {
    if old == new {
        return;
    }
    if let (Some(Value::Object(old)), Some(Value::Object(new))) = (old, new) {
        let added = new.keys().filter(|name| !old.contains_key(*name));
        let mut names: Vec<&String> = old.keys().chain(added).collect();
        names.sort_unstable();
        for name in names {
            let field = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
            compare(&field, old.get(name), new.get(name), changes);
        }
        return;
    }
    changes.push(FieldChange { field: field.to_owned(), old: old.cloned(), new: new.cloned() });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(old: &str, new: &str, expected: &str) {
        let [old, new]: [Value; 2] = [old, new].map(|text| serde_json::from_str(text).unwrap());
        let told = |value: Option<Value>| value.map_or("-".to_owned(), |value| value.to_string());
        let changes = differences(&old, &new).into_iter();
        let lines: Vec<String> =
            changes.map(|change| format!("{}: {} > {}", change.field, told(change.old), told(change.new))).collect();
        assert_eq!(lines.join("; "), expected);
    }

    #[test]
    fn every_field_that_differs_is_named_with_what_it_was() {
        check(r#"{"a": 1}"#, r#"{"a": 1}"#, "");
        check(r#"{"a": 1, "b": "x"}"#, r#"{"a": 2, "b": "x"}"#, "a: 1 > 2");
        check(r#"{"a": 1}"#, r#"{"b": 1}"#, "a: 1 > -; b: - > 1");
        let [old, new] = [r#"{"run": {"prompt": "a", "x": {"y": 1}}}"#, r#"{"run": {"prompt": "b", "x": {"y": 2}}}"#];
        check(old, new, r#"run.prompt: "a" > "b"; run.x.y: 1 > 2"#);
        check(r#"{"l": [1, 2]}"#, r#"{"l": [2, 1]}"#, "l: [1,2] > [2,1]");
        check(r#"{"a": {"b": 1}}"#, r#"{"a": 1}"#, r#"a: {"b":1} > 1"#);
        check("{}", r#"{"a": {"b": 1}}"#, r#"a: - > {"b":1}"#);
    }
}
