//! The filters and tests of templates. Each result is within the limit of one text, and keeps the origin of what it was
//! made from.

use std::sync::Arc;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::fence::Origin;
use super::payload::{Node, Trace};
use crate::limits;
use crate::text::{json_head, shorten};

/// Every filter, in Jinja's sense of each. `truncate(n)` gives the first `n` characters, with an ellipsis.
pub const FILTERS: [&str; 13] = [
    "default", "d", "first", "last", "length", "count", "join", "lower", "upper", "trim", "replace", "truncate",
    "tojson",
];

/// Every test, in Jinja's sense of each. What is null counts as undefined, and as none.
pub const TESTS: [&str; 10] = [
    "defined",
    "undefined",
    "none",
    "boolean",
    "string",
    "number",
    "mapping",
    "sequence",
    "startingwith",
    "endingwith",
];

pub(super) fn add(environment: &mut Environment<'_>, trace: &Arc<Trace>) {
    let given = || Arc::clone(trace);

    for name in ["default", "d"] {
        let trace = given();
        environment.add_filter(name, move |value: &Value, other: Option<Value>, args: Kwargs| {
            let also_false = args.get::<Option<bool>>("boolean")?.unwrap_or(false);
            args.assert_all_used()?;
            if is_nothing(value) || (also_false && !value.is_true()) {
                trace.forget_missed();
                return Ok(other.unwrap_or_else(|| Value::from("")));
            }
            Ok::<_, Error>(value.clone())
        });
    }
    environment.add_filter("first", |value: &Value| end_of(value, 0));
    environment.add_filter("last", |value: &Value| end_of(value, -1));
    for name in ["length", "count"] {
        environment.add_filter(name, |value: &Value| match value.as_str() {
            Some(text) => Ok(text.chars().count()),
            None if is_nothing(value) => Ok(0),
            None => value.len().ok_or_else(|| invalid(format!("a {} has no length", value.kind()))),
        });
    }

    let of_text = |trace: Arc<Trace>, change: fn(&str) -> String| move |value: &Value| made(&trace, value, change);
    environment.add_filter("lower", of_text(given(), str::to_lowercase));
    environment.add_filter("upper", of_text(given(), str::to_uppercase));
    environment.add_filter("trim", of_text(given(), |text| text.trim().to_owned()));
    let trace_of = given();
    environment
        .add_filter("truncate", move |value: &Value, chars: usize| made(&trace_of, value, |text| shorten(text, chars)));
    let trace_of = given();
    environment.add_filter("replace", move |value: &Value, from: &str, to: &str| {
        made(&trace_of, value, |text| replaced(text, from, to))
    });
    let trace_of = given();
    environment.add_filter("join", move |value: &Value, with: Option<&str>, args: Kwargs| {
        let attribute = args.get::<Option<&str>>("attribute")?;
        args.assert_all_used()?;
        joined(&trace_of, value, with.unwrap_or_default(), attribute)
    });
    let trace_of = given();
    environment.add_filter("tojson", move |value: &Value| to_json(&trace_of, value));

    environment.add_test("defined", |value: &Value| !is_nothing(value));
    environment.add_test("undefined", is_nothing);
    environment.add_test("none", is_nothing);
    environment.add_test("boolean", |value: &Value| value.kind() == ValueKind::Bool);
    environment.add_test("string", |value: &Value| value.kind() == ValueKind::String);
    environment.add_test("number", |value: &Value| value.kind() == ValueKind::Number);
    environment.add_test("mapping", |value: &Value| value.kind() == ValueKind::Map);
    environment.add_test("sequence", |value: &Value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable));
    let is_text = |holds: fn(&str, &str) -> bool| {
        move |value: &Value, part: &str| value.as_str().is_some_and(|text| holds(text, part))
    };
    environment.add_test("startingwith", is_text(|text, part| text.starts_with(part)));
    environment.add_test("endingwith", is_text(|text, part| text.ends_with(part)));
}

fn is_nothing(value: &Value) -> bool {
    value.is_undefined() || value.is_none()
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason.into())
}

fn no_text(value: &Value) -> Error {
    invalid(format!("a {} of the template is no text", value.kind()))
}

fn end_of(value: &Value, index: i64) -> Result<Value, Error> {
    if is_nothing(value) { Ok(Value::UNDEFINED) } else { value.get_item(&Value::from(index)) }
}

/// A text made from that of a value, with its origin.
fn made(trace: &Trace, value: &Value, change: impl FnOnce(&str) -> String) -> Result<Value, Error> {
    if is_nothing(value) {
        return Ok(Value::UNDEFINED);
    }
    let (text, origin) = trace.text(value).ok_or_else(|| no_text(value))?;
    trace.charge(text.len())?;
    trace.outside(&change(&text), origin.unwrap_or_default())
}

/// At least as much of it as is kept of a text.
fn replaced(text: &str, from: &str, to: &str) -> String {
    if from.is_empty() {
        return text.to_owned();
    }
    let mut result = String::new();
    for (n, part) in text.split(from).enumerate() {
        if result.len() > limits::PROMPT_VALUE_BYTES {
            break;
        }
        result.push_str(if n == 0 { "" } else { to });
        result.push_str(part);
    }
    result
}

fn joined(trace: &Trace, list: &Value, with: &str, attribute: Option<&str>) -> Result<Value, Error> {
    if is_nothing(list) || list.as_str().is_some() {
        return Ok(list.clone());
    }
    let source = list.downcast_object_ref::<Node>().map_or_else(|| Origin::default().source, |node| node.path.clone());
    let (mut result, mut is_first) = (String::new(), true);
    for item in list.try_iter()?.checked() {
        let item = item?;
        let item = match attribute {
            Some(name) => item.get_attr(name)?,
            None => item,
        };
        let (text, _) = trace.text(&item).ok_or_else(|| no_text(&item))?;
        trace.charge(text.len())?;
        if result.len() <= limits::PROMPT_VALUE_BYTES {
            result.push_str(if is_first { "" } else { with });
            result.push_str(&text);
        }
        is_first = false;
    }
    trace.outside(&result, Origin { source, is_shortened: false })
}

fn to_json(trace: &Trace, value: &Value) -> Result<Value, Error> {
    let (text, origin) = trace.text(value).ok_or_else(|| no_text(value))?;
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(Value::from("null")),
        ValueKind::String => {
            let (text, bytes) = json_head(&serde_json::Value::from(text), limits::PROMPT_VALUE_BYTES);
            let origin = origin.unwrap_or_default();
            let is_shortened = origin.is_shortened || bytes > text.len();
            trace.outside(&text, Origin { is_shortened, ..origin })
        }
        _ => trace.outside(&text, origin.unwrap_or_default()),
    }
}
