//! Names of things in an AWS account that an environment may point to.

use std::fmt;
use std::str::FromStr;

use crate::id::as_text;

/// A secret of Secrets Manager or a parameter of Systems Manager, by its ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretReference {
    /// `arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME`
    Secret(String),
    /// `arn:aws:ssm:REGION:ACCOUNT:parameter/NAME`
    Parameter(String),
}

/// A role of IAM, by its ARN: `arn:aws:iam::ACCOUNT:role/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleArn(String);

/// Why a text names none of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not {expected}")]
pub struct InvalidArn {
    pub text: String,
    pub expected: &'static str,
}

impl SecretReference {
    pub fn arn(&self) -> &str {
        match self {
            Self::Secret(arn) | Self::Parameter(arn) => arn,
        }
    }
}

impl RoleArn {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The parts of an ARN after its partition: service, region, account, resource.
fn parts(text: &str) -> Option<[&str; 4]> {
    let mut parts = text.splitn(6, ':');
    let (arn, partition) = (parts.next()?, parts.next()?);
    let all = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let account = all[2].len() == 12 && all[2].bytes().all(|b| b.is_ascii_digit());
    let plain = text.len() <= 2_048 && text.bytes().all(|b| b.is_ascii_graphic());
    (arn == "arn" && partition.starts_with("aws") && account && plain).then_some(all)
}

fn invalid(text: &str, expected: &'static str) -> InvalidArn {
    InvalidArn { text: text.chars().take(100).collect(), expected }
}

impl FromStr for SecretReference {
    type Err = InvalidArn;

    fn from_str(text: &str) -> Result<Self, InvalidArn> {
        match parts(text) {
            Some(["secretsmanager", region, _, resource])
                if !region.is_empty() && resource.strip_prefix("secret:").is_some_and(|name| !name.is_empty()) =>
            {
                Ok(Self::Secret(text.to_owned()))
            }
            Some(["ssm", region, _, resource])
                if !region.is_empty() && resource.strip_prefix("parameter/").is_some_and(|name| !name.is_empty()) =>
            {
                Ok(Self::Parameter(text.to_owned()))
            }
            _ => Err(invalid(
                text,
                "the ARN of a secret (arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME) or of a parameter \
                 (arn:aws:ssm:REGION:ACCOUNT:parameter/NAME)",
            )),
        }
    }
}

impl FromStr for RoleArn {
    type Err = InvalidArn;

    fn from_str(text: &str) -> Result<Self, InvalidArn> {
        match parts(text) {
            Some(["iam", "", _, resource]) if resource.strip_prefix("role/").is_some_and(|name| !name.is_empty()) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(invalid(text, "the ARN of a role (arn:aws:iam::ACCOUNT:role/NAME)")),
        }
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.arn())
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_text!(SecretReference, RoleArn);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: FromStr + fmt::Display>(text: &str, valid: bool) {
        match text.parse::<T>() {
            Ok(arn) => assert_eq!((arn.to_string().as_str(), valid), (text, true)),
            Err(_) => assert!(!valid, "{text} should parse"),
        }
    }

    #[test]
    fn arns_parse_as_their_own_kind_alone() {
        const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:npm/token-AbCdEf";
        const PARAMETER: &str = "arn:aws-us-gov:ssm:us-gov-west-1:123456789012:parameter/ci/npm";
        const ROLE: &str = "arn:aws:iam::123456789012:role/agents/reader";
        check::<SecretReference>(SECRET, true);
        check::<SecretReference>(PARAMETER, true);
        check::<SecretReference>(ROLE, false);
        check::<SecretReference>("npm/token", false);
        check::<SecretReference>("arn:aws:ssm:eu-west-1:12345:parameter/x", false);
        check::<SecretReference>("arn:aws:secretsmanager:eu-west-1:123456789012:secret:", false);
        check::<RoleArn>(ROLE, true);
        check::<RoleArn>(SECRET, false);
        check::<RoleArn>("arn:aws:iam::123456789012:user/me", false);
        check::<RoleArn>("arn:aws:iam::123456789012:role/a b", false);
    }
}
