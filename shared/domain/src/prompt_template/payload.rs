//! The payload as values of the template engine: each container knows where it is, and each text that a template reads is
//! remembered with its place, so that it can be named when it is printed.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{Error, ErrorKind, Value};
use serde_json::Value as Json;

use super::Event;
use super::fence::Origin;
use crate::limits;
use crate::text::json_head;

/// What one rendering has read.
#[derive(Debug)]
pub(super) struct Trace {
    payload: Json,
    /// Texts of the template's author and of Ozma.
    ours: BTreeSet<String>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By text, where it was last read. What prints the same is the same, wherever it came from.
    origins: BTreeMap<Arc<str>, Origin>,
    /// The member that was looked for last, if it was not there.
    missed: Option<String>,
    absent: BTreeSet<String>,
    work_bytes: usize,
}

impl Trace {
    pub(super) fn new(payload: Json, ours: BTreeSet<String>) -> Self {
        Self { payload, ours, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts work, and refuses more than there may be of it.
    pub(super) fn charge(&self, bytes: usize) -> Result<(), Error> {
        let mut seen = self.seen();
        seen.work_bytes = seen.work_bytes.saturating_add(bytes).saturating_add(16);
        drop(seen);
        if self.is_over() { Err(Error::from(ErrorKind::OutOfFuel)) } else { Ok(()) }
    }

    pub(super) fn is_over(&self) -> bool {
        self.seen().work_bytes > limits::PROMPT_TEMPLATE_WORK_BYTES
    }

    pub(super) fn is_ours(&self, text: &str) -> bool {
        self.ours.contains(text)
    }

    /// Whether it is an array or object of the payload.
    pub(super) fn is_payload(value: &Value) -> bool {
        value.downcast_object_ref::<Node>().is_some()
    }

    /// Something undefined was printed.
    pub(super) fn note_absent(&self) {
        let mut seen = self.seen();
        if let Some(path) = seen.missed.take()
            && seen.absent.len() < limits::PROMPT_ABSENT
        {
            seen.absent.insert(path);
        }
    }

    /// What was looked for and missed has been replaced by something.
    pub(super) fn forget_missed(&self) {
        self.seen().missed = None;
    }

    pub(super) fn absent(&self) -> Vec<String> {
        self.seen().absent.iter().cloned().collect()
    }

    pub(super) fn origin(&self, text: &str) -> Option<Origin> {
        self.seen().origins.get(text).cloned()
    }

    /// The text that a value prints, and where it comes from if that is known. `None` for what is no data, such as `loop`.
    pub(super) fn text(&self, value: &Value) -> Option<(String, Option<Origin>)> {
        if let Some(node) = value.downcast_object_ref::<Node>() {
            let (text, bytes) = json_head(node.json()?, limits::PROMPT_VALUE_BYTES);
            let is_shortened = bytes > text.len();
            return Some((text, Some(Origin { source: node.path.clone(), is_shortened })));
        }
        match value.kind() {
            ValueKind::Undefined | ValueKind::None => Some((String::new(), None)),
            ValueKind::Number => Some((value.to_string(), None)),
            // As JSON spells it, where Jinja has True.
            ValueKind::Bool => Some((value.is_true().to_string(), None)),
            ValueKind::String => value.as_str().map(|text| (text.to_owned(), self.origin(text))),
            // A part of a list of the payload, or a list of the template.
            ValueKind::Seq | ValueKind::Iterable => {
                let mut list = String::new();
                for item in value.try_iter().ok()? {
                    if list.len() > limits::PROMPT_VALUE_BYTES {
                        break;
                    }
                    list.push_str(if list.is_empty() { "" } else { "," });
                    list.push_str(&match item.as_str() {
                        Some(text) => Json::from(text).to_string(),
                        None => self.text(&item)?.0,
                    });
                }
                Some((format!("[{list}]"), None))
            }
            _ => None,
        }
    }

    /// A text from outside, within the limit of one.
    pub(super) fn outside(&self, text: &str, origin: Origin) -> Result<Value, Error> {
        self.charge(text.len().min(limits::PROMPT_VALUE_BYTES))?;
        let kept = &text[..text.floor_char_boundary(limits::PROMPT_VALUE_BYTES)];
        let is_shortened = origin.is_shortened || kept.len() < text.len();
        self.seen().origins.insert(Arc::from(kept), Origin { is_shortened, ..origin });
        Ok(Value::from(kept))
    }
}

/// A container of the payload.
pub(super) struct Node {
    trace: Arc<Trace>,
    /// As JSON pointers are spelled (RFC 6901).
    pointer: String,
    /// As templates spell it, such as `event.issue.labels[0]`.
    pub(super) path: String,
}

impl Node {
    fn json(&self) -> Option<&Json> {
        self.trace.payload.pointer(&self.pointer)
    }

    fn child(&self, key: &Value) -> Option<Value> {
        let (name, path) = match self.json()? {
            Json::Object(_) => {
                let name = key.as_str()?;
                (name.replace('~', "~0").replace('/', "~1"), member_path(&self.path, name))
            }
            Json::Array(_) => {
                let index = key.as_usize()?;
                (index.to_string(), format!("{}[{index}]", self.path))
            }
            _ => return None,
        };
        if let Err(err) = self.trace.charge(self.pointer.len()) {
            return Some(Value::from(err));
        }
        let pointer = format!("{}/{name}", self.pointer);
        let Some(json) = self.trace.payload.pointer(&pointer) else {
            self.trace.seen().missed = Some(path);
            return None;
        };
        self.trace.forget_missed();
        Some(value(&self.trace, json, pointer, path))
    }

    pub(super) fn len(&self) -> usize {
        match self.json() {
            Some(Json::Object(members)) => members.len(),
            Some(Json::Array(elements)) => elements.len(),
            _ => 0,
        }
    }
}

/// Names from the payload are in marks, where they must not close a quote or begin a line.
fn member_path(parent: &str, name: &str) -> String {
    let plain = (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if plain { format!("{parent}.{name}") } else { format!("{parent}.*") }
}

fn value(trace: &Arc<Trace>, json: &Json, pointer: String, path: String) -> Value {
    match json {
        Json::Null => Value::UNDEFINED,
        Json::Bool(is) => Value::from(*is),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (_, Some(number)) => Value::from(number),
            _ => Value::from(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => {
            let origin = Origin { source: path, is_shortened: false };
            trace.outside(text, origin).unwrap_or_else(Value::from)
        }
        Json::Array(_) | Json::Object(_) => Value::from_object(Node { trace: Arc::clone(trace), pointer, path }),
    }
}

impl Object for Node {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.json().is_some_and(Json::is_array) { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.child(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        // At once, because not everything that goes through a list ends at an element that is an error.
        if let Err(err) = self.trace.charge(self.len().saturating_mul(16)) {
            return Enumerator::Values(vec![Value::from(err)]);
        }
        match self.json() {
            Some(Json::Array(elements)) => Enumerator::Seq(elements.len()),
            Some(Json::Object(members)) => {
                let origin = Origin { source: self.path.clone(), is_shortened: false };
                let name = |name: &String| self.trace.outside(name, origin.clone()).unwrap_or_else(Value::from);
                Enumerator::Values(members.keys().map(name).collect())
            }
            _ => Enumerator::Empty,
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.len())
    }

    /// Equal are those with equal JSON; others are ordered by where they are.
    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        let other = other.downcast_ref::<Self>()?;
        let places = self.pointer.cmp(&other.pointer);
        let is_same = || {
            let bytes = self.json().map_or(0, |json| json_head(json, 0).1);
            self.trace.charge(bytes).is_ok() && self.json() == other.json()
        };
        Some(if places.is_ne() && !self.trace.is_over() && is_same() { Ordering::Equal } else { places })
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = self.json().filter(|_| self.trace.charge(limits::PROMPT_VALUE_BYTES).is_ok());
        json.map_or(Ok(()), |json| f.write_str(&json_head(json, limits::PROMPT_VALUE_BYTES).0))
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// The variables of a template.
#[derive(Debug)]
pub(super) struct Context(BTreeMap<&'static str, Value>);

impl Context {
    pub(super) fn new(trace: &Arc<Trace>, event: &Event<'_>, received_at: &str) -> Self {
        // What the sender calls its event and its delivery comes from outside as well.
        let outside = |name: &'static str, text: &str| {
            let origin = Origin { source: name.to_owned(), is_shortened: false };
            (name, trace.outside(text, origin).unwrap_or_else(Value::from))
        };
        let mut variables = BTreeMap::from([
            ("event", value(trace, &trace.payload, String::new(), "event".to_owned())),
            ("provider", Value::from(event.provider)),
            outside("event_name", event.event_name),
            outside("delivery_id", event.delivery_id),
            ("automation", Value::from(event.automation)),
            ("received_at", Value::from(received_at)),
        ]);
        variables.extend(event.source_url.map(|url| outside("source_url", url)));
        Self(variables)
    }
}

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_str()?).cloned()
    }
}
