//! Concurrency keys of automations: a text with places for what an event is about, `review {item}`.
//!
//! | place | is |
//! | --- | --- |
//! | `{object}` | whatever the event is about; each event of a provider has one |
//! | `{item}` | the issue, pull request or discussion |
//! | `{commit}` | repository and commit |
//! | `{branch}` | repository and branch |
//! | `{thread}` | the conversation |
//! | `{event.a.b}` | a member of the payload: a string, a number or a truth value |

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::limits;
use crate::provider::Keys;
use crate::template::InvalidField;

const PLACES: &str = "{object}, {item}, {commit}, {branch}, {thread} or a member such as {event.order.id}";

/// Whether `key` could be made for an event.
pub fn check(key: &str) -> Result<(), InvalidField> {
    let no = |reason: String| Err(InvalidField::new("scheduling.concurrency.key", reason));
    for part in parts(key) {
        match part {
            Part::Place(place) if is_place(place) => {}
            Part::Place(place) => return no(format!("{{{place}}} is not {PLACES}")),
            Part::Open => return no("a { has no }".to_owned()),
            Part::Text(_) => {}
        }
    }
    Ok(())
}

/// The key of a run for this event. None: a place is not filled by it, and a key that several unrelated events share would
/// keep them waiting for one another.
pub fn fill(key: &str, payload: &Value, keys: Option<&Keys>) -> Option<String> {
    let mut filled = String::new();
    for part in parts(key) {
        match part {
            Part::Text(text) => filled += text,
            Part::Place(place) => filled += &value(place, payload, keys)?,
            Part::Open => return None,
        }
    }
    Some(bounded(filled))
}

enum Part<'a> {
    Text(&'a str),
    Place(&'a str),
    /// A brace that is not closed.
    Open,
}

fn parts(key: &str) -> Vec<Part<'_>> {
    let (mut parts, mut rest) = (Vec::new(), key);
    while let Some((before, after)) = rest.split_once('{') {
        parts.push(Part::Text(before));
        match after.split_once('}') {
            Some((place, left)) => {
                parts.push(Part::Place(place));
                rest = left;
            }
            None => {
                parts.push(Part::Open);
                rest = "";
            }
        }
    }
    parts.push(Part::Text(rest));
    parts
}

fn is_place(place: &str) -> bool {
    ["object", "item", "commit", "branch", "thread"].contains(&place)
        || place.strip_prefix("event.").is_some_and(|path| path.split('.').all(|name| !name.is_empty()))
}

fn value(place: &str, payload: &Value, keys: Option<&Keys>) -> Option<String> {
    if let Some(path) = place.strip_prefix("event.") {
        let member = path.split('.').try_fold(payload, |value, name| value.get(name))?;
        return match member {
            Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => Some(member.to_string()),
            _ => None,
        };
    }
    let keys = keys?;
    match place {
        "object" => Some(keys.object.clone()),
        "item" => keys.item.clone(),
        "commit" => keys.commit.clone(),
        "branch" => keys.branch.clone(),
        "thread" => keys.thread.clone(),
        _ => None,
    }
}

/// What a key may be, told from every other: control characters go, and of a long one the end becomes its hash.
fn bounded(key: String) -> String {
    if key.len() <= limits::CONCURRENCY_KEY_BYTES && !key.contains(char::is_control) {
        return key;
    }
    let hash = hex::encode(&Sha256::digest(&key)[..16]);
    let clean: String = key.chars().filter(|c| !c.is_control()).collect();
    let room = limits::CONCURRENCY_KEY_BYTES - hash.len() - 1;
    format!("{}~{hash}", &clean[..clean.floor_char_boundary(room)])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys() -> Keys {
        Keys {
            object: "github:acme/web#12".to_owned(),
            item: Some("acme/web#12".to_owned()),
            commit: None,
            branch: Some("acme/web:main".to_owned()),
            thread: None,
        }
    }

    #[track_caller]
    fn filled(key: &str, expected: Option<&str>) {
        let payload = json!({"order": {"id": 7, "name": " ", "open": true, "lines": []}, "a": "x"});
        assert_eq!(fill(key, &payload, Some(&keys())).as_deref(), expected, "{key}");
    }

    #[test]
    fn places_are_filled_or_there_is_no_key() {
        filled("deploy", Some("deploy"));
        filled("review {item}", Some("review acme/web#12"));
        filled("{branch}/{object}", Some("acme/web:main/github:acme/web#12"));
        filled("{event.order.id}-{event.a}-{event.order.open}", Some("7-x-true"));
        for none in ["{commit}", "{thread}", "{event.order.name}", "{event.order.lines}", "{event.b}", "{event.a.b}"] {
            filled(none, None);
        }
        assert_eq!(fill("{item}", &json!({}), None), None);
    }

    #[test]
    fn what_is_no_place_is_refused_when_it_is_saved() {
        let told = |key: &str| check(key).map_or_else(|err| err.to_string(), |()| "ok".to_owned());
        for key in ["deploy", "{item}", "a {event.b.c} d"] {
            assert_eq!(told(key), "ok");
        }
        for key in ["{issue}", "{}", "{event}", "{event.}", "{event.a..b}"] {
            assert!(told(key).contains("is not {object}"), "{key}: {}", told(key));
        }
        assert_eq!(told("{item"), "scheduling.concurrency.key: a { has no }");
    }

    #[test]
    fn long_keys_are_bounded_and_stay_apart() {
        let of = |end: &str| fill("{event.x}", &json!({"x": format!("{}{end}", "ü".repeat(200))}), None).unwrap();
        assert!(of("a").len() <= limits::CONCURRENCY_KEY_BYTES);
        assert_ne!(of("a"), of("b"));
        let lines = fill("{event.x}", &json!({"x": "a\nb"}), None).unwrap();
        assert!(lines.starts_with("ab~") && !lines.contains('\n'));
    }
}
