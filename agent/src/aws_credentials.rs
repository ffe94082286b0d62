//! Credentials of the environment's role, for the task: every SDK of AWS knows to ask an address in
//! `AWS_CONTAINER_CREDENTIALS_FULL_URI` for them, and to ask again before they expire. It is the agent who answers, on
//! loopback, with what the control plane gives out; the task never sees the agent's own token.
//!
//! What is handed out is masked from before it is.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use ozma_domain::audit::event::Record;
use ozma_domain::protocol::AwsCredentials;
use ozma_domain::token::same;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::agent::Agent;
use crate::recorder::Recorder;
use crate::variables::Variables;
use crate::{clock, random};

/// New credentials are fetched when the old ones have this long to live: SDKs begin to ask for new ones up to 15 minutes
/// before, and then ask at every call until they get some.
const RENEWED_BEFORE: SignedDuration = SignedDuration::from_mins(15);

/// For how long a refusal is repeated rather than asked for again: a task in a loop is no flood.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// A task's own connections. More of them wait in the kernel.
const CONNECTIONS: usize = 16;
const REQUEST_BYTES: usize = 8 * 1024;
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Endpoint {
    listener: TcpListener,
    url: String,
    path: String,
    authorization: SecretString,
    fetched: Mutex<Option<Fetched>>,
}

enum Fetched {
    Given(AwsCredentials),
    Refused(Refusal, Instant),
}

/// Why there are none, with the HTTP status that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Endpoint {
    /// On a free port of loopback, at an address that nobody guesses.
    pub(crate) async fn open(recorder: &Recorder) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let path = format!("/{}", hex::encode(random::bytes::<16>()?));
        let authorization = SecretString::from(hex::encode(random::bytes::<32>()?));
        recorder.hide(std::slice::from_ref(&authorization));
        let url = format!("http://{}{path}", listener.local_addr()?);
        Ok(Self { listener, url, path, authorization, fetched: Mutex::default() })
    }

    /// What tells a task where to ask.
    pub(crate) fn variables(&self) -> Variables {
        let authorization = self.authorization.expose_secret().to_owned();
        Variables::from([
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned(), self.url.clone()),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN".to_owned(), authorization),
        ])
    }

    /// Whether a request's head asks for credentials in the right way.
    fn admits(&self, head: &str) -> Result<(), Refusal> {
        let refusal = |status, code: &str, message: &str| {
            Err(Refusal { status, code: code.to_owned(), message: message.to_owned() })
        };
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if method != "GET" || path != self.path {
            return refusal(404, "not_found", "ask with GET at AWS_CONTAINER_CREDENTIALS_FULL_URI");
        }
        let given = lines.filter_map(|line| line.split_once(':'));
        let mut given = given.filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        if !given.next().is_some_and(|(_, value)| same(self.authorization.expose_secret(), value.trim())) {
            return refusal(401, "token", "the Authorization is not the value of AWS_CONTAINER_AUTHORIZATION_TOKEN");
        }
        Ok(())
    }
}

/// Fetches the first credentials, before anybody asks; if there are none, the transcript says why.
pub(crate) async fn fetch_first(agent: &Agent, endpoint: &Endpoint) {
    if let Err(Refusal { message, .. }) = get(agent, endpoint).await {
        let text = format!("the task has no AWS credentials: {message}");
        agent.recorder.record(Record::Notice { text }).await;
    }
}

/// Answers the task's requests, for as long as it is polled.
pub(crate) async fn serve(agent: Arc<Agent>) {
    let Some(endpoint) = &agent.aws_credentials else { return };
    let mut connections = JoinSet::new();
    loop {
        if connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        tokio::select! {
            accepted = endpoint.listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(answer(agent.clone(), stream))),
                // Too many open files, which are not the agent's own.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One request, one answer, and the end of the connection.
async fn answer(agent: Arc<Agent>, mut stream: TcpStream) {
    let Some(endpoint) = &agent.aws_credentials else { return };
    let Ok(Some(head)) = tokio::time::timeout(REQUEST_PATIENCE, read_head(&mut stream)).await else { return };
    let credentials = match endpoint.admits(&head) {
        Ok(()) => get(&agent, endpoint).await,
        Err(refusal) => Err(refusal),
    };
    let (status, body) = match credentials {
        Ok(credentials) => (200, json!(credentials)),
        Err(Refusal { status, code, message }) => (status, json!({"Code": code, "Message": message})),
    };
    let body = body.to_string();
    let text = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Connection: close\r\n\r\n{body}",
        reqwest::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default(),
        body.len(),
    );
    // Whoever does not listen any more asks again.
    let written = async {
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await
    };
    let _ = tokio::time::timeout(REQUEST_PATIENCE, written).await;
}

/// A request up to the empty line; none if it is too long, not text, or ends before.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            head.truncate(end);
            return String::from_utf8(head).ok();
        }
        match stream.read(&mut buffer).await {
            Ok(read @ 1..) if head.len() + read <= REQUEST_BYTES => head.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
    }
}

/// Credentials that live for a while. Whoever comes while others are waiting waits for the same answer.
async fn get(agent: &Agent, endpoint: &Endpoint) -> Result<AwsCredentials, Refusal> {
    let mut fetched = endpoint.fetched.lock().await;
    let lives = |given: &AwsCredentials, at_least| given.expiration.duration_since(clock::now()) > at_least;
    match &*fetched {
        Some(Fetched::Given(given)) if lives(given, RENEWED_BEFORE) => return Ok(given.clone()),
        Some(Fetched::Refused(refusal, at)) if at.elapsed() < REFUSED_FOR => return Err(refusal.clone()),
        _ => {}
    }
    match agent.client.aws_credentials().await {
        Ok(given) => {
            agent.recorder.hide(&[given.secret_access_key.as_str().into(), given.token.as_str().into()]);
            *fetched = Some(Fetched::Given(given.clone()));
            Ok(given)
        }
        Err(refusal) => match fetched.take() {
            Some(Fetched::Given(given)) if lives(&given, SignedDuration::ZERO) => {
                *fetched = Some(Fetched::Given(given.clone()));
                Ok(given)
            }
            _ => {
                *fetched = Some(Fetched::Refused(refusal.clone(), Instant::now()));
                Err(refusal)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use ozma_domain::mask::Masker;

    use super::*;

    #[tokio::test]
    async fn only_the_right_question_is_answered() {
        let recorder = Recorder::new(Masker::new([]));
        let endpoint = Endpoint::open(&recorder).await.unwrap();
        let (path, authorization) = (&endpoint.path, endpoint.authorization.expose_secret());
        let check = |head: String, expected: u16| {
            let status = endpoint.admits(&head).map_or_else(|refusal| refusal.status, |()| 200);
            assert_eq!(status, expected, "{head}");
        };
        check(format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}"), 200);
        check(format!("GET {path} HTTP/1.1\r\nauthorization:{authorization} "), 200);
        check(format!("GET {path} HTTP/1.1\r\nAuthorization: {authorization}x"), 401);
        check(format!("GET {path} HTTP/1.1\r\nAuthorization:\r\nAuthorization: {authorization}"), 401);
        check(format!("GET {path} HTTP/1.1"), 401);
        check(format!("GET {path}x HTTP/1.1\r\nAuthorization: {authorization}"), 404);
        check(format!("GET / HTTP/1.1\r\nAuthorization: {authorization}"), 404);
        check(format!("PUT {path} HTTP/1.1\r\nAuthorization: {authorization}"), 404);
        check(String::new(), 404);
        assert_eq!(recorder.masker().mask(authorization), "***");
    }

    #[tokio::test]
    async fn a_request_is_bounded() {
        async fn check(sent: Vec<u8>, expected: Option<&str>) {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let mut task = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let (head, _) = tokio::join!(read_head(&mut stream), async {
                task.write_all(&sent).await.unwrap();
                task.shutdown().await
            });
            assert_eq!(head.as_deref(), expected);
        }
        check(b"GET / HTTP/1.1\r\nA: b\r\n\r\nbody".to_vec(), Some("GET / HTTP/1.1\r\nA: b")).await;
        check(b"GET / HTTP/1.1\r\n".to_vec(), None).await;
        check(b"\xff\xff\r\n\r\n".to_vec(), None).await;
        check(vec![b'x'; REQUEST_BYTES + 1], None).await;
    }
}
