//! Slack: messages in a thread, edited in place, and found again by the run that their metadata names.
//!
//! A bot token needs the scopes `chat:write`, `channels:history` (and `groups:`, `im:`, `mpim:history`) to find a message,
//! and `users:read` with `users:read.email` to know an address.

use std::fmt;

use jiff::Timestamp;
use ozma_domain::id::RunId;
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, found};
use crate::http::{Answer, BaseUrl, Call, Credentials, Http};

/// A workspace, spoken to by our bot.
#[derive(Clone)]
pub struct Slack {
    http: Http,
    api: BaseUrl,
    hooks: BaseUrl,
    token: SecretString,
}

/// What a message shows.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// In Slack's `mrkdwn`; with blocks, what notifications say instead.
    pub text: &'a str,
    /// Block Kit.
    pub blocks: Option<&'a [Value]>,
    /// The run that it tells of, by which it is found.
    pub run: RunId,
    /// Of a message that tells one end of the run alone, when that was: by which it is told apart.
    pub end: Option<Timestamp>,
}

/// Who a token speaks as.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Bot {
    /// What its messages carry.
    pub bot_id: String,
    /// What a mention names.
    pub user_id: String,
    pub team_id: String,
}

/// The kind of our metadata; its payload is `{"run_id": "…"}`, of a message that tells an end with its `end`, in milliseconds
/// since 1970.
const EVENT: &str = "ozma_run";
/// Slack's own most is 1,000, of apps that are sold outside its marketplace 15 (and one call a minute).
const REPLIES: &str = "200";
const PAGES: usize = 10;
/// Without it a person's address is left out.
const EMAIL_SCOPE: &str = "users:read.email";

#[derive(Serialize)]
struct Written<'a> {
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_ts: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<&'a str>,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<&'a [Value]>,
    metadata: Metadata,
    /// Whoever answers with an address does not want its page in the thread. An edit has no say in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    unfurl_links: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unfurl_media: Option<bool>,
}

#[derive(Serialize)]
struct Metadata {
    event_type: &'static str,
    event_payload: Payload,
}

#[derive(Serialize)]
struct Payload {
    run_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
}

impl Message<'_> {
    fn metadata(&self) -> Metadata {
        let (run_id, end) = (self.run.to_string(), self.end.map(|end| end.as_millisecond().to_string()));
        Metadata { event_type: EVENT, event_payload: Payload { run_id, end } }
    }

    /// Whether a message with that metadata tells the same.
    fn is_told_by(&self, metadata: &Value) -> bool {
        let Payload { run_id, end } = self.metadata().event_payload;
        let payload = &metadata["event_payload"];
        metadata["event_type"] == EVENT && payload["run_id"] == *run_id && payload["end"].as_str() == end.as_deref()
    }
}

impl Slack {
    pub const API: &str = "https://slack.com/api";
    pub const HOOKS: &str = "https://hooks.slack.com";

    /// `api` and `hooks` are [`Self::API`] and [`Self::HOOKS`], unless the workspace is a government's.
    pub fn new(http: Http, api: BaseUrl, hooks: BaseUrl, token: SecretString) -> Self {
        Self { http, api, hooks, token }
    }

    /// Who we are.
    pub async fn bot(&self) -> Result<Bot, Error> {
        self.post("auth.test", &serde_json::json!({})).await
    }

    /// Posts into a thread, or without one into the channel; the message's `ts`, which is its id within the channel.
    pub async fn post_message(
        &self,
        channel: &str,
        thread: Option<&str>,
        message: &Message<'_>,
    ) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Posted {
            ts: String,
        }
        let written = Written {
            channel,
            thread_ts: thread,
            ts: None,
            text: message.text,
            blocks: message.blocks,
            metadata: message.metadata(),
            unfurl_links: Some(false),
            unfurl_media: Some(false),
        };
        Ok(self.post::<Posted>("chat.postMessage", &written).await?.ts)
    }

    pub async fn update_message(&self, channel: &str, ts: &str, message: &Message<'_>) -> Result<(), Error> {
        let written = Written {
            channel,
            thread_ts: None,
            ts: Some(ts),
            text: message.text,
            blocks: message.blocks,
            metadata: message.metadata(),
            unfurl_links: None,
            unfurl_media: None,
        };
        self.post::<Value>("chat.update", &written).await.map(drop)
    }

    /// Our message in a thread that tells what `message` does: the answer to its posting may have been lost. Fails rather than
    /// say that there is none, if there are too many to look through.
    pub async fn find_message(
        &self,
        channel: &str,
        thread: &str,
        message: &Message<'_>,
        bot: &Bot,
    ) -> Result<Option<String>, Error> {
        #[derive(Deserialize)]
        struct Page {
            messages: Vec<Reply>,
            response_metadata: Option<Next>,
        }
        #[derive(Deserialize)]
        struct Next {
            #[serde(default)]
            next_cursor: String,
        }
        #[derive(Deserialize)]
        struct Reply {
            ts: String,
            bot_id: Option<String>,
            metadata: Option<Value>,
        }
        let mut cursor = String::new();
        for _ in 0..PAGES {
            let query = [
                ("channel", channel),
                ("ts", thread),
                ("include_all_metadata", "true"),
                ("limit", REPLIES),
                ("cursor", &cursor),
            ];
            let page: Page = self.get("conversations.replies", &query).await?;
            let is_it = |reply: &&Reply| {
                let tells = reply.metadata.as_ref().is_some_and(|metadata| message.is_told_by(metadata));
                tells && reply.bot_id.as_deref() == Some(&*bot.bot_id)
            };
            if let Some(found) = page.messages.into_iter().find(|reply| is_it(&reply)) {
                return Ok(Some(found.ts));
            }
            cursor = page.response_metadata.map(|next| next.next_cursor).unwrap_or_default();
            if cursor.is_empty() {
                return Ok(None);
            }
        }
        Err(Error::refused(200, &format!("there are more than {PAGES} pages of replies to look through")))
    }

    /// The address of a person, if there is such a person, it is shown, and it is theirs: one that nobody has confirmed may
    /// be anybody's. Bots have none.
    pub async fn email_of(&self, user: &str) -> Result<Option<String>, Error> {
        #[derive(Deserialize)]
        struct Told {
            user: User,
        }
        #[derive(Deserialize)]
        struct User {
            profile: Profile,
            #[serde(default)]
            is_email_confirmed: Option<bool>,
        }
        #[derive(Deserialize)]
        struct Profile {
            email: Option<String>,
        }
        let call = self.call(Method::GET, "users.info").query(&[("user", user)]);
        let Some(answer) = found(self.answer(call).await)? else { return Ok(None) };
        let User { profile, is_email_confirmed } = answer.json::<Told>()?.user;
        let email = profile.email.filter(|email| !email.is_empty());
        // Without the scope it is left out, and that is no error to Slack.
        let scopes = answer.header("x-oauth-scopes").filter(|_| email.is_none());
        if scopes.is_some_and(|scopes| scopes.split(',').all(|scope| scope.trim() != EMAIL_SCOPE)) {
            return Err(missing_scope(&answer, EMAIL_SCOPE));
        }
        Ok(email.filter(|_| is_email_confirmed != Some(false)))
    }

    /// Says something that only one person sees, and nobody after a reload.
    pub async fn post_ephemeral(
        &self,
        channel: &str,
        thread: Option<&str>,
        user: &str,
        text: &str,
    ) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Ephemeral<'a> {
            channel: &'a str,
            user: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            thread_ts: Option<&'a str>,
            text: &'a str,
        }
        let ephemeral = Ephemeral { channel, user, thread_ts: thread, text };
        self.post::<Value>("chat.postEphemeral", &ephemeral).await.map(drop)
    }

    /// Answers a command or a button, to whoever used it, by the address that came with it: five times within half an hour.
    /// The address is a secret, and came from outside: no other host than Slack's is called.
    pub async fn respond(&self, response_url: &SecretString, text: &str) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Response<'a> {
            response_type: &'static str,
            replace_original: bool,
            text: &'a str,
        }
        let url = Url::parse(response_url.expose_secret()).ok().filter(|url| {
            let ours = self.hooks.url();
            url.origin() == ours.origin() && url.username().is_empty() && url.password().is_none()
        });
        let url = url.ok_or_else(|| Error::refused(400, "the address to respond to is not one of Slack's"));
        let response = Response { response_type: "ephemeral", replace_original: false, text };
        let call = Call::new(Method::POST, url, Credentials::None).json(&response);
        let answer = self.http.send(call).await?;
        // `ok` in words, or as JSON.
        match answer.json::<Value>() {
            Ok(told) if told["ok"] == false => Err(refusal(&answer, &told)),
            _ => Ok(()),
        }
    }

    async fn post<T: DeserializeOwned>(&self, method: &str, body: &impl Serialize) -> Result<T, Error> {
        self.send(self.call(Method::POST, method).json(body)).await
    }

    /// Methods that only read take no JSON.
    async fn get<T: DeserializeOwned>(&self, method: &str, query: &[(&str, &str)]) -> Result<T, Error> {
        let query: Vec<_> = query.iter().copied().filter(|(_, value)| !value.is_empty()).collect();
        self.send(self.call(Method::GET, method).query(&query)).await
    }

    fn call(&self, verb: Method, method: &str) -> Call<'_> {
        Call::new(verb, self.api.at(&[method]), Credentials::Bearer(&self.token))
    }

    async fn send<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, Error> {
        self.answer(call).await?.json()
    }

    async fn answer(&self, call: Call<'_>) -> Result<Answer, Error> {
        let answer = self.http.send(call).await?;
        let told: Value = answer.json()?;
        if told["ok"] == true { Ok(answer) } else { Err(refusal(&answer, &told)) }
    }
}

fn missing_scope(answer: &Answer, needed: &str) -> Error {
    answer.unusable(&format!("missing_scope: the app needs {needed}; add it and install the app again"))
}

/// What a code of Slack's means; it comes with 200.
fn refusal(answer: &Answer, told: &Value) -> Error {
    let code = told["error"].as_str().unwrap_or("it does not say why");
    match code {
        "invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "token_expired" => Error::Unauthorized,
        "channel_not_found" | "message_not_found" | "thread_not_found" | "user_not_found" | "users_not_found" => {
            Error::NotFound
        }
        "ratelimited" | "rate_limited" | "message_limit_exceeded" => {
            Error::RateLimited { retry_seconds: answer.retry_seconds() }
        }
        "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" | "team_added_to_org" => {
            Error::unreachable(&format!("Slack answered with {code}"))
        }
        "missing_scope" => {
            let needed = told["needed"].as_str().unwrap_or("it does not say which");
            missing_scope(answer, needed)
        }
        code => answer.unusable(code),
    }
}

impl fmt::Debug for Slack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slack").field("api", &self.api).finish_non_exhaustive()
    }
}
