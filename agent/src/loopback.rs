//! What the agent answers its task on loopback, at an address that nobody guesses and to whoever shows the right token: by
//! variables the task knows both. Loopback is there in every sandbox, also in one without a network.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use ozma_domain::token::same;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::random;
use crate::recorder::Recorder;
use crate::variables::Variables;

/// A task's own connections. More of them wait in the kernel.
const CONNECTIONS: usize = 16;
const REQUEST_BYTES: usize = 8 * 1024;
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Loopback {
    listener: TcpListener,
    /// The variables with the address and the token.
    names: [&'static str; 2],
    url: String,
    path: String,
    authorization: SecretString,
}

/// Why there is no answer, with the HTTP status that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }
}

impl Loopback {
    /// On a free port. `names` are the variables with the address and the token, which is masked from now on.
    pub(crate) async fn open(recorder: &Recorder, names: [&'static str; 2]) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let path = format!("/{}", hex::encode(random::bytes::<16>()?));
        let authorization = SecretString::from(hex::encode(random::bytes::<32>()?));
        recorder.hide(std::slice::from_ref(&authorization));
        let url = format!("http://{}{path}", listener.local_addr()?);
        Ok(Self { listener, names, url, path, authorization })
    }

    /// What tells a task where to ask.
    pub(crate) fn variables(&self) -> Variables {
        let values = [self.url.clone(), self.authorization.expose_secret().to_owned()];
        self.names.into_iter().map(str::to_owned).zip(values).collect()
    }

    /// Answers requests, for as long as it is polled. `answer` is asked with what stands after the address.
    pub(crate) async fn serve<F>(&self, answer: impl Fn(String) -> F)
    where
        F: Future<Output = Result<Value, Refusal>>,
    {
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                    Ok((stream, _)) => connections.push(self.converse(stream, &answer)),
                    // Too many open files, which are not the agent's own.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
                Some(()) = connections.next() => {}
            }
        }
    }

    /// One request, one answer, and the end of the connection.
    async fn converse<F>(&self, mut stream: TcpStream, answer: &impl Fn(String) -> F)
    where
        F: Future<Output = Result<Value, Refusal>>,
    {
        let Ok(Some(head)) = tokio::time::timeout(REQUEST_PATIENCE, read_head(&mut stream)).await else { return };
        let answered = match self.admits(&head) {
            Ok(question) => answer(question).await,
            Err(refusal) => Err(refusal),
        };
        let (status, body) = match answered {
            Ok(answer) => (200, answer),
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

    /// What a request's head asks after our address, if it asks in the right way.
    fn admits(&self, head: &str) -> Result<String, Refusal> {
        let [url, authorization] = self.names;
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let question = path.strip_prefix(&self.path).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let Some(question) = question.filter(|_| method == "GET") else {
            return Err(Refusal::new(404, "not_found", format!("ask with GET at {url}")));
        };
        let given = lines.filter_map(|line| line.split_once(':'));
        let mut given = given.filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        if !given.next().is_some_and(|(_, value)| same(self.authorization.expose_secret(), value.trim())) {
            return Err(Refusal::new(401, "token", format!("the Authorization is not the value of {authorization}")));
        }
        Ok(question.trim_start_matches('/').to_owned())
    }
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

#[cfg(test)]
mod tests {
    use ozma_domain::mask::Masker;

    use super::*;

    #[tokio::test]
    async fn only_the_right_question_is_answered() {
        let recorder = Recorder::new(Masker::new([]));
        let loopback = Loopback::open(&recorder, ["URL", "AUTHORIZATION"]).await.unwrap();
        let (path, authorization) = (&loopback.path, loopback.authorization.expose_secret());
        let check = |head: String, expected: Result<&str, u16>| {
            let answer = loopback.admits(&head);
            assert_eq!(answer.as_deref().map_err(|refusal| refusal.status), expected, "{head}");
        };
        check(format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}"), Ok(""));
        check(format!("GET {path} HTTP/1.1\r\nauthorization:{authorization} "), Ok(""));
        check(format!("GET {path}/https://x/y HTTP/1.1\r\nauthorization:{authorization}"), Ok("https://x/y"));
        check(format!("GET {path} HTTP/1.1\r\nAuthorization: {authorization}x"), Err(401));
        check(format!("GET {path} HTTP/1.1\r\nAuthorization:\r\nAuthorization: {authorization}"), Err(401));
        check(format!("GET {path} HTTP/1.1"), Err(401));
        check(format!("GET {path}x HTTP/1.1\r\nAuthorization: {authorization}"), Err(404));
        check(format!("GET / HTTP/1.1\r\nAuthorization: {authorization}"), Err(404));
        check(format!("PUT {path} HTTP/1.1\r\nAuthorization: {authorization}"), Err(404));
        check(String::new(), Err(404));
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
