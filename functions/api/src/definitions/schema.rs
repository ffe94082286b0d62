//! The JSON Schema of a definition, made of the API's description of itself.

use std::collections::BTreeSet;

use ozma_domain::definition::Kind;
use serde_json::{Map, Value, json};

const COMPONENTS: &str = "#/components/schemas/";

/// The body by which one of that kind is created, and what it needs.
fn body(kind: Kind) -> (&'static str, &'static [&'static str]) {
    match kind {
        Kind::Runner => ("RunnerConfig", &["name"]),
        Kind::Environment => ("EnvironmentConfig", &["name"]),
        Kind::Agent => ("IdentityRequest", &["name"]),
        Kind::Webhook => ("WebhookConfig", &["name", "auth"]),
        Kind::Automation => ("AutomationConfig", &["name", "run"]),
        Kind::Schedule => ("ScheduleRequest", &["name", "cron_schedule", "prompt"]),
        Kind::Subscription => ("SubscriptionConfig", &["name", "url"]),
    }
}

/// For editors, for whoever checks definitions elsewhere, and for [`super::read`] to say which member was meant.
pub(crate) fn schema() -> Value {
    let description = serde_json::to_value(crate::openapi()).unwrap_or_default();
    let components = &description["components"]["schemas"];
    let mut used = BTreeSet::new();
    for kind in Kind::ALL {
        collect(components, &components[body(kind).0], &mut used);
    }
    let mut definitions = Map::new();
    for name in used {
        definitions.insert(name.clone(), closed(components[&name].clone()));
    }
    if let Some(environment) =
        definitions.get_mut("AgentConfig").and_then(|s| s.pointer_mut("/properties/environment_id"))
    {
        environment["description"] = "An environment, by its name.".into();
    }
    for kind in Kind::ALL {
        let (body, needed) = body(kind);
        let mut schema = closed(components[body].clone());
        let needed: Vec<&str> = ["kind"].into_iter().chain(needed.iter().copied()).collect();
        schema["required"] = json!(needed);
        if let Some(properties) = schema["properties"].as_object_mut() {
            properties.insert("kind".to_owned(), json!({"const": kind}));
            // Definitions hold no secrets.
            properties.remove("secret");
        }
        definitions.insert(kind.to_string(), schema);
    }
    let choices = Kind::ALL.map(
        |kind| json!({"if": {"properties": {"kind": {"const": kind}}}, "then": {"$ref": format!("#/$defs/{kind}")}}),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A definition of Ozma",
        "description": "One document of a file for `oz apply`.",
        "type": "object",
        "properties": {"kind": {"enum": Kind::ALL}, "name": {"type": "string"}},
        "required": ["kind", "name"],
        "allOf": choices,
        "$defs": definitions,
    })
}

/// The names of all components that a schema leads to.
fn collect(components: &Value, schema: &Value, used: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            let reference = members.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix(COMPONENTS));
            if let Some(name) = reference
                && used.insert(name.to_owned())
            {
                collect(components, &components[name], used);
            }
            members.values().for_each(|member| collect(components, member, used));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(components, item, used)),
        _ => {}
    }
}

/// The same with nothing allowed beside what it names, and with its references to where the components are now.
fn closed(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get_mut("$ref")
                && let Some(name) = reference.strip_prefix(COMPONENTS)
            {
                *reference = format!("#/$defs/{name}");
            }
            for member in members.values_mut() {
                *member = closed(member.take());
            }
            if members.get("properties").is_some_and(Value::is_object) && !members.contains_key("additionalProperties")
            {
                members.insert("additionalProperties".to_owned(), false.into());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = closed(item.take());
            }
        }
        _ => {}
    }
    schema
}

/// Where to look in a schema for what it says of a member or an item.
pub(super) fn within<'a>(root: &'a Value, schema: &'a Value, member: Option<&str>) -> &'a Value {
    const NOTHING: &Value = &Value::Null;
    let schema = resolved(root, schema);
    match member {
        None => &schema["items"],
        Some(name) => schema["properties"].get(name).or(schema.get("additionalProperties")).unwrap_or(NOTHING),
    }
}

/// The members that a schema names, if it names any.
pub(super) fn members<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Map<String, Value>> {
    resolved(root, schema)["properties"].as_object()
}

/// What a reference leads to, and of something that may be absent the something.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(choices) = schema["oneOf"].as_array() {
        let something = choices.iter().find(|choice| choice["type"] != "null");
        return something.map_or(schema, |choice| resolved(root, choice));
    }
    match schema["$ref"].as_str() {
        Some(reference) => {
            root.pointer(reference.trim_start_matches('#')).map_or(schema, |found| resolved(root, found))
        }
        None => schema,
    }
}
