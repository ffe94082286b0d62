//! A GitHub of its own: an App that is installed in all of its repositories, and git over HTTP, which lets in whoever has a token
//! that it made.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::world::git;

#[derive(Clone)]
pub(crate) struct Forge {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    minted: Mutex<Vec<String>>,
    /// `METHOD /path`, of each request so far.
    requests: Mutex<Vec<String>>,
}

/// Whoever asks git for a repository of this owner need not say who they are.
const PUBLIC: &str = "public";

impl Forge {
    pub(crate) fn start(folder: PathBuf) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let forge =
            Self { url, inner: Arc::new(Inner { folder, minted: Mutex::default(), requests: Mutex::default() }) };
        let router = Router::new().fallback(serve).with_state(forge.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                axum::serve(listener, router).await.expect("served");
            });
        });
        forge
    }

    /// Takes a repository in; its address.
    pub(crate) fn take(&self, name: &str, from: &Path) -> String {
        let to = self.repository(name);
        std::fs::create_dir_all(&to).expect("a folder");
        git(from, &["clone", "--quiet", "--bare", ".", &to.display().to_string()]);
        format!("{}/{name}", self.url)
    }

    pub(crate) fn repository(&self, name: &str) -> PathBuf {
        self.inner.folder.join(format!("{name}.git"))
    }

    /// Every token so far.
    pub(crate) fn minted(&self) -> Vec<String> {
        lock(&self.inner.minted).clone()
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        lock(&self.inner.requests).clone()
    }

    /// Each is another one, and the first is about to expire.
    fn mint(&self) -> Value {
        let mut minted = lock(&self.inner.minted);
        let life = SignedDuration::from_mins(if minted.is_empty() { 9 } else { 60 });
        let token = format!("ghs_{:04}OfTheForestDeepAndWide", minted.len());
        minted.push(token.clone());
        #[expect(clippy::disallowed_methods, reason = "the tokens of a stand-in expire by the machine's clock")]
        let now = Timestamp::now();
        json!({"token": token, "expires_at": now + life})
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        self.minted()
            .iter()
            .any(|token| given == format!("Basic {}", STANDARD.encode(format!("x-access-token:{token}"))))
    }
}

async fn serve(
    State(forge): State<Forge>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    lock(&forge.inner.requests).push(format!("{method} {}", uri.path()));
    let parts: Vec<&str> = uri.path().trim_start_matches('/').split('/').collect();
    let json =
        |status: u16, value: Value| respond(status, &[("content-type", "application/json")], value.to_string().into());
    match (method.as_str(), &parts[..]) {
        ("GET", ["repos", owner, name, "installation"]) => {
            let there = forge.repository(&format!("{owner}/{name}")).is_dir();
            if there { json(200, json!({"id": 42})) } else { json(404, json!({"message": "Not Found"})) }
        }
        ("POST", ["app", "installations", "42", "access_tokens"]) => json(201, forge.mint()),
        (_, [PUBLIC, ..]) if !uri.path().contains("receive-pack") => {
            backend(&forge, &method, &uri, &headers, &body).await
        }
        _ if forge.knows(&headers) => backend(&forge, &method, &uri, &headers, &body).await,
        _ => respond(401, &[("www-authenticate", "Basic realm=\"forge\"")], Bytes::new()),
    }
}

/// What git itself makes of a request, as a CGI.
async fn backend(forge: &Forge, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Response<Body> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let path = match uri.path().trim_start_matches('/').splitn(3, '/').collect::<Vec<_>>()[..] {
        [owner, name, rest] => format!("/{owner}/{}.git/{rest}", name.trim_end_matches(".git")),
        _ => return respond(404, &[], Bytes::new()),
    };
    let mut command = Command::new("git");
    command.arg("http-backend").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command.env("GIT_PROJECT_ROOT", &forge.inner.folder).env("GIT_HTTP_EXPORT_ALL", "1").env("REMOTE_USER", "agent");
    command.env("PATH_INFO", path).env("QUERY_STRING", uri.query().unwrap_or_default());
    command.env("REQUEST_METHOD", method.as_str()).env("CONTENT_TYPE", header("content-type"));
    command.env("CONTENT_LENGTH", body.len().to_string()).env("HTTP_CONTENT_ENCODING", header("content-encoding"));
    command.env("GIT_PROTOCOL", header("git-protocol"));
    let mut child = command.spawn().expect("git");
    let mut stdin = child.stdin.take().expect("piped");
    let body = body.clone();
    let written = tokio::spawn(async move {
        // Whoever does not want to hear all of it has answered.
        let _ = stdin.write_all(&body).await;
    });
    let output = child.wait_with_output().await.expect("git");
    written.await.expect("written");
    let end = output.stdout.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&output.stdout[..end]).into_owned();
    let named: Vec<(&str, &str)> = head.lines().filter_map(|line| line.split_once(": ")).collect();
    let status = named.iter().find(|(name, _)| *name == "Status").and_then(|(_, value)| value.get(..3)?.parse().ok());
    let others: Vec<_> = named.into_iter().filter(|(name, _)| *name != "Status").collect();
    respond(status.unwrap_or(200), &others, Bytes::copy_from_slice(&output.stdout[end + 4..]))
}

fn respond(status: u16, headers: &[(&str, &str)], body: Bytes) -> Response<Body> {
    let mut response = Response::builder().status(StatusCode::from_u16(status).expect("a status"));
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Body::from(body)).expect("a response")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
