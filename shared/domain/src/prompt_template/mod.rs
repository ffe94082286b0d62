//! An automation's prompt as a template over the event that started it, in the syntax of Jinja:
//!
//! ```jinja
//! Fix {{ event.issue.html_url }} in {{ event.repository.full_name }}.
//! {% for label in event.issue.labels %}
//! - {{ label.name }}
//! {% endfor %}
//! ```
//!
//! There are `{{ … }}`, `if`, `for`, `set`, comments, `raw`, comparisons, and the filters and tests of [`FILTERS`] and
//! [`TESTS`]. There is nothing that reads a file or another template, and nothing that makes large texts of small ones: no
//! arithmetic, no `~`, no calls, no lists of anything but literals. A template is checked when it is saved, and one that was
//! saved renders for every event, but for limits and for values of an unexpected type.
//!
//! What comes from outside is data. Where it is more than one word it is printed between marks that name its source, and
//! that it cannot close itself, see [`fence`]. The template's own text, literals, numbers, and the values that Ozma itself
//! made (`provider`, `automation`, `received_at`) are printed as they are.
//!
//! Members that are absent or null are undefined: they print nothing, have no members, and are false. Absent ones that were
//! to be printed are reported. A filter `default` helps.

mod check;
pub mod fence;
mod filters;
mod payload;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, Output, UndefinedBehavior, Value};

pub use filters::{FILTERS, TESTS};

use crate::limits;
use crate::template::{InvalidField, check_prompt};
use fence::Origin;
use payload::{Context, Trace};

/// The file of the workspace that has the whole payload.
pub const PAYLOAD_FILE: &str = "event-payload.json";

/// The names of [`Event`] in a template.
pub const VARIABLES: [&str; 7] =
    ["event", "provider", "event_name", "delivery_id", "automation", "received_at", "source_url"];

/// A prompt that has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptTemplate {
    source: String,
    /// The strings that its author wrote into tags.
    literals: BTreeSet<String>,
}

/// What a prompt is rendered with.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// `event`: the body as it was delivered.
    pub payload: &'a serde_json::Value,
    /// Such as `github`.
    pub provider: &'a str,
    /// The sender's name for what happened, such as `issues`.
    pub event_name: &'a str,
    pub delivery_id: &'a str,
    /// The automation's name.
    pub automation: &'a str,
    pub received_at: Timestamp,
    /// Where people see what happened, such as an issue's page.
    pub source_url: Option<&'a str>,
}

/// A prompt for one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    pub text: String,
    /// Members that were to be printed and are not there, such as `event.issue.labels[0].color`; sorted.
    pub absent: Vec<String>,
}

/// Why a template makes no prompt of an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("prompt: has more than {most} bytes with this event; print less of it, such as {{{{ event.body | truncate(1000) }}}}",
        most = limits::PROMPT_BYTES - fence::STANDING_PARAGRAPH.len())]
    Long,
    #[error("prompt: takes more than {steps} steps with this event; loop over less", steps = limits::PROMPT_TEMPLATE_FUEL)]
    Steps,
    #[error("prompt: reads more than {most} bytes with this event; read less of it in loops",
        most = limits::PROMPT_TEMPLATE_WORK_BYTES)]
    Work,
    #[error("prompt: prints nothing with this event")]
    Empty,
    #[error("prompt: line {line}: {reason}")]
    Value { line: usize, reason: String },
}

/// Whether a text has anything that [`PromptTemplate`] would not print as it is.
pub fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|tag| text.contains(tag))
}

impl PromptTemplate {
    /// Checks a prompt. The error says the line and what to do: `prompt: line 3: …`.
    pub fn parse(text: &str) -> Result<Self, InvalidField> {
        check_prompt(text, limits::TEMPLATE_PROMPT_BYTES)?;
        let literals = if is_template(text) { check::literals(text)? } else { BTreeSet::new() };
        let template = Self { source: text.to_owned(), literals };
        // Whatever is optional may be absent at once, and no event is to be lost for it.
        let event = Event {
            payload: &serde_json::Value::Object(serde_json::Map::new()),
            provider: "none",
            event_name: "none",
            delivery_id: "none",
            automation: "none",
            received_at: Timestamp::UNIX_EPOCH,
            source_url: None,
        };
        match template.render(&event) {
            Err(RenderError::Value { line, reason }) => Err(InvalidField::new(
                "prompt",
                format!("line {line}: fails for an event that has no members: {reason}"),
            )),
            Err(err @ RenderError::Steps) => {
                let err = err.to_string();
                Err(InvalidField::new("prompt", err.trim_start_matches("prompt: ")))
            }
            _ => Ok(template),
        }
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// The prompt for an event. It does the same for the same event.
    pub fn render(&self, event: &Event<'_>) -> Result<Rendered, RenderError> {
        if !is_template(&self.source) {
            return Ok(Rendered { text: self.source.clone(), absent: Vec::new() });
        }
        let received_at = event.received_at.to_string();
        let ours = [event.provider, event.automation, &received_at];
        let ours = self.literals.iter().map(String::as_str).chain(ours).map(str::to_owned).collect();
        let trace = Arc::new(Trace::new(event.payload.clone(), ours));

        let mut environment = Environment::empty();
        environment.set_syntax(syntax());
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(limits::PROMPT_TEMPLATE_FUEL));
        filters::add(&mut environment, &trace);
        let (provider, printing) = (event.provider.to_owned(), Arc::clone(&trace));
        environment.set_formatter(move |out, _, value| print(out, &printing, &provider, value));

        let most = limits::PROMPT_BYTES - fence::STANDING_PARAGRAPH.len();
        let mut text = Capped { kept: Vec::new(), most, over: false };
        let context = Value::from_object(Context::new(&trace, event, &received_at));
        let rendered = environment.template_from_named_str("prompt", &self.source);
        let rendered = rendered.and_then(|template| template.render_captured_to(context, &mut text).map(|_| ()));
        match rendered {
            _ if trace.is_over() => Err(RenderError::Work),
            _ if text.over => Err(RenderError::Long),
            Err(err) if err.kind() == ErrorKind::OutOfFuel => Err(RenderError::Steps),
            Err(err) => Err(RenderError::Value { line: err.line().unwrap_or(1), reason: check::reason(&err) }),
            Ok(()) => {
                let text = String::from_utf8_lossy(&text.kept).into_owned();
                if text.trim().is_empty() {
                    return Err(RenderError::Empty);
                }
                Ok(Rendered { text, absent: trace.absent() })
            }
        }
    }
}

fn syntax() -> SyntaxConfig {
    let mut syntax = SyntaxConfig::builder();
    // A line with nothing but a tag leaves no empty line.
    syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
    syntax.build().unwrap_or_default()
}

/// Prints what a tag gave.
fn print(out: &mut Output<'_>, trace: &Trace, provider: &str, value: &Value) -> Result<(), minijinja::Error> {
    let kind = value.kind();
    // A part of what is not there is an empty list.
    let is_nothing = matches!(kind, ValueKind::Undefined | ValueKind::None);
    let is_list = matches!(kind, ValueKind::Seq | ValueKind::Iterable) && !Trace::is_payload(value);
    if is_nothing || (is_list && value.len() == Some(0)) {
        trace.note_absent();
        return Ok(());
    }
    let (text, origin) = trace.text(value).ok_or_else(|| {
        minijinja::Error::new(ErrorKind::InvalidOperation, format!("a {kind} of the template cannot be printed"))
    })?;
    trace.charge(text.len())?;
    let is_ours = matches!(kind, ValueKind::Number | ValueKind::Bool) || (origin.is_none() && trace.is_ours(&text));
    let printed = match origin {
        _ if is_ours => fence::printable(&text),
        // A loop over a text, where a list was expected, would otherwise print it bit by bit without marks.
        None if text.chars().nth(1).is_none() => fence::marked(&text, &Origin::default(), provider),
        origin => fence::printed(&text, &origin.unwrap_or_default(), provider),
    };
    Ok(out.write_str(&printed)?)
}

/// Keeps what fits, and refuses the rest.
struct Capped {
    kept: Vec<u8>,
    most: usize,
    over: bool,
}

impl io::Write for Capped {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.kept.len() + part.len() > self.most {
            self.over = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.kept.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
