//! A server that stands in for a provider: it notes what it is asked, and answers as a test says.

use std::io;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use ozma_providers::BaseUrl;
use reqwest::Url;
use serde_json::Value;

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    /// Null where there is none.
    pub(crate) body: Value,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a text"))
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// `POST /path`.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

pub(crate) enum Reply {
    Json(Value),
    Status(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// What was asked was done, and nobody hears of it.
    Lost,
    /// In pieces, so that its length is not said beforehand.
    Pieces(Vec<u8>),
    /// Never.
    Silence,
}

impl Reply {
    pub(crate) fn status(status: u16, body: &Value) -> Self {
        Self::Status(status, vec![], body.to_string().into_bytes())
    }
}

pub(crate) struct StandIn {
    pub(crate) base: BaseUrl,
    heard: Arc<Mutex<Vec<Request>>>,
    answer: Arc<Mutex<Answer>>,
}

/// What a test's answers assert counts, even where the test takes a connection that broke for what it wanted.
impl Drop for StandIn {
    fn drop(&mut self) {
        assert!(std::thread::panicking() || !self.answer.is_poisoned(), "a request was not as it has to be");
    }
}

type Answer = Box<dyn FnMut(&Request) -> Reply + Send>;

#[derive(Clone)]
struct Shared {
    heard: Arc<Mutex<Vec<Request>>>,
    answer: Arc<Mutex<Answer>>,
}

impl StandIn {
    pub(crate) async fn new(answer: impl FnMut(&Request) -> Reply + Send + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(Box::new(answer)));
        let shared = Shared { heard: heard.clone(), answer: answer.clone() };
        let app = axum::Router::new().fallback(serve).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, app).await.expect("served") });
        Self { base: base.parse().expect("an address"), heard, answer }
    }

    /// One that always says the same.
    pub(crate) async fn saying(value: Value) -> Self {
        Self::new(move |_| Reply::Json(value.clone())).await
    }

    pub(crate) fn heard(&self) -> Vec<Request> {
        self.heard.lock().expect("no panic while locked").clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.heard().iter().map(Request::line).collect()
    }

    /// The only request.
    #[track_caller]
    pub(crate) fn only(&self) -> Request {
        let heard = self.heard();
        assert_eq!(heard.len(), 1, "{:?}", self.lines());
        heard.into_iter().next().expect("one")
    }
}

async fn serve(State(shared): State<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let url = Url::parse(&format!("http://x{uri}")).expect("a URL");
    let request = Request {
        method,
        path: url.path().to_owned(),
        query: url.query_pairs().into_owned().collect(),
        headers,
        body: if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") },
    };
    shared.heard.lock().expect("no panic while locked").push(request.clone());
    let reply = (shared.answer.lock().expect("no panic while locked"))(&request);
    match reply {
        Reply::Json(value) => Response::new(Body::from(value.to_string())),
        Reply::Status(status, headers, body) => {
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            for (name, value) in headers {
                // A header `date` is there already, unless it is said.
                response.headers_mut().insert(name, value.parse().expect("a header"));
            }
            response
        }
        Reply::Lost => {
            let broken = futures_util::stream::iter([Ok(Bytes::from_static(b"{")), Err(io::Error::other("lost"))]);
            Response::new(Body::from_stream(broken))
        }
        Reply::Pieces(body) => {
            let pieces: Vec<_> =
                body.chunks(1 << 16).map(|part| Ok::<_, io::Error>(Bytes::copy_from_slice(part))).collect();
            Response::new(Body::from_stream(futures_util::stream::iter(pieces)))
        }
        Reply::Silence => std::future::pending().await,
    }
}
