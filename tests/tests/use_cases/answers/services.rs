//! The providers, as far as an answer needs them: what is written stays, and can be seen, found and edited.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::stream;
use serde_json::{Value, json};

/// Something that was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Written {
    /// What it is: `comment`, `check`, `note`, `message`, `ephemeral`, `activity`.
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    /// The path or the channel that it is at.
    pub(crate) at: String,
    /// As it was sent last.
    pub(crate) body: Value,
}

/// What is to happen to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoiled {
    /// It is refused, and nothing is done.
    Status(u16),
    /// It is done, and the answer breaks off.
    ReplyLost,
    /// It is never answered.
    Silence,
}

#[derive(Default)]
struct Inner {
    written: Vec<Written>,
    requests: Vec<String>,
    spoiled: Option<(usize, Spoiled)>,
    gone: bool,
    /// People of Slack, with what it says of them.
    people: BTreeMap<String, Value>,
    /// Apps of GitHub, and repositories where they are not installed.
    not_installed: Vec<(u64, String)>,
    /// Where the branch of each pull request of GitHub is, as it tells that: null where that is gone. None: it has none.
    head: Option<Value>,
    /// Each token of GitHub: by which App, and what for.
    minted: Vec<(u64, Value)>,
}

#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) url: String,
    inner: Arc<Mutex<Inner>>,
}

impl Services {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let services = Self { url, inner: Arc::default() };
        let router = Router::new().fallback(serve).with_state(services.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        services
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn written(&self) -> Vec<Written> {
        self.lock().written.clone()
    }

    /// `POST /path`, of each request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.lock().requests.clone()
    }

    /// Spoils the `nth` request from now, counted from 1.
    pub(crate) fn spoil(&self, nth: usize, how: Spoiled) {
        let mut inner = self.lock();
        inner.spoiled = Some((inner.requests.len() + nth, how));
    }

    /// From now on Slack says that of somebody.
    pub(crate) fn knows(&self, person: &str, answer: Value) {
        self.lock().people.insert(person.to_owned(), answer);
    }

    /// From now on the branch of each pull request of GitHub is in that repository.
    pub(crate) fn head(&self, repository: Value) {
        self.lock().head = Some(repository);
    }

    pub(crate) fn is_spoiled(&self) -> bool {
        self.lock().spoiled.is_none()
    }

    pub(crate) fn not_installed(&self, app: u64, repository: &str) {
        self.lock().not_installed.push((app, repository.to_owned()));
    }

    pub(crate) fn minted(&self) -> Vec<(u64, Value)> {
        self.lock().minted.clone()
    }

    /// Somebody deletes everything that was written.
    pub(crate) fn delete_all(&self) {
        let mut inner = self.lock();
        inner.written.clear();
        inner.gone = true;
    }
}

impl Inner {
    fn write(&mut self, kind: &'static str, id: Option<&str>, at: &str, body: &Value) -> String {
        let id = id.map_or_else(|| (100 + self.written.len()).to_string(), str::to_owned);
        self.written.push(Written { kind, id: id.clone(), at: at.to_owned(), body: body.clone() });
        id
    }

    fn edit(&mut self, id: &str, body: &Value) -> bool {
        let found = self.written.iter_mut().find(|written| written.id == id);
        found.map(|written| written.body = body.clone()).is_some()
    }

    fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Written> {
        self.written.iter().filter(move |written| written.kind == kind)
    }

    /// Status and answer. `app` is who asks, where that is an App of GitHub.
    fn answer(&mut self, app: Option<u64>, method: &Method, uri: &Uri, body: &Value) -> (u16, Value) {
        let path = uri.path();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let ok = |value| (200, value);
        let edited = |done: bool| if done { (200, json!({})) } else { (404, json!({"message": "Not Found"})) };
        let own = json!({"id": 7});
        let app = app.unwrap_or_default();
        match (method.as_str(), &parts[..]) {
            // GitHub.
            ("GET", ["repos", owner, name, "installation"]) => {
                let absent = self.not_installed.contains(&(app, format!("{owner}/{name}")));
                if absent { edited(false) } else { ok(json!({"id": 42})) }
            }
            ("POST", ["app", "installations", "42", "access_tokens"]) => {
                self.minted.push((app, body.clone()));
                let token = format!("ghs_token_{:05}", self.minted.len());
                (201, json!({"token": token, "expires_at": "2026-11-21T09:00:00Z"}))
            }
            ("GET", ["repos", owner, name, "pulls", _]) => {
                let Some(repo) = self.head.clone() else { return edited(false) };
                let base = json!({"id": 1, "full_name": format!("{owner}/{name}")});
                let head = json!({"sha": "a".repeat(40), "ref": "changes", "repo": repo});
                ok(json!({"state": "open", "head": head, "base": {"sha": "b", "ref": "main", "repo": base}}))
            }
            ("GET", ["repos", _, _, "issues", _, "comments"]) => {
                let told = self.of("comment").map(|comment| {
                    let id: u64 = comment.id.parse().expect("a number");
                    json!({"id": id, "body": comment.body["body"], "user": {"login": "ozma[bot]", "type": "Bot"},
                           "performed_via_github_app": own})
                });
                ok(told.collect())
            }
            ("POST", ["repos", _, _, "issues", number, "comments"]) => {
                let id = self.write("comment", None, number, body);
                (201, json!({"id": id.parse::<u64>().expect("a number")}))
            }
            ("PATCH", ["repos", _, _, "issues", "comments", id] | ["repos", _, _, "check-runs", id]) => {
                edited(self.edit(id, body))
            }
            ("POST", ["repos", _, _, "check-runs"]) => {
                let at = body["head_sha"].as_str().expect("a commit");
                let id = self.write("check", None, at, body);
                (201, json!({"id": id.parse::<u64>().expect("a number")}))
            }
            ("GET", ["repos", _, _, "commits", _, "check-runs"]) => {
                let told = self.of("check").map(|check| {
                    json!({"id": check.id.parse::<u64>().expect("a number"), "external_id": check.body["external_id"]})
                });
                ok(json!({"check_runs": told.collect::<Value>()}))
            }
            // GitLab.
            ("GET", ["api", "v4", "user"]) => ok(json!({"id": 9})),
            ("GET", ["api", "v4", .., "notes"]) => {
                let told = self.of("note").map(|note| {
                    json!({"id": note.id.parse::<u64>().expect("a number"), "body": note.body["body"], "author": {"id": 9}})
                });
                ok(told.collect())
            }
            ("GET", ["api", "v4", .., "discussions", _]) => {
                let told = self.of("note").map(|note| {
                    json!({"id": note.id.parse::<u64>().expect("a number"), "body": note.body["body"], "author": {"id": 9}})
                });
                ok(json!({"notes": told.collect::<Value>()}))
            }
            ("POST", ["api", "v4", .., "notes"]) => {
                let id = self.write("note", None, path, body);
                (201, json!({"id": id.parse::<u64>().expect("a number")}))
            }
            ("PUT", ["api", "v4", .., "notes", id]) => edited(self.edit(id, body)),
            // Jira.
            ("GET", ["rest", "api", "3", "myself"]) => ok(json!({"accountId": "me"})),
            ("GET", ["rest", "api", "3", "issue", _, "comment"]) => {
                let told = self.of("comment").map(|comment| json!({"id": comment.id, "author": {"accountId": "me"}}));
                ok(json!({"comments": told.collect::<Value>()}))
            }
            ("POST", ["rest", "api", "3", "comment", "list"]) => {
                let told = self
                    .of("comment")
                    .map(|comment| json!({"id": comment.id, "properties": comment.body["properties"]}));
                ok(json!({"values": told.collect::<Value>()}))
            }
            ("POST", ["rest", "api", "3", "issue", issue, "comment"]) => {
                (201, json!({"id": self.write("comment", None, issue, body)}))
            }
            ("PUT", ["rest", "api", "3", "issue", _, "comment", id]) => {
                let Some(before) = self.written.iter_mut().find(|written| written.id == *id) else {
                    return edited(false);
                };
                // Properties stay.
                before.body["body"] = body["body"].clone();
                ok(json!({}))
            }
            // Slack.
            ("POST", ["auth.test"]) => ok(json!({"ok": true, "bot_id": "B1", "user_id": "U0", "team_id": "T1"})),
            ("GET", ["conversations.replies"]) => {
                let told = self
                    .of("message")
                    .map(|message| json!({"ts": message.id, "bot_id": "B1", "metadata": message.body["metadata"]}));
                ok(json!({"ok": true, "messages": told.collect::<Value>()}))
            }
            ("GET", ["users.info"]) => {
                let person = uri.query().and_then(|query| query.strip_prefix("user=")).expect("a person");
                let unknown = json!({"ok": false, "error": "user_not_found"});
                ok(self.people.get(person).cloned().unwrap_or(unknown))
            }
            ("POST", ["chat.postMessage"]) => {
                let at = format!("{}/{}", body["channel"].as_str().expect("a channel"), body["thread_ts"]);
                ok(json!({"ok": true, "ts": self.write("message", None, &at, body)}))
            }
            ("POST", ["chat.postEphemeral"]) => {
                if body["channel"] == "C0ELSEWHERE" {
                    return ok(json!({"ok": false, "error": "not_in_channel"}));
                }
                let at = format!("{}/{}", body["channel"].as_str().expect("a channel"), body["user"]);
                self.write("ephemeral", None, &at, body);
                ok(json!({"ok": true}))
            }
            ("POST", ["chat.update"]) => {
                let done = self.edit(body["ts"].as_str().expect("a message"), body);
                ok(if done { json!({"ok": true}) } else { json!({"ok": false, "error": "message_not_found"}) })
            }
            // Linear.
            ("POST", ["graphql"]) => self.linear(body),
            _ => panic!("nobody knows {method} {path}"),
        }
    }

    fn linear(&mut self, body: &Value) -> (u16, Value) {
        let (query, input) = (body["query"].as_str().expect("a document"), &body["variables"]["input"]);
        let done = |name: &str| (200, json!({"data": {name: {"success": true}}}));
        let create = |inner: &mut Self, kind, at: &Value, name: &str| {
            let id = input["id"].as_str().expect("an id");
            if inner.written.iter().any(|written| written.id == id) {
                let message = format!("conflict on insert of {id}");
                return (200, json!({"errors": [{"message": message, "extensions": {"code": "INPUT_ERROR"}}]}));
            }
            inner.write(kind, Some(id), at.as_str().expect("a place"), input);
            done(name)
        };
        if query.contains("agentActivityCreate") {
            create(self, "activity", &input["agentSessionId"], "agentActivityCreate")
        } else if query.contains("commentCreate") {
            create(self, "comment", &input["issueId"], "commentCreate")
        } else if self.edit(body["variables"]["id"].as_str().expect("an id"), input) {
            done("commentUpdate")
        } else {
            let extensions = json!({"code": "ENTITY_NOT_FOUND"});
            (200, json!({"errors": [{"message": "Entity not found: Comment", "extensions": extensions}]}))
        }
    }
}

async fn serve(
    State(services): State<Services>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    assert!(headers.contains_key("authorization") || headers.contains_key("private-token"), "{method} {uri}");
    if uri.path() == "/app/hook/config" {
        // Nothing is delivered to us, so that nobody looks for what is lost.
        return Response::new(Body::from(r#"{"url": null}"#));
    }
    let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
    let spoiled = {
        let mut inner = services.lock();
        inner.requests.push(format!("{method} {}", uri.path()));
        let number = inner.requests.len();
        inner.spoiled.take_if(|(at, _)| *at == number).map(|(_, how)| how)
    };
    if spoiled == Some(Spoiled::Silence) {
        std::future::pending::<()>().await;
    }
    let respond = |status: u16, body: Body| {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        response
    };
    if let Some(Spoiled::Status(status)) = spoiled {
        return respond(status, Body::from(r#"{"message": "no"}"#));
    }
    let (status, answer) = services.lock().answer(app(&headers), &method, &uri, &body);
    if spoiled == Some(Spoiled::ReplyLost) {
        let broken = stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("lost"))]);
        return respond(status, Body::from_stream(broken));
    }
    respond(status, Body::from(answer.to_string()))
}

/// Who says by a JWT that they are an App of GitHub.
fn app(headers: &HeaderMap) -> Option<u64> {
    let jwt = headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?).ok()?;
    claims["iss"].as_str()?.parse().ok()
}
