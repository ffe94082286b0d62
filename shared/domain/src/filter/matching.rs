//! Whether a pattern matches what is at its place in a payload.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::{Operator, Pattern};

/// What a condition says. Where the payload has an array, one element must be what is wanted, and none what is not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Wanted,
    /// `not_in`, and `exists: false`.
    Unwanted,
}

impl Side {
    /// Over the elements of an array; `says` is whether the pattern has conditions of this side.
    fn of_elements(self, says: bool, elements: &[Value], matches: impl Fn(&Value) -> bool) -> bool {
        match self {
            Self::Wanted => !says || elements.iter().any(matches),
            Self::Unwanted => !says || elements.iter().all(matches),
        }
    }
}

impl Pattern {
    /// `None` is what is absent.
    pub(super) fn matches(&self, found: Option<&Value>) -> bool {
        self.side_matches(Side::Wanted, found) && self.side_matches(Side::Unwanted, found)
    }

    /// Whether the conditions of one side hold. True if there are none.
    fn side_matches(&self, side: Side, found: Option<&Value>) -> bool {
        match self {
            _ if !self.says(side) => true,
            Self::Literal(wanted) => found.is_some_and(|found| is_or_has(found, wanted)),
            // A list is of one side as a whole: its items are alternatives.
            Self::Any(items) => items.iter().any(|item| item.matches(found)),
            Self::Members(members) => members_match(members, side, found),
            Self::Operators(operators) => operators_match(&operators.iter().collect::<Vec<_>>(), side, found),
        }
    }

    fn says(&self, side: Side) -> bool {
        match self {
            Self::Literal(_) => side == Side::Wanted,
            Self::Any(items) => (side == Side::Wanted) == items.iter().any(|item| item.says(Side::Wanted)),
            Self::Members(members) => members_say(members, side),
            Self::Operators(operators) => operators.iter().any(|operator| operator.says(side)),
        }
    }
}

fn members_say(members: &[(String, Pattern)], side: Side) -> bool {
    members.iter().any(|(_, pattern)| pattern.says(side))
}

fn members_match(members: &[(String, Pattern)], side: Side, found: Option<&Value>) -> bool {
    if let Some(Value::Array(elements)) = found {
        return side
            .of_elements(members_say(members, side), elements, |found| members_match(members, side, Some(found)));
    }
    let member = |name: &str| found.and_then(|found| found.get(name));
    members.iter().all(|(name, pattern)| pattern.side_matches(side, member(name)))
}

fn operators_match(operators: &[&Operator], side: Side, found: Option<&Value>) -> bool {
    let mut operators = operators.iter().copied().filter(|operator| operator.says(side));
    let Some(array @ Value::Array(elements)) = found else {
        return operators.all(|operator| operator.holds(side, found));
    };
    let mut of_elements = Vec::new();
    for operator in operators {
        match operator {
            Operator::Exists(false) => return false,
            Operator::Exists(true) => {}
            Operator::Equals(wanted) if same(array, wanted) => {}
            _ => of_elements.push(operator),
        }
    }
    side.of_elements(!of_elements.is_empty(), elements, |found| operators_match(&of_elements, side, Some(found)))
}

impl Operator {
    fn says(&self, side: Side) -> bool {
        match self {
            Self::NotIn(_) | Self::Exists(false) => side == Side::Unwanted,
            Self::Has(members) => members_say(members, side),
            _ => side == Side::Wanted,
        }
    }

    /// For what is no array.
    fn holds(&self, side: Side, found: Option<&Value>) -> bool {
        let text = || found.and_then(Value::as_str);
        let order = |wanted: &Number| found.and_then(Value::as_number).map(|found| order(found, wanted));
        match self {
            Self::Equals(wanted) => found.is_some_and(|found| same(found, wanted)),
            Self::In(list) => found.is_some_and(|found| list.iter().any(|wanted| same(found, wanted))),
            Self::NotIn(list) => !found.is_some_and(|found| list.iter().any(|wanted| same(found, wanted))),
            Self::Exists(wanted) => *wanted == found.is_some(),
            Self::Prefix(prefix) => text().is_some_and(|text| text.starts_with(prefix)),
            Self::Suffix(suffix) => text().is_some_and(|text| text.ends_with(suffix)),
            Self::Contains(part) => text().is_some_and(|text| text.contains(part)),
            Self::Glob(glob) => text().is_some_and(|text| glob.matches(text)),
            Self::Gt(wanted) => order(wanted).is_some_and(Ordering::is_gt),
            Self::Gte(wanted) => order(wanted).is_some_and(Ordering::is_ge),
            Self::Lt(wanted) => order(wanted).is_some_and(Ordering::is_lt),
            Self::Lte(wanted) => order(wanted).is_some_and(Ordering::is_le),
            Self::Has(members) => members_match(members, side, found),
        }
    }
}

/// For a literal: the value, or any element where it is an array.
fn is_or_has(found: &Value, wanted: &Value) -> bool {
    match found {
        Value::Array(elements) => elements.iter().any(|found| is_or_has(found, wanted)),
        found => same(found, wanted),
    }
}

/// Equal as JSON, numbers by value.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => order(a, b).is_eq(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// By value and exactly: an integer beyond 2^53 is not rounded to the float that it is compared with.
fn order(a: &Number, b: &Number) -> Ordering {
    let integer = |n: &Number| n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from));
    // JSON has neither NaN nor infinities.
    let float = |n: &Number| n.as_f64().unwrap_or_default();
    let integer_to_float = |a: i128, b: f64| {
        // Within the range of the integers the whole part of a float is exact, and beyond it saturates.
        a.cmp(&(b.trunc() as i128)).then_with(|| 0.0_f64.total_cmp(&(b.fract() + 0.0)))
    };
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(a), None) => integer_to_float(a, float(b)),
        (None, Some(b)) => integer_to_float(b, float(a)).reverse(),
        (None, None) => float(a).partial_cmp(&float(b)).unwrap_or(Ordering::Equal),
    }
}
