//! Why an event matched or did not.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Operator, Pattern};
use crate::text;

/// The longest value that is shown, and how many names of an object, where one was looked for that it has not.
const SHOWN_CHARS: usize = 120;
const SHOWN_NAMES: usize = 12;

/// One condition of a filter, at one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Such as `issue.labels`; `payload` for all of it.
    pub path: String,
    /// The condition as JSON, shortened.
    pub wanted: String,
    /// What was there as JSON, shortened; or "absent", with the members that are there instead.
    pub found: String,
    pub holds: bool,
}

pub(super) fn explain(pattern: &Pattern, json: &Value, payload: &Value) -> Vec<Condition> {
    let mut conditions = Vec::new();
    walk(pattern, json, &Place { path: String::new(), found: Some(payload), instead: String::new() }, &mut conditions);
    conditions
}

struct Place<'a> {
    path: String,
    found: Option<&'a Value>,
    /// What is to be said where nothing was found.
    instead: String,
}

fn walk(pattern: &Pattern, json: &Value, place: &Place<'_>, conditions: &mut Vec<Condition>) {
    let members = match pattern {
        Pattern::Members(members) => Some((members, json)),
        Pattern::Operators(operators) => match operators.as_slice() {
            [Operator::Has(members)] => json.get("has").map(|json| (members, json)),
            _ => None,
        },
        Pattern::Literal(_) | Pattern::Any(_) => None,
    };
    match members {
        // Which element of an array matches is one question, whatever the members.
        Some((members, json)) if !place.found.is_some_and(Value::is_array) => {
            for (name, pattern) in members {
                if let Some(json) = json.get(name) {
                    walk(pattern, json, &place.member(name), conditions);
                }
            }
        }
        _ => conditions.push(Condition {
            path: if place.path.is_empty() { "payload".to_owned() } else { place.path.clone() },
            wanted: shown(json),
            found: place.found.map_or_else(|| format!("absent{}", place.instead), shown),
            holds: pattern.matches(place.found),
        }),
    }
}

impl Place<'_> {
    fn member(&self, name: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        let path = format!("{}{dot}{}", self.path, text::shorten(&text::one_line(name), SHOWN_CHARS));
        let here = if self.path.is_empty() { "the payload" } else { self.path.as_str() };
        let found = self.found.and_then(|found| found.get(name));
        let instead = match self.found {
            None => self.instead.clone(),
            Some(Value::Object(object)) => {
                let names: Vec<&str> = object.keys().take(SHOWN_NAMES).map(String::as_str).collect();
                let more = if object.len() > SHOWN_NAMES { ", …" } else { "" };
                let names = text::shorten(&text::one_line(&names.join(", ")), 2 * SHOWN_CHARS);
                format!("; {here} has {}{more}", if names.is_empty() { "no members" } else { &names })
            }
            Some(other) => format!("; {here} is {}", shown(other)),
        };
        Self { path, found, instead }
    }
}

fn shown(json: &Value) -> String {
    let (head, bytes) = text::json_head(json, 4 * SHOWN_CHARS);
    let head = text::shorten(&text::one_line(&head), SHOWN_CHARS);
    if bytes > 4 * SHOWN_CHARS && !head.ends_with('…') { format!("{head}…") } else { head }
}
