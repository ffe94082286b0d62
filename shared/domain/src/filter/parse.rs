//! From JSON to a pattern, strictly: whatever could not mean what somebody wrote is refused with the place and what to do.

use serde_json::{Map, Number, Value};

use super::{OPERATORS, Operator, Pattern};
use crate::limits;
use crate::template::InvalidField;
use crate::text;

/// Reads a whole filter: an object, or a list of objects any of which may match.
pub(super) fn pattern(json: &Value) -> Result<Pattern, InvalidField> {
    let mut parser = Parser::default();
    let pattern = match json {
        Value::Object(object) if object.is_empty() => Pattern::Members(Vec::new()),
        Value::Object(object) => {
            if let Some(name) = object.keys().find(|name| is_operator(name) && *name != "has")
                && object.keys().all(|name| is_operator(name))
            {
                let reason = format!(
                    "an operator needs a member of the payload to look at, such as {{\"action\": {{\"{name}\": …}}}}; \
                     for a member that is called so, write {{\"has\": {{\"{name}\": …}}}}"
                );
                return Err(InvalidField::new(format!("filter.{name}"), reason));
            }
            parser.object("filter", object, 1)?
        }
        Value::Array(items) if items.iter().all(Value::is_object) => parser.any("filter", items, 1)?,
        _ => {
            let reason = "an object that mirrors the payload, such as {\"action\": \"opened\"}, or a list of those";
            return Err(InvalidField::new("filter", reason));
        }
    };
    // What was parsed is no deeper than the limit, so that it can be spelled without a care for the stack.
    let bytes = json.to_string().len();
    if bytes > limits::FILTER_BYTES {
        return Err(InvalidField::new("filter", format!("has {bytes} bytes, at most {}", limits::FILTER_BYTES)));
    }
    Ok(pattern)
}

fn is_operator(name: &str) -> bool {
    OPERATORS.contains(&name)
}

#[derive(Default)]
struct Parser {
    conditions: usize,
}

impl Parser {
    fn pattern(&mut self, at: &str, json: &Value, depth: usize) -> Result<Pattern, InvalidField> {
        match json {
            Value::Object(object) if object.is_empty() => {
                let reason = "says nothing; leave it out, or write {\"exists\": true} for whatever is there";
                Err(InvalidField::new(at, reason))
            }
            Value::Object(object) => self.object(at, object, depth),
            Value::Array(items) => self.any(at, items, depth),
            literal => {
                self.count(at)?;
                Ok(Pattern::Literal(literal.clone()))
            }
        }
    }

    fn any(&mut self, at: &str, items: &[Value], depth: usize) -> Result<Pattern, InvalidField> {
        check_depth(at, depth)?;
        if items.is_empty() {
            return Err(InvalidField::new(
                at,
                "an empty list matches nothing; name what may be there, or leave it out",
            ));
        }
        let items = items.iter().enumerate();
        items
            .map(|(n, item)| self.pattern(&format!("{at}[{n}]"), item, depth + 1))
            .collect::<Result<_, _>>()
            .map(Pattern::Any)
    }

    fn object(&mut self, at: &str, object: &Map<String, Value>, depth: usize) -> Result<Pattern, InvalidField> {
        check_depth(at, depth)?;
        let operator = object.keys().find(|name| is_operator(name));
        let member = object.keys().find(|name| !is_operator(name));
        match (operator, member) {
            (Some(operator), Some(member)) => {
                let reason = format!(
                    "an operator beside \"{}\", which is none; operators need an object of their own. For a member of the \
                     payload that is called so, write all of them as {{\"has\": {{\"{operator}\": …}}}}",
                    shown(member)
                );
                Err(InvalidField::new(format!("{at}.{operator}"), reason))
            }
            (Some(_), None) => {
                let all = object.iter().map(|(name, json)| self.operator(&format!("{at}.{name}"), name, json, depth));
                all.collect::<Result<_, _>>().map(Pattern::Operators)
            }
            (None, _) => self.members(at, object, depth).map(Pattern::Members),
        }
    }

    fn members(
        &mut self,
        at: &str,
        object: &Map<String, Value>,
        depth: usize,
    ) -> Result<Vec<(String, Pattern)>, InvalidField> {
        let member = |(name, json): (&String, &Value)| {
            let pattern = self.pattern(&format!("{at}.{}", shown(name)), json, depth + 1)?;
            Ok((name.clone(), pattern))
        };
        object.iter().map(member).collect()
    }

    fn operator(&mut self, at: &str, name: &str, json: &Value, depth: usize) -> Result<Operator, InvalidField> {
        self.count(at)?;
        let no = |wanted: &str| {
            let reason = format!(
                "{wanted}; for a member of the payload that is called so, write {{\"has\": {{\"{name}\": …}}}}"
            );
            InvalidField::new(at, reason)
        };
        let string = || {
            let text = json.as_str().filter(|text| !text.is_empty());
            text.map(str::to_owned).ok_or_else(|| no("a string that is not empty"))
        };
        let number = || match json {
            Value::Number(number) => Ok::<Number, InvalidField>(number.clone()),
            _ => Err(no("a number")),
        };
        let literals = || {
            let items = json.as_array().filter(|items| !items.is_empty());
            let items = items.filter(|items| !items.iter().any(|item| item.is_array() || item.is_object()));
            items.cloned().ok_or_else(|| no("a list of one or more strings, numbers, true, false or null"))
        };
        Ok(match name {
            "equals" => {
                check_depth_of(at, json, depth + 1)?;
                Operator::Equals(json.clone())
            }
            "in" => Operator::In(literals()?),
            "not_in" => Operator::NotIn(literals()?),
            "exists" => Operator::Exists(json.as_bool().ok_or_else(|| no("true or false"))?),
            "prefix" => Operator::Prefix(string()?),
            "suffix" => Operator::Suffix(string()?),
            "contains" => Operator::Contains(string()?),
            "glob" => Operator::Glob(string()?.parse().map_err(|err| InvalidField::new(at, format!("{err}")))?),
            "gt" => Operator::Gt(number()?),
            "gte" => Operator::Gte(number()?),
            "lt" => Operator::Lt(number()?),
            "lte" => Operator::Lte(number()?),
            _ => {
                check_depth(at, depth + 1)?;
                let object = json.as_object().filter(|object| !object.is_empty());
                Operator::Has(self.members(at, object.ok_or_else(|| no("an object of members"))?, depth + 1)?)
            }
        })
    }

    fn count(&mut self, at: &str) -> Result<(), InvalidField> {
        self.conditions += 1;
        if self.conditions > limits::FILTER_CONDITIONS {
            let reason = format!("more than {} conditions; \"in\" with a list is one", limits::FILTER_CONDITIONS);
            return Err(InvalidField::new(at, reason));
        }
        Ok(())
    }
}

fn check_depth(at: &str, depth: usize) -> Result<(), InvalidField> {
    if depth > limits::FILTER_DEPTH {
        return Err(InvalidField::new(
            at,
            format!("more than {} objects and lists in one another", limits::FILTER_DEPTH),
        ));
    }
    Ok(())
}

fn check_depth_of(at: &str, json: &Value, depth: usize) -> Result<(), InvalidField> {
    match json {
        Value::Array(_) | Value::Object(_) => check_depth(at, depth)?,
        _ => return Ok(()),
    }
    let items = json.as_array().into_iter().flatten();
    let members = json.as_object().into_iter().flat_map(Map::values);
    items.chain(members).try_for_each(|json| check_depth_of(at, json, depth + 1))
}

/// A name from a filter in an error, which is one line.
fn shown(name: &str) -> String {
    text::shorten(&text::one_line(name), 60)
}
