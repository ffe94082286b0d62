//! Linear: what an agent does in a session, and comments on issues. What is made has an id that its maker chose, so that a
//! call that is repeated makes nothing twice.

use std::fmt;

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;
use crate::http::{Answer, BaseUrl, Call, Credentials, Http};

/// A workspace, spoken to with a token of an app (`actor=app`, scopes `read`, `write`, `app:mentionable`,
/// `app:assignable`); comments take a personal key too.
#[derive(Clone)]
pub struct Linear {
    http: Http,
    /// Without `/graphql`.
    api: BaseUrl,
    token: SecretString,
}

/// What people see in a session. Each moves its state: a thought or an action to active, a question to awaiting input, a
/// response to complete, an error to error. A session without any within 10 s of its beginning is shown as unresponsive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Activity<'a> {
    Thought {
        body: &'a str,
    },
    Action {
        /// `Cloned`.
        action: &'a str,
        /// `acme/web`.
        parameter: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<&'a str>,
    },
    Response {
        body: &'a str,
    },
    Error {
        body: &'a str,
    },
    Elicitation {
        body: &'a str,
    },
}

/// Who a token speaks as.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Viewer {
    pub id: String,
    pub name: String,
    pub organization: Organization,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Organization {
    pub id: String,
    pub url_key: String,
}

const ACTIVITY_CREATE: &str =
    "mutation ($input: AgentActivityCreateInput!) { agentActivityCreate(input: $input) { success } }";
const COMMENT_CREATE: &str = "mutation ($input: CommentCreateInput!) { commentCreate(input: $input) { success } }";
const COMMENT_UPDATE: &str =
    "mutation ($id: String!, $input: CommentUpdateInput!) { commentUpdate(id: $id, input: $input) { success } }";
const VIEWER: &str = "query { viewer { id name organization { id urlKey } } }";

/// The one member of what a mutation gives: whether it did what it was asked to.
type Done = std::collections::BTreeMap<String, Success>;

#[derive(Deserialize)]
struct Success {
    success: bool,
}

#[derive(Deserialize)]
struct Told<T> {
    data: Option<T>,
    #[serde(default)]
    errors: Vec<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    message: String,
    #[serde(default)]
    extensions: Extensions,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Extensions {
    code: Option<String>,
    r#type: Option<String>,
    user_presentable_message: Option<String>,
}

impl Linear {
    pub const API: &str = "https://api.linear.app";

    pub fn new(http: Http, api: BaseUrl, token: SecretString) -> Self {
        Self { http, api, token }
    }

    pub async fn viewer(&self) -> Result<Viewer, Error> {
        #[derive(Deserialize)]
        struct Data {
            viewer: Viewer,
        }
        let none = serde_json::json!({});
        Ok(self.ask::<Data>(VIEWER, &none).await?.viewer)
    }

    /// Shows something in a session. `id` is drawn by the caller, once for each thing that is shown, as a UUID of version 4,
    /// which is what Linear asks for.
    pub async fn agent_activity(&self, session: &str, id: Uuid, activity: &Activity<'_>) -> Result<(), Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Input<'a> {
            id: Uuid,
            agent_session_id: &'a str,
            content: &'a Activity<'a>,
        }
        self.create(ACTIVITY_CREATE, id, Input { id, agent_session_id: session, content: activity }).await
    }

    /// Comments on an issue, in Markdown. `id` as for [`Self::agent_activity`]; it is what the comment is edited by.
    pub async fn comment_create(&self, issue: &str, id: Uuid, body: &str) -> Result<(), Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Input<'a> {
            id: Uuid,
            issue_id: &'a str,
            body: &'a str,
        }
        self.create(COMMENT_CREATE, id, Input { id, issue_id: issue, body }).await
    }

    pub async fn comment_update(&self, id: Uuid, body: &str) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Variables<'a> {
            id: Uuid,
            input: Input<'a>,
        }
        #[derive(Serialize)]
        struct Input<'a> {
            body: &'a str,
        }
        self.ask::<Done>(COMMENT_UPDATE, &Variables { id, input: Input { body } }).await.and_then(|told| done(&told))
    }

    /// A repeated one is answered with an error, `INPUT_ERROR`, "conflict on insert of …", whose text for people names the
    /// id. That it is there is what was wanted.
    async fn create(&self, document: &str, id: Uuid, input: impl Serialize) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Variables<I> {
            input: I,
        }
        let (answer, told) = self.answer::<Done>(document, &Variables { input }).await?;
        if told.errors.iter().any(|problem| problem.is_conflict(id)) {
            return Ok(());
        }
        data(&answer, told).and_then(|told| done(&told))
    }

    async fn ask<T: DeserializeOwned>(&self, document: &str, variables: &impl Serialize) -> Result<T, Error> {
        let (answer, told) = self.answer(document, variables).await?;
        data(&answer, told)
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        query: &str,
        variables: &impl Serialize,
    ) -> Result<(Answer, Told<T>), Error> {
        #[derive(Serialize)]
        struct Request<'a, V> {
            query: &'a str,
            variables: &'a V,
        }
        // A personal key stands alone.
        let is_key = self.token.expose_secret().starts_with("lin_api_");
        let credentials = if is_key { Credentials::Bare(&self.token) } else { Credentials::Bearer(&self.token) };
        let call = Call::new(Method::POST, self.api.at(&["graphql"]), credentials);
        let answer = self.http.answer(call.json(&Request { query, variables })).await?;
        // Errors come with 200, 400 or 401, and say in the body what they are.
        match answer.json::<Told<T>>() {
            Ok(told) if answer.status.is_success() || !told.errors.is_empty() => Ok((answer, told)),
            Err(err) if answer.status.is_success() => Err(err),
            _ => Err(answer.error()),
        }
    }
}

fn done(done: &Done) -> Result<(), Error> {
    let all = !done.is_empty() && done.values().all(|done| done.success);
    if all { Ok(()) } else { Err(Error::refused(200, "Linear did not do it, and does not say why")) }
}

fn data<T>(answer: &Answer, told: Told<T>) -> Result<T, Error> {
    match (told.errors.first(), told.data) {
        (Some(problem), _) => Err(problem.error(answer)),
        (None, Some(data)) => Ok(data),
        (None, None) => Err(answer.unusable("its answer holds no data")),
    }
}

impl Problem {
    fn is_conflict(&self, id: Uuid) -> bool {
        let id = id.to_string();
        let names = |text: &str| text.to_ascii_lowercase().contains(&id);
        let is_input = self.extensions.code.as_deref() == Some("INPUT_ERROR");
        let conflict = self.message.to_ascii_lowercase().starts_with("conflict on insert");
        let presented = self.extensions.user_presentable_message.as_deref().unwrap_or_default();
        is_input && conflict && (names(presented) || names(&self.message))
    }

    fn error(&self, answer: &Answer) -> Error {
        let Extensions { code, r#type, user_presentable_message } = &self.extensions;
        let message = user_presentable_message.as_deref().unwrap_or(&self.message);
        match (code.as_deref(), r#type.as_deref()) {
            (Some("RATELIMITED"), _) | (_, Some("ratelimited")) => Error::RateLimited { retry_seconds: reset(answer) },
            (Some("AUTHENTICATION_ERROR"), _) | (_, Some("authentication error")) => Error::Unauthorized,
            (Some("ENTITY_NOT_FOUND"), _) => Error::NotFound,
            _ if self.message.to_ascii_lowercase().starts_with("entity not found") => Error::NotFound,
            (_, Some("internal error" | "lock timeout" | "network error" | "bootstrap error")) => {
                Error::unreachable(&format!("Linear could not do it: {message}"))
            }
            (_, Some("forbidden")) => Error::refused(403, message),
            _ => answer.unusable(message),
        }
    }
}

/// The latest of the limits of which nothing is left, in milliseconds since 1970.
fn reset(answer: &Answer) -> u64 {
    let kinds = ["requests", "complexity", "endpoint-requests"];
    let used_up = kinds.iter().filter(|kind| answer.number(&format!("x-ratelimit-{kind}-remaining")) == Some(0));
    let resets = used_up.filter_map(|kind| answer.number(&format!("x-ratelimit-{kind}-reset")));
    match resets.max() {
        Some(at) => answer.seconds_until(at.div_ceil(1_000)),
        None => answer.retry_seconds(),
    }
}

impl fmt::Debug for Linear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linear").field("api", &self.api).finish_non_exhaustive()
    }
}
