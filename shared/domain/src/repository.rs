//! Repositories: where code comes from, as people write it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A repository to clone, and what to check out: a branch, a tag, or an exact commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    pub url: RepositoryUrl,
    #[serde(skip_serializing_if = "Option::is_none", default, rename = "ref")]
    pub reference: Option<GitRef>,
}

/// `https://…`, `ssh://…`, `user@host:path`, or `file:///…`. Never carries credentials.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RepositoryUrl(String);

/// A branch, a tag, or a 40-digit commit. Cannot be mistaken for an option by git.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GitRef(String);

/// A repository that a host serves by HTTP, as far as credentials for it are concerned. Hosts, owners and names are compared
/// without case, as GitHub does.
#[derive(Clone, Debug)]
pub struct HttpRepository {
    /// Scheme, host, and a port that is not the scheme's own: `https://github.com`.
    origin: String,
    owner: String,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRepository {
    #[error("\"{0}\" is not a repository: write https://host/owner/name, user@host:path, file:///path or owner/name")]
    NotAUrl(String),
    #[error("a repository's address must not carry credentials; store them with `oz secret create` instead")]
    Credentials,
    #[error("\"{0}\" is not a branch, tag or commit")]
    NotARef(String),
}

impl RepositoryUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder that a clone goes into: the last part of the path, without `.git`.
    pub fn directory(&self) -> &str {
        let path = self.0.trim_end_matches('/');
        let path = path.strip_suffix("/.git").unwrap_or(path);
        let name = path.rsplit(['/', ':']).next().unwrap_or(path);
        let name = name.strip_suffix(".git").unwrap_or(name);
        if name.is_empty() || name == "." || name == ".." { "repository" } else { name }
    }

    /// The path of a `file://` repository.
    pub fn local_path(&self) -> Option<&str> {
        self.0.strip_prefix("file://")
    }

    /// What credentials for it are asked for by, if it is cloned by HTTP.
    pub fn over_http(&self) -> Option<HttpRepository> {
        HttpRepository::of(&self.0)
    }

    /// `owner/name` on GitHub, if that is what this is.
    pub fn github(&self) -> Option<(&str, &str)> {
        let path = self.0.strip_prefix("https://github.com/")?.trim_end_matches('/');
        let (owner, name) = path.split_once('/')?;
        Some((owner, name.strip_suffix(".git").unwrap_or(name)))
    }
}

impl HttpRepository {
    /// Of the address of the repository itself, or of something in it: git asks for `…/owner/name.git/info/lfs` too. None
    /// where credentials would go in the clear: without TLS they go to this very machine alone.
    pub fn of(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = rest.split_once('/')?;
        let (host, own_port) = match scheme {
            "https" => (authority, ":443"),
            "http" if is_loopback(authority) => (authority, ":80"),
            _ => return None,
        };
        let host = host.strip_suffix(own_port).unwrap_or(host);
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let (owner, name) = (parts.next()?, parts.next()?);
        let name = name.strip_suffix(".git").unwrap_or(name);
        let valid = is_host(host) && is_github_name(owner) && is_github_name(name);
        let origin = format!("{scheme}://{}", host.to_ascii_lowercase());
        valid.then(|| Self { origin, owner: owner.to_owned(), name: name.to_owned() })
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// `owner/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// Whether one token can be for both: they are of one owner at one host.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.origin == other.origin && self.owner.eq_ignore_ascii_case(&other.owner)
    }
}

impl PartialEq for HttpRepository {
    fn eq(&self, other: &Self) -> bool {
        self.is_beside(other) && self.name.eq_ignore_ascii_case(&other.name)
    }
}

impl Eq for HttpRepository {}

impl fmt::Display for HttpRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.origin, self.owner, self.name)
    }
}

/// A name or an address, with or without a port, and nothing that would be read as more than that.
fn is_host(authority: &str) -> bool {
    !authority.is_empty() && authority.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:[]".contains(&b))
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl GitRef {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An exact commit needs a fetch of its own; a branch or tag is cloned.
    pub fn is_commit(&self) -> bool {
        self.0.len() == 40 && self.0.bytes().all(|b| b.is_ascii_hexdigit())
    }
}

impl FromStr for RepositoryUrl {
    type Err = InvalidRepository;

    fn from_str(text: &str) -> Result<Self, InvalidRepository> {
        let invalid = || InvalidRepository::NotAUrl(text.chars().take(200).collect());
        // A leading dash would be an option to git, white space and control characters two arguments or a forged line.
        if text.starts_with('-') || text.len() > 2048 || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(invalid());
        }
        if let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) {
            let (host, path) = rest.split_once('/').ok_or_else(invalid)?;
            if host.contains('@') {
                return Err(InvalidRepository::Credentials);
            }
            return if host.is_empty() || path.is_empty() { Err(invalid()) } else { Ok(Self(text.to_owned())) };
        }
        if let Some(path) = text.strip_prefix("file://") {
            return if path.starts_with('/') && path.len() > 1 { Ok(Self(text.to_owned())) } else { Err(invalid()) };
        }
        if let Some(rest) = text.strip_prefix("ssh://") {
            let (authority, path) = rest.split_once('/').ok_or_else(invalid)?;
            if authority.split_once('@').is_some_and(|(user, _)| user.contains(':')) {
                return Err(InvalidRepository::Credentials);
            }
            // git hands the host to ssh, where a leading dash would be an option.
            let host = authority.rsplit('@').next().unwrap_or_default();
            let valid = !host.is_empty() && !host.starts_with('-') && !path.is_empty();
            return if valid { Ok(Self(text.to_owned())) } else { Err(invalid()) };
        }
        if text.contains("://") {
            return Err(invalid());
        }
        if let Some((user_host, path)) = text.split_once(':') {
            let (user, host) = user_host.split_once('@').ok_or_else(invalid)?;
            let valid = !user.is_empty() && !host.is_empty() && !host.starts_with('-') && !path.is_empty();
            return if valid && !user_host.contains('/') { Ok(Self(text.to_owned())) } else { Err(invalid()) };
        }
        match text.split('/').collect::<Vec<_>>()[..] {
            [owner, name] if is_github_name(owner) && is_github_name(name) => {
                Ok(Self(format!("https://github.com/{owner}/{name}")))
            }
            _ => Err(invalid()),
        }
    }
}

/// An owner or a repository on GitHub.
pub(crate) fn is_github_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

impl FromStr for GitRef {
    type Err = InvalidRepository;

    /// The rules of `git check-ref-format` that matter for safety; git itself says whether the ref exists.
    fn from_str(text: &str) -> Result<Self, InvalidRepository> {
        let valid = (1..=255).contains(&text.len())
            && !text.starts_with(['-', '/', '.'])
            && !text.ends_with(['/', '.'])
            && !text.contains("..")
            && !text.contains("@{")
            && !text.chars().any(|c| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRepository::NotARef(text.chars().take(200).collect()))
        }
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for GitRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RepositoryUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Serialize for GitRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RepositoryUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for GitRef {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &str)>) {
        let parsed = text.parse::<RepositoryUrl>().ok();
        assert_eq!(parsed.as_ref().map(|url| (url.as_str(), url.directory())), expected, "{text}");
    }

    #[test]
    fn repositories_are_read_as_people_write_them() {
        check("acme/web", Some(("https://github.com/acme/web", "web")));
        check("https://git.example.com/acme/web.git", Some(("https://git.example.com/acme/web.git", "web")));
        check("git@github.com:acme/web.git", Some(("git@github.com:acme/web.git", "web")));
        check("ssh://git@host:2222/acme/web", Some(("ssh://git@host:2222/acme/web", "web")));
        check("file:///work/main", Some(("file:///work/main", "main")));
        check("file:///work/main/.git", Some(("file:///work/main/.git", "main")));
        check("https://user:token@github.com/acme/web", None);
        check("https://token@github.com/acme/web", None);
        check("ssh://git:pw@host/acme/web", None);
        check("--upload-pack=touch /tmp/x", None);
        check("ext::sh -c touch% /tmp/x", None);
        check("ssh://-oProxyCommand=x/y", None);
        check("git@-oProxyCommand=x:y", None);
        check("file://relative", None);
        check("../..", None);
        check("web", None);
        check("", None);
    }

    #[test]
    fn credentials_are_for_a_repository_and_go_nowhere_in_the_clear() {
        #[track_caller]
        fn check(url: &str, expected: Option<&str>) {
            assert_eq!(HttpRepository::of(url).map(|found| found.to_string()).as_deref(), expected, "{url}");
        }
        check("https://github.com/acme/web", Some("https://github.com/acme/web"));
        check("https://GitHub.com:443/acme/web.git/", Some("https://github.com/acme/web"));
        check("https://github.com/acme/web.git/info/lfs", Some("https://github.com/acme/web"));
        check("https://git.example.com:8443/acme/web.js", Some("https://git.example.com:8443/acme/web.js"));
        check("http://127.0.0.1:9/acme/web", Some("http://127.0.0.1:9/acme/web"));
        check("http://[::1]:9/acme/web", Some("http://[::1]:9/acme/web"));
        check("http://localhost/acme/web", Some("http://localhost/acme/web"));
        check("http://github.com/acme/web", None);
        check("http://127.0.0.1.example.com/acme/web", None);
        check("http://127.0.0.1:9@example.com/acme/web", None);
        check("https://a@github.com/acme/web", None);
        check("https://github.com/acme", None);
        check("https://github.com/acme/..", None);
        check("https://github.com/acme/w%2Fb", None);
        check("git@github.com:acme/web", None);
        check("file:///acme/web", None);
    }

    #[test]
    fn one_owner_at_one_host_has_one_token() {
        #[track_caller]
        fn check(one: &str, other: &str, beside: bool, same: bool) {
            let [one, other] = [one, other].map(|url| HttpRepository::of(url).unwrap());
            assert_eq!((one.is_beside(&other), one == other), (beside, same), "{one} {other}");
        }
        check("https://github.com/acme/web", "https://github.com/Acme/Web.git", true, true);
        check("https://github.com/acme/web", "https://github.com/acme/api", true, false);
        check("https://github.com/acme/web", "https://github.com/umbrella/web", false, false);
        check("https://github.com/acme/web", "https://git.example.com/acme/web", false, false);
    }

    #[test]
    fn refs_cannot_be_options_or_ranges() {
        let check = |text: &str, valid| assert_eq!(text.parse::<GitRef>().is_ok(), valid, "{text}");
        check("main", true);
        check("feature/x-1.2", true);
        check("0123456789abcdef0123456789abcdef01234567", true);
        check("-b", false);
        check("a..b", false);
        check("a b", false);
        check("HEAD@{1}", false);
        check("a:b", false);
        assert!("0123456789abcdef0123456789abcdef01234567".parse::<GitRef>().unwrap().is_commit());
        assert!(!"main".parse::<GitRef>().unwrap().is_commit());
    }
}
