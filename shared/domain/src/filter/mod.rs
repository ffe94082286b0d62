//! Which events an automation takes: JSON that mirrors the event's payload.
//!
//! ```json
//! {"action": ["opened", "labeled"],
//!  "issue": {"labels": {"name": "bug"}, "comments": {"lt": 10}, "pull_request": {"exists": false}}}
//! ```
//!
//! Every member must match (AND), a list matches if any of its items does (OR), and nesting follows the payload. A leaf is
//! a literal, which is equal, or an object of operators, all of which must hold:
//!
//! | operator | holds if the value |
//! |---|---|
//! | `equals` | is the same JSON; numbers by value, so that `1` is `1.0` |
//! | `in`, `not_in` | is one of a list of literals, or none of them |
//! | `exists` | is there (`true`) or not (`false`); `null` is there |
//! | `prefix`, `suffix`, `contains` | is a string that begins, ends with or holds the text, by case |
//! | `glob` | is a string that the pattern matches whole, see [`Glob`] |
//! | `gt`, `gte`, `lt`, `lte` | is a number greater or less than, or equal |
//! | `has` | has the members that follow, whatever they are called: `{"has": {"in": "x"}}` for a member named `in` |
//!
//! An object is one of operators if all its names are operators; one that mixes them with other names is refused.
//!
//! What is absent matches `{"exists": false}` and `not_in` alone. Where the payload has an array, what is wanted is asked of
//! its elements, one of which must be all of it; and what is not (`not_in`, `exists: false` below the array) none of them may
//! be. `exists` of the array itself is about the array, and `equals` may be the whole array.

mod explain;
mod glob;
mod matching;
mod parse;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

pub use explain::Condition;
pub use glob::Glob;

use crate::template::InvalidField;

/// A filter that has been checked. It is stored and answered as the JSON it was given as.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Filter {
    json: Value,
    pattern: Pattern,
}

#[derive(Clone, Debug)]
enum Pattern {
    /// A string, number, bool or null.
    Literal(Value),
    Any(Vec<Pattern>),
    Members(Vec<(String, Pattern)>),
    Operators(Vec<Operator>),
}

#[derive(Clone, Debug)]
enum Operator {
    Equals(Value),
    In(Vec<Value>),
    NotIn(Vec<Value>),
    Exists(bool),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Glob(Glob),
    Gt(Number),
    Gte(Number),
    Lt(Number),
    Lte(Number),
    Has(Vec<(String, Pattern)>),
}

/// Every name of [`Operator`].
const OPERATORS: [&str; 13] =
    ["equals", "in", "not_in", "exists", "prefix", "suffix", "contains", "glob", "gt", "gte", "lt", "lte", "has"];

impl Filter {
    /// Checks a filter, within [`crate::limits`]. The error names the place: `filter.issue.labels.name.in`.
    pub fn parse(json: &Value) -> Result<Self, InvalidField> {
        Ok(Self { json: json.clone(), pattern: parse::pattern(json)? })
    }

    /// The filter as it was given.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Whether it takes every event.
    pub fn is_empty(&self) -> bool {
        matches!(&self.pattern, Pattern::Members(members) if members.is_empty())
    }

    /// Whether the automation takes an event with this payload. Its work is at most that of looking at the whole payload
    /// once for each condition.
    pub fn matches(&self, payload: &Value) -> bool {
        self.pattern.matches(Some(payload))
    }

    /// Each condition, what it found and whether it holds, so that people see why an event did not match. The filter
    /// matches if all of them hold. A list, and an object where the payload has an array, are one condition.
    pub fn explain(&self, payload: &Value) -> Vec<Condition> {
        explain::explain(&self.pattern, &self.json, payload)
    }
}

/// The filter that takes every event.
impl Default for Filter {
    fn default() -> Self {
        Self { json: Value::Object(Map::new()), pattern: Pattern::Members(Vec::new()) }
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl TryFrom<Value> for Filter {
    type Error = InvalidField;

    fn try_from(json: Value) -> Result<Self, InvalidField> {
        Ok(Self { pattern: parse::pattern(&json)?, json })
    }
}

impl From<Filter> for Value {
    fn from(filter: Filter) -> Self {
        filter.json
    }
}
