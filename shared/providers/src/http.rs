//! One call to a provider: with the time it may take, as much of its answer as may be read, and nobody else told the
//! credentials.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

const CONNECT: Duration = Duration::from_secs(3);
/// For all of a call: redirects and the answer's last byte included.
const WHOLE: Duration = Duration::from_secs(10);
const ANSWER_BYTES: usize = 1 << 20;
/// A repository that was renamed or moved is one away.
const REDIRECTS: usize = 3;
/// Where a provider limits us and does not say for how long: GitHub's documentation asks for a minute at least.
const RETRY_SECONDS: u64 = 60;
/// No window of a provider is longer; whoever says more is not believed.
const RETRY_SECONDS_MOST: u64 = 86_400;

/// What all clients share: connections, and the limits of a call. Cheap to clone.
#[derive(Clone)]
pub struct Http(Client);

/// Where a provider's API begins: `https://api.github.com`, `https://git.example.com/api/v3`.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an address of an API: write https://host/path, without credentials, query and fragment")]
pub struct InvalidBaseUrl(String);

impl Http {
    /// `builder` says whom to trust and which way to go; what limits a call is set here.
    pub fn new(builder: ClientBuilder) -> Result<Self, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static("ozma"));
        let builder = builder.connect_timeout(CONNECT).redirect(Policy::none()).default_headers(headers);
        builder.build().map(Self).map_err(|err| Error::unreachable(&format!("cannot set up HTTP: {err}")))
    }

    /// Sends a call and reads its answer, which is an error if it is not 2xx.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer, Error> {
        self.answer(call).await?.judged()
    }

    /// The answer, whatever its status.
    pub(crate) async fn answer(&self, call: Call<'_>) -> Result<Answer, Error> {
        let answer = tokio::time::timeout(WHOLE, self.follow(call)).await;
        answer.unwrap_or_else(|_| Err(Error::unreachable("it did not answer in time")))
    }

    async fn follow(&self, call: Call<'_>) -> Result<Answer, Error> {
        let mut url = call.url?;
        let mut redirects = 0;
        loop {
            let mut request = self.0.request(call.method.clone(), url.clone()).headers(call.headers.clone());
            if let Some((name, value)) = call.credentials.header()? {
                request = request.header(name, value);
            }
            if let Some(body) = &call.body {
                request = request.body(body.clone());
            }
            let response = request.send().await.map_err(unreachable)?;
            match elsewhere(&url, &call.method, response.status(), response.headers()) {
                Some(next) if redirects < REDIRECTS => (url, redirects) = (next, redirects + 1),
                _ => return Answer::read(response, call.credentials).await,
            }
        }
    }
}

/// Where a call goes on, if that is the same origin: nobody else gets credentials, not even a call without them. A 301 or
/// 302 makes a GET of what is not one, so that those count for a GET alone.
fn elsewhere(url: &Url, method: &Method, status: StatusCode, headers: &HeaderMap) -> Option<Url> {
    let follows = match status {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => method == Method::GET,
        _ => false,
    };
    let next = url.join(headers.get(LOCATION)?.to_str().ok()?).ok()?;
    (follows && next.origin() == url.origin()).then_some(next)
}

fn unreachable(err: reqwest::Error) -> Error {
    Error::unreachable(&ozma_domain::text::chain(&err.without_url()).to_string())
}

/// A call that is being put together.
pub(crate) struct Call<'a> {
    method: Method,
    url: Result<Url, Error>,
    headers: HeaderMap,
    credentials: Credentials<'a>,
    body: Option<Vec<u8>>,
}

/// How a call says whose it is.
#[derive(Clone, Copy)]
pub(crate) enum Credentials<'a> {
    None,
    Bearer(&'a SecretString),
    /// The whole of the header `Authorization`.
    Bare(&'a SecretString),
    PrivateToken(&'a SecretString),
    /// The header, and the token in it.
    Basic {
        header: &'a SecretString,
        of: &'a SecretString,
    },
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, url: Result<Url, Error>, credentials: Credentials<'a>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Self { method, url, headers, credentials, body: None }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    pub(crate) fn query(mut self, pairs: &[(&str, &str)]) -> Self {
        if let Ok(url) = &mut self.url {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        self
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        self.body = Some(serde_json::to_vec(body).expect("bodies are structs with text keys"));
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        self
    }
}

impl Credentials<'_> {
    fn header(self) -> Result<Option<(&'static str, HeaderValue)>, Error> {
        let (name, text) = match self {
            Self::None => return Ok(None),
            Self::Bearer(token) => (AUTHORIZATION.as_str(), format!("Bearer {}", token.expose_secret())),
            Self::Bare(token) | Self::Basic { header: token, .. } => {
                (AUTHORIZATION.as_str(), token.expose_secret().to_owned())
            }
            Self::PrivateToken(token) => ("private-token", token.expose_secret().to_owned()),
        };
        // One that cannot be sent cannot be right.
        let mut value = HeaderValue::from_str(&text).map_err(|_| Error::Unauthorized)?;
        value.set_sensitive(true);
        Ok(Some((name, value)))
    }

    /// An answer that may quote what was sent, without it: what is said in errors cannot hold it then.
    fn hidden(self, answer: Vec<u8>) -> Vec<u8> {
        let secrets: &[&SecretString] = match &self {
            Self::None => &[],
            Self::Bearer(token) | Self::Bare(token) | Self::PrivateToken(token) => &[*token],
            Self::Basic { header, of } => &[*header, *of],
        };
        // The scheme before it is no secret.
        let secrets = secrets.iter().map(|secret| secret.expose_secret().trim_start_matches("Basic "));
        secrets.filter(|secret| !secret.is_empty()).fold(answer, |answer, secret| {
            let quotes = answer.windows(secret.len()).any(|part| part == secret.as_bytes());
            if quotes { String::from_utf8_lossy(&answer).replace(secret, "[hidden]").into_bytes() } else { answer }
        })
    }
}

/// What a provider said.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    async fn read(mut response: reqwest::Response, credentials: Credentials<'_>) -> Result<Self, Error> {
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let too_large = || Error::refused(status.as_u16(), &format!("its answer is larger than {ANSWER_BYTES} bytes"));
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(unreachable)? {
            if body.len() + part.len() > ANSWER_BYTES {
                return Err(too_large());
            }
            body.extend_from_slice(&part);
        }
        Ok(Self { status, headers, body: credentials.hidden(body) })
    }

    /// Itself if it is 2xx.
    pub(crate) fn judged(self) -> Result<Self, Error> {
        if self.status.is_success() { Ok(self) } else { Err(self.error()) }
    }

    /// What is wrong, of an answer that is not as it should be.
    pub(crate) fn error(&self) -> Error {
        if let Some(retry_seconds) = self.limited() {
            return Error::RateLimited { retry_seconds };
        }
        match self.status {
            StatusCode::UNAUTHORIZED => Error::Unauthorized,
            StatusCode::NOT_FOUND | StatusCode::GONE => Error::NotFound,
            status if status.is_redirection() => {
                let moved = "it is somewhere else now, where our credentials do not go; check the address";
                Error::refused(status.as_u16(), moved)
            }
            status => Error::refused(status.as_u16(), &self.told()),
        }
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|err| self.unusable(&format!("its answer cannot be read: {err}")))
    }

    /// An error about an answer that came well but says nothing that can be used.
    pub(crate) fn unusable(&self, why: &str) -> Error {
        Error::refused(self.status.as_u16(), why)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn text(&self) -> String {
        ozma_domain::text::printable(&self.body)
    }

    /// For how long nothing more is taken, if that is what it says. GitHub says it with 403 as well: by `retry-after`, by
    /// a limit of which nothing is left, or in words.
    fn limited(&self) -> Option<u64> {
        let retry_after = self.number(RETRY_AFTER.as_str());
        let used_up = self.number("x-ratelimit-remaining") == Some(0);
        let limited = match self.status {
            StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::SERVICE_UNAVAILABLE => retry_after.is_some(),
            StatusCode::FORBIDDEN => retry_after.is_some() || used_up || self.told().contains("secondary rate limit"),
            _ => false,
        };
        let reset = || self.number("x-ratelimit-reset").filter(|_| used_up).map(|at| self.seconds_until(at));
        limited.then(|| retry_after.or_else(reset).unwrap_or(RETRY_SECONDS).clamp(1, RETRY_SECONDS_MOST))
    }

    /// For how long nothing more is taken, of an answer that says so in its body.
    pub(crate) fn retry_seconds(&self) -> u64 {
        self.number(RETRY_AFTER.as_str()).unwrap_or(RETRY_SECONDS).clamp(1, RETRY_SECONDS_MOST)
    }

    /// A header that is a whole number.
    pub(crate) fn number(&self, header: &str) -> Option<u64> {
        self.header(header)?.trim().parse().ok()
    }

    /// How long it is from the answer until a time in seconds since 1970, by the provider's clock, which is the one that
    /// counts.
    pub(crate) fn seconds_until(&self, unix: u64) -> u64 {
        let date =
            self.header("date").and_then(|date| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
        let Some(now) = date.map(Timestamp::as_second).and_then(|now| u64::try_from(now).ok()) else {
            return RETRY_SECONDS;
        };
        unix.saturating_sub(now).clamp(1, RETRY_SECONDS_MOST)
    }

    /// The reason that it gives. GitHub and GitLab have a `message`, GitLab also an `error`, Jira `errorMessages`; `errors`
    /// say which field is meant.
    fn told(&self) -> String {
        let Ok(serde_json::Value::Object(body)) = serde_json::from_slice(&self.body) else { return self.text() };
        let is_said = |value: &&serde_json::Value| match value {
            serde_json::Value::Array(items) => !items.is_empty(),
            serde_json::Value::Object(members) => !members.is_empty(),
            value => !value.is_null(),
        };
        let said = ["message", "error", "errorMessages", "errors"].iter().filter_map(|name| body.get(*name));
        let said = said.filter(is_said).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let said: Vec<String> = said.collect();
        if said.is_empty() { "it does not say why".to_owned() } else { said.join(" ") }
    }
}

impl BaseUrl {
    /// The address of what is below, by the parts of its path.
    pub(crate) fn at(&self, parts: &[&str]) -> Result<Url, Error> {
        // These would be another path; no provider has a thing of such a name.
        if parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return Err(Error::NotFound);
        }
        let mut url = self.0.clone();
        url.path_segments_mut().expect("http has a path").pop_if_empty().extend(parts);
        Ok(url)
    }

    pub(crate) fn url(&self) -> Url {
        self.0.clone()
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBaseUrl> {
        // What is refused may hold credentials, which a message must not.
        let shown = text.rsplit('@').next().unwrap_or_default().split(['?', '#']).next().unwrap_or_default();
        let invalid = || InvalidBaseUrl(shown.chars().take(200).collect());
        let url = Url::parse(text).map_err(|_| invalid())?;
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        let valid = matches!(url.scheme(), "https" | "http") && plain && url.fragment().is_none();
        if valid { Ok(Self(url)) } else { Err(invalid()) }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}
