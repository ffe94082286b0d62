//! The `executions` API, called from inside. Every call is repeated until it is answered or the lease is over.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use ozma_domain::artifact::SavedSet;
use ozma_domain::failure::FailureClass;
use ozma_domain::id::ExecutionId;
use ozma_domain::limits::GIT_CREDENTIALS_SECONDS;
use ozma_domain::protocol::{
    Assignment, AwsCredentials, Claim, GitCredentials, GitQuestion, Messages, RECEIPT_HEADER, Reply, Report,
    USAGE_HEADER, Usage,
};
use ozma_domain::pull_request::Reported;
use ozma_domain::text;
use ozma_domain::token::ExecutionToken;
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::config::ControlUrl;
use crate::loopback::Refusal;
use crate::network;
use crate::random;
use crate::stop::{Stop, Stopper};

const CONNECT: Duration = Duration::from_secs(5);
const TOTAL: Duration = Duration::from_secs(30);
/// For one try to get credentials: whoever asked does not wait for long. For git's, the control plane asks a provider.
const AWS_CREDENTIALS: Duration = Duration::from_secs(10);
const GIT_CREDENTIALS: Duration = Duration::from_secs(GIT_CREDENTIALS_SECONDS + 5);
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MOST: Duration = Duration::from_secs(5);

/// Why a call was given up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("this execution is not the run's current one any more")]
    Stale,
    #[error("the control plane was out of reach for {seconds} s: {last}")]
    OutOfReach { seconds: u64, last: String },
    #[error("the control plane refused {call} with {status}: {detail}")]
    Refused { call: String, status: u16, detail: String },
}

pub(crate) struct Client {
    http: reqwest::Client,
    /// `…/executions/<id>`.
    base: String,
    token: ExecutionToken,
    /// See [`trace_parent`].
    trace_parent: String,
    lease: Mutex<Lease>,
    /// The id of the last message that was heard.
    last_message: Mutex<String>,
    /// Of the last segment that was stored.
    receipt: Mutex<Option<String>>,
    usage: Mutex<Option<Usage>>,
    heard: Heard,
}

/// What the control plane's answers ask for.
pub(crate) struct Heard {
    pub(crate) stop: std::sync::Arc<Stopper>,
    pub(crate) watched: watch::Sender<bool>,
    pub(crate) messages: Notify,
}

#[derive(Clone, Copy)]
struct Lease {
    answered_at: Instant,
    length: Duration,
}

#[derive(Clone)]
enum Body {
    None,
    Json(Bytes),
    Gzip(Bytes),
}

impl Client {
    /// `patience` is how long the claim is tried.
    pub(crate) fn new(
        control: &ControlUrl,
        execution: ExecutionId,
        token: ExecutionToken,
        patience: Duration,
        heard: Heard,
    ) -> Result<Self, reqwest::Error> {
        let builder = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("ozma-agent/", env!("CARGO_PKG_VERSION")));
        let (builder, origin) = network::towards(control, builder);
        Ok(Self {
            http: builder.build()?,
            base: format!("{origin}/executions/{execution}"),
            token,
            trace_parent: trace_parent(execution),
            lease: Mutex::new(Lease { answered_at: Instant::now(), length: patience }),
            last_message: Mutex::default(),
            receipt: Mutex::default(),
            usage: Mutex::default(),
            heard,
        })
    }

    /// Trades the claim token for the work; from then on the lease runs.
    pub(crate) async fn claim(&self, claim: &Claim) -> Result<Assignment, CallError> {
        let body = Body::Json(to_json(claim));
        let assignment: Assignment = self.call(Method::POST, "claim", body, false).await?;
        let mut lease = self.lease.lock().expect("no panic while locked");
        *lease = Lease { answered_at: Instant::now(), length: Duration::from_secs(assignment.lease_seconds) };
        drop(lease);
        self.heard.watched.send_replace(assignment.watched);
        Ok(assignment)
    }

    pub(crate) async fn start(&self) -> Result<(), CallError> {
        self.told(Method::POST, "start", Body::None).await
    }

    pub(crate) async fn put_segment(&self, number: u32, gzip: Bytes) -> Result<(), CallError> {
        self.told(Method::PUT, &format!("segments/{number}?after={}", self.last_message()), Body::Gzip(gzip)).await
    }

    pub(crate) async fn put_output(&self, command: u32, part: u32, gzip: Bytes) -> Result<(), CallError> {
        self.told(Method::PUT, &format!("outputs/{command}/{part}"), Body::Gzip(gzip)).await
    }

    /// A file of the workspace.
    pub(crate) async fn put_file(&self, number: u32, gzip: Bytes) -> Result<(), CallError> {
        self.told(Method::PUT, &format!("workspace/{number}"), Body::Gzip(gzip)).await
    }

    /// Makes a set of the files that were put.
    pub(crate) async fn put_set(&self, set: &SavedSet) -> Result<(), CallError> {
        self.told(Method::PUT, "workspace", Body::Json(to_json(set))).await
    }

    /// A file that an earlier execution of the run put, as gzip.
    pub(crate) async fn saved_file(&self, from: u32, number: u32) -> Result<Bytes, CallError> {
        self.answer(Method::GET, &format!("workspace/{from}/{number}"), Body::None, true).await
    }

    pub(crate) async fn report_pull_request(&self, report: &Reported) -> Result<(), CallError> {
        self.told(Method::POST, "pull-requests", Body::Json(to_json(report))).await
    }

    /// Those after the last one that was heard.
    pub(crate) async fn messages(&self) -> Result<Messages, CallError> {
        self.call(Method::GET, &format!("messages?after={}", self.last_message()), Body::None, true).await
    }

    /// From now on, only messages after this one are news.
    pub(crate) fn heard_message(&self, id: &str) {
        // Ids are the control plane's own; nothing in them needs escaping, and anything that does is left out.
        let id = id.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.:".contains(*c)).collect();
        *self.last_message.lock().expect("no panic while locked") = id;
    }

    /// From now on, segments say that this much was used.
    pub(crate) fn used(&self, usage: Usage) {
        *self.usage.lock().expect("no panic while locked") = Some(usage);
    }

    fn last_message(&self) -> String {
        self.last_message.lock().expect("no panic while locked").clone()
    }

    pub(crate) async fn aws_credentials(&self) -> Result<AwsCredentials, Refusal> {
        self.credentials(&Method::GET, "aws-credentials", Body::None, AWS_CREDENTIALS).await
    }

    pub(crate) async fn git_credentials(&self, question: &GitQuestion) -> Result<GitCredentials, Refusal> {
        self.credentials(&Method::POST, "git-credentials", Body::Json(to_json(question)), GIT_CREDENTIALS).await
    }

    /// Tried once: no run ends because credentials cannot be had, and whoever wants them asks again.
    async fn credentials<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        body: Body,
        within: Duration,
    ) -> Result<T, Refusal> {
        #[derive(serde::Deserialize)]
        struct Refused {
            error: String,
            detail: String,
        }
        let unavailable = |why: String| {
            tracing::warn!(call = name(method, path), "the control plane gives no credentials: {why}");
            Refusal::new(503, "unavailable", "the control plane does not answer; ask again")
        };
        match self.attempt(method, path, body, true, within).await {
            Ok((status, answer)) if status.is_success() => {
                serde_json::from_slice(&answer).map_err(|err| unavailable(format!("its answer cannot be read: {err}")))
            }
            Ok((StatusCode::CONFLICT, _)) => {
                self.heard.stop.request(Stop::Lost(CallError::Stale));
                Err(Refusal::new(409, "stale", CallError::Stale.to_string()))
            }
            Ok((status, answer)) if is_refusal(status) => {
                let refused = serde_json::from_slice(&answer);
                let Refused { error, detail } = refused
                    .unwrap_or_else(|_| Refused { error: "refused".to_owned(), detail: text::printable(&answer) });
                Err(Refusal::new(status.as_u16(), &error, text::shorten(&text::one_line(&detail), 1_000)))
            }
            Ok((status, _)) => Err(unavailable(format!("it answered with {}", status.as_u16()))),
            Err(err) => Err(unavailable(text::chain(&err.without_url()).to_string())),
        }
    }

    pub(crate) async fn finish(&self, report: &Report) -> Result<(), CallError> {
        self.told(Method::POST, "finish", Body::Json(to_json(report))).await
    }

    /// What the task hands on, so that its traces join the run's.
    pub(crate) fn trace_parent(&self) -> &str {
        &self.trace_parent
    }

    pub(crate) fn watched(&self) -> watch::Receiver<bool> {
        self.heard.watched.subscribe()
    }

    pub(crate) async fn messages_wait(&self) {
        self.heard.messages.notified().await;
    }

    async fn told(&self, method: Method, path: &str, body: Body) -> Result<(), CallError> {
        let reply: Reply = self.call(method, path, body, true).await?;
        if reply.cancelled {
            self.heard.stop.request(Stop::Cancelled);
        }
        if let Some(message) = reply.over_budget {
            self.heard.stop.request(Stop::Failed { class: FailureClass::BudgetReached, message });
        }
        self.heard.watched.send_if_modified(|watched| std::mem::replace(watched, reply.watched) != reply.watched);
        if reply.messages {
            self.heard.messages.notify_one();
        }
        if reply.receipt.is_some() {
            *self.receipt.lock().expect("no panic while locked") = reply.receipt;
        }
        Ok(())
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Body,
        authorized: bool,
    ) -> Result<T, CallError> {
        let call = name(&method, path);
        let answer = self.answer(method, path, body, authorized).await?;
        serde_json::from_slice(&answer).map_err(|err| {
            let detail = format!("its answer cannot be read: {err}");
            CallError::Refused { call, status: StatusCode::OK.as_u16(), detail }
        })
    }

    /// Stale and out of reach mean the same to everybody who listens: stop at once.
    async fn answer(&self, method: Method, path: &str, body: Body, authorized: bool) -> Result<Bytes, CallError> {
        let answer = tokio::select! {
            answer = self.attempts(&method, path, &body, authorized) => answer,
            err = self.heard.stop.lost() => Err(err),
        };
        if let Err(err @ (CallError::Stale | CallError::OutOfReach { .. })) = &answer {
            self.heard.stop.request(Stop::Lost(err.clone()));
        }
        answer
    }

    async fn attempts(&self, method: &Method, path: &str, body: &Body, authorized: bool) -> Result<Bytes, CallError> {
        let mut pause = PAUSE_FIRST;
        let mut last = "no time left".to_owned();
        for attempt in 1.. {
            let lease = *self.lease.lock().expect("no panic while locked");
            let left = lease.length.saturating_sub(lease.answered_at.elapsed());
            if left.is_zero() {
                return Err(CallError::OutOfReach { seconds: lease.length.as_secs(), last });
            }
            last = match self.attempt(method, path, body.clone(), authorized, left.min(TOTAL)).await {
                Ok((status, answer)) if status.is_success() => {
                    self.lease.lock().expect("no panic while locked").answered_at = Instant::now();
                    return Ok(answer);
                }
                Ok((StatusCode::CONFLICT, _)) => return Err(CallError::Stale),
                Ok((status, answer)) if is_refusal(status) => {
                    let detail = text::shorten(&text::one_line(&text::printable(&answer)), 200);
                    return Err(CallError::Refused { call: name(method, path), status: status.as_u16(), detail });
                }
                Ok((status, _)) => format!("{} answered with {}", name(method, path), status.as_u16()),
                Err(err) => text::chain(&err.without_url()).to_string(),
            };
            if attempt == 1 {
                tracing::warn!(call = name(method, path), "the control plane does not answer; trying again: {last}");
            }
            tokio::time::sleep(jittered(pause).min(left)).await;
            pause = (pause * 2).min(PAUSE_MOST);
        }
        unreachable!("the loop ends with the lease")
    }

    async fn attempt(
        &self,
        method: &Method,
        path: &str,
        body: Body,
        authorized: bool,
        timeout: Duration,
    ) -> Result<(StatusCode, Bytes), reqwest::Error> {
        let mut request = self.http.request(method.clone(), format!("{}/{path}", self.base)).timeout(timeout);
        request = request.header("traceparent", &self.trace_parent);
        // Only the next segment has a use for it, and it is small.
        if let Some(receipt) = self.receipt.lock().expect("no panic while locked").as_deref() {
            request = request.header(RECEIPT_HEADER, receipt);
        }
        // So has the sum of what was used.
        if let Some(usage) = *self.usage.lock().expect("no panic while locked") {
            request = request.header(USAGE_HEADER, to_json(&usage).as_ref());
        }
        if authorized {
            request = request.bearer_auth(self.token.expose());
        }
        request = match body {
            Body::None => request,
            Body::Json(bytes) => request.header("content-type", "application/json").body(bytes),
            Body::Gzip(bytes) => request.header("content-type", "application/gzip").body(bytes),
        };
        let response = request.send().await?;
        Ok((response.status(), response.bytes().await?))
    }
}

/// An answer that another try does not change.
fn is_refusal(status: StatusCode) -> bool {
    !(status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT))
}

/// The agent as a span of the run's trace (W3C Trace Context). The trace's id is the run's, so that every trace from the
/// trigger to the task can be found by the run.
fn trace_parent(execution: ExecutionId) -> String {
    // Without randomness there is a span nevertheless; all zeros would be none.
    let mut span: [u8; 8] = random::bytes().unwrap_or_default();
    span[7] |= 1;
    format!("00-{}-{}-01", execution.run.to_string().replace('-', ""), hex::encode(span))
}

fn name(method: &Method, path: &str) -> String {
    format!("{method} {path}")
}

fn to_json(value: &impl serde::Serialize) -> Bytes {
    // The protocol's types have string keys and no maps of anything else, so this cannot fail.
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}

/// Between half and all of `pause`, so that forty agents do not knock at the same moment.
fn jittered(pause: Duration) -> Duration {
    // Without randomness the pause is merely longer.
    let [random] = random::bytes().unwrap_or_default();
    pause / 2 + pause / 2 * u32::from(255 - random) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_final_and_everything_else_is_tried_again() {
        let refusals: Vec<u16> = [400, 401, 404, 408, 413, 429, 500, 503]
            .into_iter()
            .filter(|code| is_refusal(StatusCode::from_u16(*code).unwrap()))
            .collect();
        assert_eq!(refusals, [400, 401, 404, 413]);
    }

    #[test]
    fn a_trace_has_the_id_of_its_run() {
        let execution: ExecutionId = "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10-2".parse().unwrap();
        let parent = trace_parent(execution);
        assert!(parent.starts_with("00-019aa5e27c1f7d3e9a510c6f2f9b8f10-"), "{parent}");
        assert_eq!(parent.split('-').map(str::len).collect::<Vec<_>>(), [2, 32, 16, 2]);
    }

    #[test]
    fn jitter_stays_in_its_bounds() {
        for _ in 0..100 {
            let pause = jittered(Duration::from_secs(1));
            assert!((Duration::from_millis(500)..=Duration::from_secs(1)).contains(&pause));
        }
    }
}
