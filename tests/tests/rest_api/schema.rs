//! As much of JSON Schema as the description uses, strictly: a member that the description does not name is an error.

use jiff::Timestamp;
use serde_json::Value;

use crate::api::Answer;

/// Holds an answer against what the description says of that operation and status. A path that is not described has
/// nothing to be held against.
#[track_caller]
pub(crate) fn conforms(description: &Value, method: &str, url: &str, answer: &Answer) {
    let path = url.split('?').next().unwrap_or_default();
    let paths = description["paths"].as_object().expect("paths");
    let described = paths.iter().filter(|(template, _)| fits(template, path)).map(|(_, item)| item);
    let Some(operation) = described.filter_map(|item| item.get(method.to_lowercase())).next() else { return };
    let responses = &operation["responses"];
    let status = answer.status.to_string();
    let response = responses.get(&status).or_else(|| responses.get("default").filter(|_| answer.status >= 400));
    let response = response.unwrap_or_else(|| panic!("{method} {path} answers {status}, which is not described"));
    if response.get("content").is_none() {
        assert_eq!(answer.text(), "", "{method} {path} {status} is described without a body");
        return;
    }
    let content_type = answer.header("content-type");
    let content = response["content"].get(content_type);
    let content = content.unwrap_or_else(|| panic!("{method} {path} {status}: {content_type} is not described"));
    if content_type.ends_with("json") {
        let mut wrong = Vec::new();
        check(description, &content["schema"], &answer.json(), "$", &mut wrong);
        assert!(wrong.is_empty(), "{method} {path} {status}: {wrong:#?}\n{}", answer.text());
    }
}

/// `/agent/runs/{runId}` fits `/agent/runs/x`.
fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len() && template.iter().zip(path).all(|(t, p)| t.starts_with('{') || *t == p)
}

fn check(description: &Value, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let schema = resolve(description, schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        let fitting = choices.iter().filter(|choice| {
            let mut wrong = Vec::new();
            check(description, choice, value, at, &mut wrong);
            wrong.is_empty()
        });
        if fitting.count() != 1 {
            wrong.push(format!("{at}: {value} is not one of {choices:?}"));
        }
        return;
    }
    if let Some(parts) = schema["allOf"].as_array() {
        // Only flattened maps are described so: each part is open, and together they hold anything.
        for part in parts {
            let part = resolve(description, part);
            for name in part["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if value.get(name).is_none() {
                    wrong.push(format!("{at}.{name} is missing"));
                }
            }
            for (name, schema) in part["properties"].as_object().into_iter().flatten() {
                if let Some(member) = value.get(name) {
                    check(description, schema, member, &format!("{at}.{name}"), wrong);
                }
            }
        }
        return;
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Null => return,
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        other => panic!("{other} is no type"),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !(types.contains(&kind) || kind == "integer" && types.contains(&"number")) {
        wrong.push(format!("{at} is {kind}, not {types:?}"));
        return;
    }
    if let Some(names) = schema["enum"].as_array()
        && !names.contains(value)
    {
        wrong.push(format!("{at}: {value} is not one of {names:?}"));
    }
    if schema["format"] == "date-time" && value.as_str().is_some_and(|text| text.parse::<Timestamp>().is_err()) {
        wrong.push(format!("{at}: {value} is no time"));
    }
    if let Some(minimum) = schema["minimum"].as_f64()
        && value.as_f64().is_some_and(|number| number < minimum)
    {
        wrong.push(format!("{at}: {value} is below {minimum}"));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(description, &schema["items"], item, &format!("{at}[{index}]"), wrong);
    }
    let properties = schema["properties"].as_object();
    for (name, member) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{name}");
        match (properties.and_then(|properties| properties.get(name)), &schema["additionalProperties"]) {
            (Some(schema), _) => check(description, schema, member, &at, wrong),
            (None, additional @ Value::Object(_)) => check(description, additional, member, &at, wrong),
            // An object of which nothing is said may hold anything.
            (None, _) if properties.is_none() => {}
            (None, _) => wrong.push(format!("{at} is not described")),
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            wrong.push(format!("{at}.{name} is missing"));
        }
    }
}

fn resolve<'a>(description: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => description.pointer(reference.trim_start_matches('#')).expect("a schema that is there"),
        None => schema,
    }
}

#[test]
fn a_wrong_answer_is_found() {
    let description = serde_json::json!({"components": {"schemas": {"A": {
        "type": "object", "required": ["n"],
        "properties": {"n": {"type": "integer", "minimum": 0}, "s": {"type": ["string", "null"], "enum": ["x", null]}},
    }}}});
    let schema = serde_json::json!({"oneOf": [{"$ref": "#/components/schemas/A"}, {"type": "null"}]});
    let fits = |value: Value| {
        let mut wrong = Vec::new();
        check(&description, &schema, &value, "$", &mut wrong);
        wrong.is_empty()
    };
    for right in [serde_json::json!({"n": 1}), serde_json::json!({"n": 0, "s": "x"}), Value::Null] {
        assert!(fits(right.clone()), "{right}");
    }
    for wrong in [r#"{}"#, r#"{"n":-1}"#, r#"{"n":"1"}"#, r#"{"n":1,"s":"y"}"#, r#"{"n":1,"t":1}"#, "[]", "1.5"] {
        assert!(!fits(serde_json::from_str(wrong).unwrap()), "{wrong}");
    }
}
