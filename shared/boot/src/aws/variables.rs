//! The variables of a function, each read once at its start. What is missing or wrong stops it there, by name.

use std::str::FromStr;

use crate::environment::Lookup;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVariable {
    #[error("{0} is not set; the stack's template sets it on this function")]
    Missing(&'static str),
    #[error("{name} is \"{value}\": {reason}")]
    Invalid { name: &'static str, value: String, reason: String },
}

/// A look-up with words for what it does not find.
pub(super) struct Variables<'a>(pub(super) Lookup<'a>);

impl Variables<'_> {
    pub(super) fn optional(&self, name: &'static str) -> Option<String> {
        (self.0)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    pub(super) fn required(&self, name: &'static str) -> Result<String, InvalidVariable> {
        self.optional(name).ok_or(InvalidVariable::Missing(name))
    }

    /// Values between commas, at least one.
    pub(super) fn list(&self, name: &'static str) -> Result<Vec<String>, InvalidVariable> {
        let values: Vec<String> =
            self.required(name)?.split(',').map(|value| value.trim().to_owned()).filter(|v| !v.is_empty()).collect();
        if values.is_empty() { Err(InvalidVariable::Missing(name)) } else { Ok(values) }
    }

    pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, name: &'static str) -> Result<T, InvalidVariable> {
        let value = self.required(name)?;
        value.parse().map_err(|err: T::Err| InvalidVariable::Invalid { name, reason: err.to_string(), value })
    }

    pub(super) fn parsed_or<T: FromStr<Err: std::fmt::Display>>(
        &self,
        name: &'static str,
        default: T,
    ) -> Result<T, InvalidVariable> {
        if self.optional(name).is_none() { Ok(default) } else { self.parsed(name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let lookup = |name: &str| match name {
            "OZ_SUBNETS" => Some("subnet-1, subnet-2,".to_owned()),
            "OZ_SECURITY_GROUPS" => Some(" , ".to_owned()),
            "OZ_START_SECONDS" => Some("soon".to_owned()),
            "OZ_TABLE" => Some("  ".to_owned()),
            _ => None,
        };
        let variables = Variables(&lookup);
        assert_eq!(variables.list("OZ_SUBNETS").unwrap(), ["subnet-1", "subnet-2"]);
        let told = |error: InvalidVariable| error.to_string();
        let missing = "OZ_TABLE is not set; the stack's template sets it on this function";
        assert_eq!(variables.required("OZ_TABLE").map_err(told).unwrap_err(), missing);
        assert!(variables.list("OZ_SECURITY_GROUPS").is_err());
        let wrong = variables.parsed_or::<i64>("OZ_START_SECONDS", 600).map_err(told).unwrap_err();
        assert_eq!(wrong, "OZ_START_SECONDS is \"soon\": invalid digit found in string");
        assert_eq!(variables.parsed_or::<i64>("OZ_OTHER_SECONDS", 600), Ok(600));
    }
}
