//! Pull requests that an agent made, as its task reports them: artifacts of the run.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::limits;

/// One that a run has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    pub url: PullRequestUrl,
    pub branch: Branch,
    /// When it was first reported.
    pub created_at: Timestamp,
}

/// What a task says of one: a line of the file that [`crate::protocol::PULL_REQUESTS_FILE`] names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    pub url: PullRequestUrl,
    pub branch: Branch,
}

/// Where people see it: by http or https, at a host, without credentials, all of it in visible ASCII as browsers send it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PullRequestUrl(String);

/// The name of the branch that is to be merged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Branch(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPullRequest {
    #[error("the URL is not one such as https://github.com/acme/web/pull/12")]
    Url,
    #[error("the URL has more than {} bytes", limits::PULL_REQUEST_URL_BYTES)]
    LongUrl,
    #[error("the URL names who opens it; leave out what is before the @")]
    Credentials,
    #[error("the branch is empty or has control characters")]
    Branch,
    #[error("the branch has more than {} bytes", limits::BRANCH_BYTES)]
    LongBranch,
}

/// What a report makes of those that a run has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    Now(Vec<PullRequest>),
    Already,
    /// There are as many as a run may have.
    Full,
}

/// Each URL is there once, in the order of the first reports; its latest branch counts.
pub fn add(known: &[PullRequest], reported: &Reported, now: Timestamp) -> Added {
    let Reported { url, branch } = reported;
    let mut all = known.to_vec();
    match all.iter().position(|old| old.url == *url) {
        Some(at) if all[at].branch == *branch => return Added::Already,
        Some(at) => all[at].branch = branch.clone(),
        None if all.len() >= limits::PULL_REQUESTS => return Added::Full,
        None => all.push(PullRequest { url: url.clone(), branch: branch.clone(), created_at: now }),
    }
    Added::Now(all)
}

impl PullRequestUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Branch {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PullRequestUrl {
    type Err = InvalidPullRequest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > limits::PULL_REQUEST_URL_BYTES {
            return Err(InvalidPullRequest::LongUrl);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidPullRequest::Url)?;
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(InvalidPullRequest::Credentials);
        }
        let is_web = ["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web));
        let host = authority.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:[]".contains(&b))
            && authority.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[');
        let valid = is_web && host && text.bytes().all(|b| b.is_ascii_graphic());
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidPullRequest::Url) }
    }
}

impl FromStr for Branch {
    type Err = InvalidPullRequest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > limits::BRANCH_BYTES {
            return Err(InvalidPullRequest::LongBranch);
        }
        let valid = !text.trim().is_empty() && !text.contains(char::is_control);
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidPullRequest::Branch) }
    }
}

impl TryFrom<String> for PullRequestUrl {
    type Error = InvalidPullRequest;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<String> for Branch {
    type Error = InvalidPullRequest;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PullRequestUrl> for String {
    fn from(url: PullRequestUrl) -> Self {
        url.0
    }
}

impl From<Branch> for String {
    fn from(branch: Branch) -> Self {
        branch.0
    }
}

impl fmt::Display for PullRequestUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(number: usize, branch: &str) -> Reported {
        let url = format!("https://github.com/acme/web/pull/{number}");
        Reported { url: url.parse().unwrap(), branch: branch.parse().unwrap() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn each_url_is_there_once_with_its_latest_branch() {
        #[track_caller]
        fn check(reports: &[(usize, &str)], expected: &[&str]) {
            let mut all = Vec::new();
            for ((number, branch), second) in reports.iter().zip(1..) {
                if let Added::Now(more) = add(&all, &reported(*number, branch), at(second)) {
                    all = more;
                }
            }
            let told = |one: &PullRequest| {
                let number = one.url.as_str().rsplit('/').next().unwrap_or_default();
                format!("{number} {} {}", one.branch, one.created_at.as_second())
            };
            assert_eq!(all.iter().map(told).collect::<Vec<_>>(), expected);
        }
        check(&[(1, "a")], &["1 a 1"]);
        check(&[(1, "a"), (1, "a")], &["1 a 1"]);
        check(&[(1, "a"), (2, "b"), (1, "c")], &["1 c 1", "2 b 2"]);
        assert_eq!(
            add(
                &[PullRequest { url: reported(1, "a").url, branch: "a".parse().unwrap(), created_at: at(1) }],
                &reported(1, "a"),
                at(2)
            ),
            Added::Already
        );
    }

    #[test]
    fn a_run_has_so_many_and_no_more() {
        let mut all = Vec::new();
        for number in 0..limits::PULL_REQUESTS {
            let Added::Now(more) = add(&all, &reported(number, "a"), at(1)) else { panic!("room for {number}") };
            all = more;
        }
        assert_eq!(add(&all, &reported(limits::PULL_REQUESTS, "a"), at(2)), Added::Full);
        assert_eq!(add(&all, &reported(0, "a"), at(2)), Added::Already);
        assert!(matches!(add(&all, &reported(0, "b"), at(2)), Added::Now(more) if more.len() == all.len()));
    }

    #[test]
    fn an_url_leads_to_a_host_and_holds_no_secret() {
        #[track_caller]
        fn check(text: &str, expected: Option<&InvalidPullRequest>) {
            assert_eq!(text.parse::<PullRequestUrl>().err().as_ref(), expected, "{text:.80}");
        }
        use InvalidPullRequest as E;
        check("https://github.com/acme/web/pull/12", None);
        check("http://127.0.0.1:8080/acme/web/pull/1?x=@a#b", None);
        check("https://[::1]/a", None);
        check("HTTPS://git.example.com", None);
        for text in ["", "github.com/a", "https://", "https:///a", "ftp://host/a", "javascript:alert(1)", "://host/a"] {
            check(text, Some(&E::Url));
        }
        for text in
            ["https://host/a b", "https://host/\n", "https://ho>st/", "https://hóst/", "https://host/ü", "https://-x/"]
        {
            check(text, Some(&E::Url));
        }
        check("https://x-access-token:ghs_1@github.com/acme/web/pull/1", Some(&E::Credentials));
        check("https://github.com@evil.example/", Some(&E::Credentials));
        let long = format!("https://host/{}", "a".repeat(limits::PULL_REQUEST_URL_BYTES - 13));
        check(&long, None);
        check(&format!("{long}a"), Some(&E::LongUrl));
    }

    #[test]
    fn a_branch_is_a_line() {
        #[track_caller]
        fn check(text: &str, expected: Option<&InvalidPullRequest>) {
            assert_eq!(text.parse::<Branch>().err().as_ref(), expected, "{text:.80}");
        }
        use InvalidPullRequest as E;
        check("fix/lögin", None);
        check(&"a".repeat(limits::BRANCH_BYTES), None);
        check(&"a".repeat(limits::BRANCH_BYTES + 1), Some(&E::LongBranch));
        for text in ["", " ", "a\nb", "a\u{1b}[31m", "\u{0}"] {
            check(text, Some(&E::Branch));
        }
    }
}
