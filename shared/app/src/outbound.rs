//! The one place that sends to addresses which users name. The host is looked up, each address is asked about, and the
//! connection goes to those that may be reached: by nobody's proxy, and wherever an answer points, no further.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ozma_domain::limits;
use ozma_domain::notification::Answer;
use ozma_domain::receiver::{Reach, ReceiverUrl, Unreachable};
use ozma_domain::text::{chain, printable};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response, Url};
use tokio::time::{Instant, timeout_at};

pub(crate) struct Post<'a> {
    pub(crate) url: &'a ReceiverUrl,
    pub(crate) headers: [(&'static str, String); 3],
    pub(crate) body: String,
}

/// Why nothing was sent, or nobody answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    #[error("{0}")]
    Unreachable(#[from] Unreachable),
    #[error("the address has another reading than ours")]
    Reading,
    #[error("the name {0} could not be looked up")]
    Lookup(String, #[source] std::io::Error),
    #[error("the name {0} has no address")]
    NoAddress(String),
    #[error("could not send")]
    Http(#[source] reqwest::Error),
}

/// Sends it once. The answer, or why there was none, is there after `within` at the latest.
pub(crate) async fn post(post: Post<'_>, reach: Reach, within: Duration) -> Answer {
    let begun = Instant::now();
    let deadline = begun + within;
    let mut answer = match timeout_at(deadline, send(post, reach)).await {
        Ok(Ok(response)) => read(response, deadline).await,
        Ok(Err(err)) => Answer { error: Some(chain(&err).to_string()), ..Answer::default() },
        Err(_) => Answer { error: Some(format!("no answer within {} s", within.as_secs_f32())), ..Answer::default() },
    };
    answer.latency_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    answer
}

/// What a client is made from that may connect to where `address` is, and to nowhere else, and its address as such a client
/// reads it.
pub(crate) async fn reaching(address: &ReceiverUrl, reach: Reach) -> Result<(ClientBuilder, Url), PostError> {
    address.check(reach)?;
    let url: Url = address.as_str().parse().map_err(|_| PostError::Reading)?;
    let host = url.host_str().ok_or(PostError::Reading)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    // An IPv6 address may be spelled in more than one way.
    let same = match (bare.parse::<IpAddr>(), address.host().parse::<IpAddr>()) {
        (Ok(theirs), Ok(ours)) => theirs == ours,
        (Err(_), Err(_)) => bare == address.host(),
        _ => false,
    };
    if !same || (url.scheme() == "https") != address.is_tls() {
        return Err(PostError::Reading);
    }
    let port = url.port_or_known_default().ok_or(PostError::Reading)?;
    let found: Vec<SocketAddr> = match bare.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => {
            let looked_up = tokio::net::lookup_host((bare, port)).await;
            looked_up.map_err(|err| PostError::Lookup(bare.to_owned(), err))?.collect()
        }
    };
    let mut refused = None;
    let mut allowed = Vec::new();
    for socket in found {
        match address.check_resolved(socket.ip(), reach) {
            Ok(()) => allowed.push(socket),
            Err(err) => refused = Some(err),
        }
    }
    if allowed.is_empty() {
        return Err(refused.map_or_else(|| PostError::NoAddress(bare.to_owned()), PostError::Unreachable));
    }
    let mut client = Client::builder().no_proxy().redirect(Policy::none()).resolve_to_addrs(host, &allowed);
    if address.is_tls() {
        client = client.https_only(true);
    } else {
        // Without TLS there is nobody to certify.
        client = client.tls_certs_only([]);
    }
    Ok((client, url))
}

async fn send(post: Post<'_>, reach: Reach) -> Result<Response, PostError> {
    let (client, url) = reaching(post.url, reach).await?;
    // One request, and then it is gone.
    let client = client.user_agent(concat!("Ozma/", env!("CARGO_PKG_VERSION"))).pool_max_idle_per_host(0);
    let mut request = client.build().map_err(PostError::Http)?.post(url).header(CONTENT_TYPE, "application/json");
    for (name, value) in post.headers {
        request = request.header(name, value);
    }
    request.body(post.body).send().await.map_err(|err| PostError::Http(err.without_url()))
}

/// The status counts, and the beginning of the body as far as it comes in time is kept for people.
async fn read(mut response: Response, deadline: Instant) -> Answer {
    let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let mut answer = Answer {
        status: Some(response.status().as_u16()),
        retry_after: header.map(str::to_owned),
        ..Answer::default()
    };
    let mut head = Vec::new();
    while head.len() < limits::ANSWER_BYTES
        && let Ok(Ok(Some(chunk))) = timeout_at(deadline, response.chunk()).await
    {
        head.extend_from_slice(&chunk[..chunk.len().min(limits::ANSWER_BYTES - head.len())]);
    }
    let text = printable(&head);
    // What is no text takes more room as one.
    answer.body = text[..text.floor_char_boundary(limits::ANSWER_BYTES)].to_owned();
    answer
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Sends to a receiver on this machine that says `answer` to whoever comes, and then nothing.
    async fn told(answer: &'static str, within: Duration) -> Answer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}/hook", listener.local_addr().unwrap().port()).parse().unwrap();
        let receiver = tokio::spawn(async move {
            let mut connections = Vec::new();
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                let _ = connection.read(&mut [0; 4096]).await.unwrap();
                connection.write_all(answer.as_bytes()).await.unwrap();
                connections.push(connection);
            }
        });
        let answer = post(hook(&url), Reach::PublicAndLoopback, within).await;
        receiver.abort();
        answer
    }

    fn hook(url: &ReceiverUrl) -> Post<'_> {
        let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| (name, "x".to_owned()));
        Post { url, headers, body: "{}".to_owned() }
    }

    const SOON: Duration = Duration::from_millis(300);
    const LATE: Duration = Duration::from_secs(15);

    #[tokio::test]
    async fn a_status_is_an_answer_though_its_body_never_ends() {
        let answer = told("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello", SOON).await;
        assert_eq!((answer.status, answer.body.as_str(), &answer.error), (Some(200), "hello", &None));
        let answer = told("HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n", LATE).await;
        assert_eq!((answer.status, answer.retry_after.as_deref()), (Some(503), Some("7")));
        assert!(answer.latency_ms < 15_000);
    }

    #[tokio::test]
    async fn silence_has_an_end() {
        for silent in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
            let answer = told(silent, SOON).await;
            assert_eq!((answer.status, answer.error.as_deref()), (None, Some("no answer within 0.3 s")));
            assert!((300..5_000).contains(&answer.latency_ms), "{}", answer.latency_ms);
        }
        let answer = told("SMTP ready\r\n\r\n", LATE).await;
        assert!(answer.status.is_none() && answer.error.unwrap().starts_with("could not send: "));
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let answer = "HTTP/1.1 307 Elsewhere\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(told(answer, LATE).await.status, Some(307));
    }

    #[tokio::test]
    async fn of_a_body_the_beginning_is_kept() {
        for filler in ["x", "ü", "\u{0}"] {
            let body = filler.repeat(4_000);
            let answer = format!("HTTP/1.1 500 No\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let answer = told(answer.leak(), LATE).await;
            assert!(answer.body.len() <= limits::ANSWER_BYTES && body.starts_with(&answer.body), "{filler:?}");
            assert_eq!(answer.body.is_empty(), filler == "\u{0}");
        }
    }

    #[track_caller]
    fn refuses(answer: &Answer, why: &str) {
        assert!(answer.status.is_none() && answer.error.as_deref().is_some_and(|err| err.contains(why)), "{answer:?}");
    }

    #[tokio::test]
    async fn what_may_not_be_reached_hears_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for (host, why) in
            [("localhost", "own machine"), ("127.0.0.1", "own machine"), ("[::ffff:127.0.0.1]", "own machine")]
        {
            let url = format!("http://{host}:{port}/").parse().unwrap();
            refuses(&post(hook(&url), Reach::Public, LATE).await, why);
        }
        for (url, why) in [
            ("https://169.254.169.254/latest/meta-data", "link-local"),
            ("https://10.0.0.1/", "private"),
            ("https://[fd00:ec2::254]/", "private"),
            ("http://8.8.8.8/", "https://"),
        ] {
            for reach in [Reach::Public, Reach::PublicAndLoopback] {
                refuses(&post(hook(&url.parse().unwrap()), reach, LATE).await, why);
            }
        }
        let nobody = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(nobody.is_err(), "somebody came");
    }
}
