//! Where people find the dashboard.

use std::fmt;
use std::str::FromStr;

use crate::id::RunId;

/// The address of a control plane as browsers reach it, such as `https://oz.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an address such as https://oz.example.com")]
pub struct InvalidPublicUrl(String);

impl PublicUrl {
    /// The page that shows a run.
    pub fn run(&self, run: RunId) -> String {
        format!("{}/#/run/{run}", self.0)
    }
}

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    /// It stands in messages of every markup: nothing in it may end a link or begin something else.
    fn from_str(text: &str) -> Result<Self, InvalidPublicUrl> {
        let url = text.trim_end_matches('/');
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let is_plain = |rest: &str| {
            let is_part = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/[]".contains(&b);
            (1..=500).contains(&rest.len()) && rest.bytes().all(is_part) && !rest.starts_with('/')
        };
        match rest {
            Some(rest) if is_plain(rest) => Ok(Self(url.to_owned())),
            _ => Err(InvalidPublicUrl(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_that_can_stand_in_any_message() {
        #[track_caller]
        fn check(text: &str, expected: Option<&str>) {
            let parsed = text.parse::<PublicUrl>();
            assert_eq!(parsed.ok().map(|url| url.to_string()).as_deref(), expected, "{text}");
        }
        check("https://oz.example.com", Some("https://oz.example.com"));
        check("https://oz.example.com/", Some("https://oz.example.com"));
        check("http://127.0.0.1:8484", Some("http://127.0.0.1:8484"));
        check("http://[::1]:8484/ozma/", Some("http://[::1]:8484/ozma"));
        for no in
            ["", "oz.example.com", "https://", "https:///x", "https://a b", "https://a|b", "https://a)b", "ftp://a"]
        {
            check(no, None);
        }
        let run: RunId = "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10".parse().unwrap();
        let url: PublicUrl = "https://oz.example.com".parse().unwrap();
        assert_eq!(url.run(run), format!("https://oz.example.com/#/run/{run}"));
    }
}
