//! The public API as the command calls it: time limits, retries of what may be repeated, problems as errors.

mod agents;
mod definitions;
mod webhooks;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use ozma_api::wire::{
    AuditIndex, Automation, AutomationConfig, AutomationList, CreateRunRequest, Deleted, Environment,
    EnvironmentConfig, EnvironmentList, FollowupRequest, HandoffAttachments, Health, Notification, NotificationList,
    Problem, PutSecretRequest, RunCreated, RunItem, RunList, ScheduleItem, ScheduleList, ScheduleRequest, SecretItem,
    SecretList, StopRequest, StopResult, Subscription, SubscriptionConfig, SubscriptionList, Team, TeamSettings,
    Transcript, Whoami,
};
use ozma_domain::error_code::ErrorCode;
use ozma_domain::id::{AutomationId, EnvironmentId, NotificationId, RunId, ScheduleId, SecretName, SubscriptionId};
use ozma_domain::state::RunState;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::exit::Failure;

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);
/// Waits before the second, third and fourth try.
const PAUSES: [Duration; 3] = [Duration::from_millis(250), Duration::from_millis(1_000), Duration::from_millis(3_000)];
/// A server that asks for more patience than this gets its answer passed on.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// An answer larger than this is not one of this API's.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    /// Ends in `/api/v1/`. A local control plane may come back at another port.
    base: Arc<RwLock<Url>>,
    key: Option<SecretString>,
    /// The data folder of a local control plane.
    home: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("\"{0}\" is not an address of an API, such as https://oz.example.com/api/v1")]
    Address(String),
    #[error("the API key holds characters that cannot be sent")]
    Key,
    #[error("cannot set up HTTP")]
    Setup(#[source] reqwest::Error),
    #[error("cannot reach the control plane at {url}")]
    Unreachable {
        url: Url,
        #[source]
        source: reqwest::Error,
    },
    #[error("{}", described(.0))]
    Refused(Box<Problem>),
    #[error("{url} answered {status}, and not as this API does")]
    Foreign { url: Url, status: StatusCode },
    #[error("the answer of {url} cannot be read")]
    Unreadable {
        url: Url,
        #[source]
        source: serde_json::Error,
    },
}

/// One request. What is `repeatable` may reach the server twice without harm.
struct Call {
    method: Method,
    url: Url,
    body: Option<Vec<u8>>,
    idempotency_key: Option<String>,
    repeatable: bool,
    /// Whoever answers need not be the one that the key is for.
    keyless: bool,
    timeout: Duration,
}

impl Client {
    /// `address` is the base URL of the official SDKs, which ends in `/api/v1`, or the server's own address.
    pub(crate) fn new(address: &str, key: Option<SecretString>) -> Result<Self, ClientError> {
        let base = base_url(address)?;
        let mut http =
            reqwest::Client::builder().connect_timeout(CONNECT).user_agent(concat!("oz/", env!("CARGO_PKG_VERSION")));
        if base.scheme() == "http" {
            // Also works on a machine that has no certificates at all.
            http = http.tls_certs_only([]);
        }
        if is_this_machine(&base) {
            http = http.no_proxy();
        }
        let base = Arc::new(RwLock::new(base));
        // Keys are often read from files, which end in a line end.
        let key = key.map(|key| SecretString::from(key.expose_secret().trim()));
        let is_sendable = |key: &SecretString| HeaderValue::from_str(key.expose_secret()).is_ok();
        if key.as_ref().is_some_and(|key| !is_sendable(key)) {
            return Err(ClientError::Key);
        }
        Ok(Self { http: http.build().map_err(ClientError::Setup)?, base, key, home: None })
    }

    pub(crate) fn at_home(self, data_dir: &Path) -> Self {
        Self { home: Some(data_dir.to_owned()), ..self }
    }

    pub(crate) fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    pub(crate) fn base(&self) -> Url {
        self.base.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same control plane, at another address.
    pub(crate) fn move_to(&self, address: &str) {
        if let Ok(base) = base_url(address) {
            *self.base.write().unwrap_or_else(PoisonError::into_inner) = base;
        }
    }

    pub(crate) async fn health(&self) -> Result<Health, ClientError> {
        let mut url = self.base();
        url.set_path(&format!("{}health", url.path().trim_end_matches("api/v1/")));
        // Asked to find out whether somebody is there: a silence is an answer.
        let call = Call { repeatable: false, keyless: true, timeout: Duration::from_secs(2), ..self.get_url(url) };
        self.read(call).await
    }

    /// The key makes it safe to repeat.
    pub(crate) async fn create_run(&self, request: &CreateRunRequest, key: String) -> Result<RunCreated, ClientError> {
        let call = Call {
            method: Method::POST,
            body: Some(json(request)),
            idempotency_key: Some(key),
            ..self.get(&["runs"], &[])
        };
        self.read(call).await
    }

    pub(crate) async fn run(&self, run: RunId) -> Result<RunItem, ClientError> {
        self.read(self.get(&["runs", &run.to_string()], &[])).await
    }

    pub(crate) async fn runs(&self, filters: &[(impl AsRef<str>, String)]) -> Result<RunList, ClientError> {
        let filters: Vec<_> = filters.iter().map(|(name, value)| (name.as_ref(), value.clone())).collect();
        self.read(self.get(&["runs"], &filters)).await
    }

    /// Whether there is a run that has not ended, among those accepted `since` then if that matters.
    pub(crate) async fn has_unfinished(&self, since: Option<Timestamp>) -> Result<bool, ClientError> {
        let unfinished = RunState::ALL.into_iter().filter(|state| !state.is_terminal());
        let mut filters: Vec<_> = unfinished.map(|state| ("state", state.to_string())).collect();
        filters.push(("limit", "1".to_owned()));
        filters.extend(since.map(|since| ("created_after", since.to_string())));
        Ok(!self.runs(&filters).await?.runs.is_empty())
    }

    /// A run that is just being prepared answers with a conflict for a moment: the request is repeated for a while.
    /// With `cascade`, the runs below it as well.
    pub(crate) async fn cancel(&self, run: RunId, cascade: bool) -> Result<(), ClientError> {
        let query = [("cascade", "true".to_owned())];
        let query = if cascade { &query[..] } else { &[] };
        let path = ["runs", &run.to_string(), "cancel"];
        self.through_conflicts(|| Call { method: Method::POST, ..self.get(&path, query) }).await
    }

    /// Not repeated when its answer is lost: the run would be told twice. A run whose end is still being recorded answers
    /// with a conflict for a moment.
    pub(crate) async fn follow_up(&self, run: RunId, message: &str) -> Result<(), ClientError> {
        let body = json(&FollowupRequest { message: Some(message.to_owned()), mode: None });
        let path = ["runs", &run.to_string(), "followups"];
        let call =
            || Call { method: Method::POST, body: Some(body.clone()), repeatable: false, ..self.get(&path, &[]) };
        self.through_conflicts(call).await
    }

    async fn through_conflicts(&self, call: impl Fn() -> Call) -> Result<(), ClientError> {
        for _ in 0..20 {
            match self.read::<Value>(call()).await {
                Err(ClientError::Refused(problem)) if problem.code() == Some(ErrorCode::Conflict) => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                answer => return answer.map(drop),
            }
        }
        self.read::<Value>(call()).await.map(drop)
    }

    /// What is new in the transcript; waits up to `wait` for something to be.
    pub(crate) async fn events(
        &self,
        run: RunId,
        after: Option<&str>,
        wait: Duration,
    ) -> Result<Transcript, ClientError> {
        let mut query = vec![("wait", wait.as_secs().to_string())];
        query.extend(after.map(|after| ("after", after.to_owned())));
        let call = self.get(&["runs", &run.to_string(), "events"], &query);
        self.read(Call { timeout: wait + ANSWER, ..call }).await
    }

    pub(crate) async fn attachments(&self, run: RunId) -> Result<HandoffAttachments, ClientError> {
        self.read(self.get(&["runs", &run.to_string(), "handoff", "attachments"], &[])).await
    }

    /// The content of an artifact.
    pub(crate) async fn artifact(&self, uid: &str) -> Result<Vec<u8>, ClientError> {
        self.send(self.get(&["artifacts", uid, "download"], &[])).await
    }

    pub(crate) async fn audit(&self, run: RunId) -> Result<AuditIndex, ClientError> {
        self.read(self.get(&["runs", &run.to_string(), "audit"], &[])).await
    }

    /// A segment's object, as stored: gzip of JSON lines.
    pub(crate) async fn segment(&self, run: RunId, execution: u32, sequence: u32) -> Result<Vec<u8>, ClientError> {
        let path = ["runs", &run.to_string(), "audit", &execution.to_string(), &sequence.to_string()];
        self.send(self.get(&path, &[])).await
    }

    pub(crate) async fn environments(&self) -> Result<EnvironmentList, ClientError> {
        self.read(self.get(&["environments"], &[("sort_by", "name".to_owned())])).await
    }

    /// Not repeated: a second environment of the name would be refused as if the first were another's.
    pub(crate) async fn create_environment(&self, config: &EnvironmentConfig) -> Result<Environment, ClientError> {
        let call = self.get(&["environments"], &[]);
        self.read(Call { method: Method::POST, body: Some(json(config)), repeatable: false, ..call }).await
    }

    pub(crate) async fn environment(&self, id: &EnvironmentId) -> Result<Environment, ClientError> {
        self.read(self.get(&["environments", id.as_str()], &[])).await
    }

    pub(crate) async fn update_environment(
        &self,
        id: &EnvironmentId,
        config: &EnvironmentConfig,
    ) -> Result<Environment, ClientError> {
        let call = self.get(&["environments", id.as_str()], &[]);
        self.read(Call { method: Method::PUT, body: Some(json(config)), ..call }).await
    }

    pub(crate) async fn delete_environment(&self, id: &EnvironmentId) -> Result<Deleted, ClientError> {
        self.read(Call { method: Method::DELETE, ..self.get(&["environments", id.as_str()], &[]) }).await
    }

    pub(crate) async fn automations(&self) -> Result<AutomationList, ClientError> {
        self.read(self.get_at(&["automations"], &[])).await
    }

    /// By id or by name.
    pub(crate) async fn automation(&self, id_or_name: &str) -> Result<Automation, ClientError> {
        self.read(self.get_at(&["automations", id_or_name], &[])).await
    }

    /// Not repeated, like an environment's.
    pub(crate) async fn create_automation(&self, config: &AutomationConfig) -> Result<Automation, ClientError> {
        let call = self.get_at(&["automations"], &[]);
        self.read(Call { method: Method::POST, body: Some(json(config)), repeatable: false, ..call }).await
    }

    pub(crate) async fn update_automation(
        &self,
        id: &AutomationId,
        config: &AutomationConfig,
    ) -> Result<Automation, ClientError> {
        let call = self.get_at(&["automations", id.as_str()], &[]);
        self.read(Call { method: Method::PUT, body: Some(json(config)), ..call }).await
    }

    /// Not repeated: a second rotation would end the secret that is in use.
    pub(crate) async fn rotate_secret(&self, id: &AutomationId) -> Result<Automation, ClientError> {
        let call = self.get_at(&["automations", id.as_str(), "rotate-secret"], &[]);
        self.read(Call { method: Method::POST, repeatable: false, ..call }).await
    }

    pub(crate) async fn delete_automation(&self, id: &AutomationId) -> Result<Deleted, ClientError> {
        self.read(Call { method: Method::DELETE, ..self.get_at(&["automations", id.as_str()], &[]) }).await
    }

    pub(crate) async fn schedules(&self) -> Result<ScheduleList, ClientError> {
        self.read(self.get(&["schedules"], &[])).await
    }

    /// By id or by name.
    pub(crate) async fn schedule(&self, id_or_name: &str) -> Result<ScheduleItem, ClientError> {
        self.read(self.get(&["schedules", id_or_name], &[])).await
    }

    /// Not repeated: names are not unique, so that a second one would be another schedule.
    pub(crate) async fn create_schedule(&self, request: &ScheduleRequest) -> Result<ScheduleItem, ClientError> {
        let call = self.get(&["schedules"], &[]);
        self.read(Call { method: Method::POST, body: Some(json(request)), repeatable: false, ..call }).await
    }

    pub(crate) async fn update_schedule(
        &self,
        id: &ScheduleId,
        request: &ScheduleRequest,
    ) -> Result<ScheduleItem, ClientError> {
        let call = self.get(&["schedules", id.as_str()], &[]);
        self.read(Call { method: Method::PUT, body: Some(json(request)), ..call }).await
    }

    pub(crate) async fn pause_schedule(&self, id: &ScheduleId) -> Result<ScheduleItem, ClientError> {
        self.read(Call { method: Method::POST, ..self.get(&["schedules", id.as_str(), "pause"], &[]) }).await
    }

    pub(crate) async fn resume_schedule(&self, id: &ScheduleId) -> Result<ScheduleItem, ClientError> {
        self.read(Call { method: Method::POST, ..self.get(&["schedules", id.as_str(), "resume"], &[]) }).await
    }

    /// Not repeated: each is a run.
    pub(crate) async fn run_schedule(&self, id: &ScheduleId) -> Result<RunCreated, ClientError> {
        let call = self.get(&["schedules", id.as_str(), "run"], &[]);
        self.read(Call { method: Method::POST, repeatable: false, ..call }).await
    }

    pub(crate) async fn delete_schedule(&self, id: &ScheduleId) -> Result<Deleted, ClientError> {
        self.read(Call { method: Method::DELETE, ..self.get(&["schedules", id.as_str()], &[]) }).await
    }

    pub(crate) async fn subscriptions(&self) -> Result<SubscriptionList, ClientError> {
        self.read(self.get_at(&["subscriptions"], &[])).await
    }

    /// By id or by name.
    pub(crate) async fn subscription(&self, id_or_name: &str) -> Result<Subscription, ClientError> {
        self.read(self.get_at(&["subscriptions", id_or_name], &[])).await
    }

    /// Not repeated: names are not unique, so that a second one would be told everything twice.
    pub(crate) async fn create_subscription(&self, config: &SubscriptionConfig) -> Result<Subscription, ClientError> {
        let call = self.get_at(&["subscriptions"], &[]);
        self.read(Call { method: Method::POST, body: Some(json(config)), repeatable: false, ..call }).await
    }

    pub(crate) async fn update_subscription(
        &self,
        id: &SubscriptionId,
        config: &SubscriptionConfig,
    ) -> Result<Subscription, ClientError> {
        let call = self.get_at(&["subscriptions", id.as_str()], &[]);
        self.read(Call { method: Method::PUT, body: Some(json(config)), ..call }).await
    }

    /// Not repeated, like an automation's.
    pub(crate) async fn rotate_subscription_secret(&self, id: &SubscriptionId) -> Result<Subscription, ClientError> {
        let call = self.get_at(&["subscriptions", id.as_str(), "rotate-secret"], &[]);
        self.read(Call { method: Method::POST, repeatable: false, ..call }).await
    }

    /// Not repeated: each is a ping.
    pub(crate) async fn test_subscription(&self, id_or_name: &str) -> Result<Notification, ClientError> {
        let call = self.get_at(&["subscriptions", id_or_name, "test"], &[]);
        self.read(Call { method: Method::POST, repeatable: false, ..call }).await
    }

    pub(crate) async fn delete_subscription(&self, id: &SubscriptionId) -> Result<Deleted, ClientError> {
        self.read(Call { method: Method::DELETE, ..self.get_at(&["subscriptions", id.as_str()], &[]) }).await
    }

    /// What was sent to it, newest first.
    pub(crate) async fn notifications(
        &self,
        id_or_name: &str,
        limit: usize,
        before: Option<&NotificationId>,
    ) -> Result<NotificationList, ClientError> {
        let mut query = vec![("limit", limit.to_string())];
        query.extend(before.map(|before| ("before", before.to_string())));
        self.read(self.get_at(&["subscriptions", id_or_name, "deliveries"], &query)).await
    }

    /// Not repeated: each is an attempt.
    pub(crate) async fn replay(&self, id_or_name: &str, id: &NotificationId) -> Result<Notification, ClientError> {
        let call = self.get_at(&["subscriptions", id_or_name, "deliveries", id.as_str(), "replay"], &[]);
        self.read(Call { method: Method::POST, repeatable: false, ..call }).await
    }

    pub(crate) async fn team(&self) -> Result<Team, ClientError> {
        self.read(self.get_at(&["team"], &[])).await
    }

    pub(crate) async fn set_team(&self, settings: &TeamSettings) -> Result<Team, ClientError> {
        let call = self.get_at(&["team", "settings"], &[]);
        self.read(Call { method: Method::PUT, body: Some(json(settings)), ..call }).await
    }

    /// `pause` or `resume`.
    pub(crate) async fn change_team(&self, how: &str) -> Result<Team, ClientError> {
        self.read(Call { method: Method::POST, ..self.get_at(&["team", how], &[]) }).await
    }

    pub(crate) async fn stop(&self, mode: &str) -> Result<StopResult, ClientError> {
        let body = json(&StopRequest { mode: Some(mode.to_owned()) });
        self.read(Call { method: Method::POST, body: Some(body), ..self.get_at(&["stop"], &[]) }).await
    }

    pub(crate) async fn resume(&self) -> Result<StopResult, ClientError> {
        self.read(Call { method: Method::POST, ..self.get_at(&["resume"], &[]) }).await
    }

    pub(crate) async fn secrets(&self) -> Result<SecretList, ClientError> {
        self.read(self.get(&["secrets"], &[])).await
    }

    pub(crate) async fn put_secret(&self, name: &SecretName, value: &SecretString) -> Result<SecretItem, ClientError> {
        let body = json(&PutSecretRequest { value: value.expose_secret().to_owned() });
        self.read(Call { method: Method::PUT, body: Some(body), ..self.get(&["secrets", name.as_str()], &[]) }).await
    }

    pub(crate) async fn delete_secret(&self, name: &SecretName) -> Result<Deleted, ClientError> {
        self.read(Call { method: Method::DELETE, ..self.get(&["secrets", name.as_str()], &[]) }).await
    }

    pub(crate) async fn whoami(&self) -> Result<Whoami, ClientError> {
        self.read(self.get(&["whoami"], &[])).await
    }

    /// What the contract has is below `agent`.
    fn get(&self, path: &[&str], query: &[(&str, String)]) -> Call {
        self.get_at(&[&["agent"], path].concat(), query)
    }

    fn get_at(&self, path: &[&str], query: &[(&str, String)]) -> Call {
        let mut url = self.base();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.get_url(url)
    }

    fn get_url(&self, url: Url) -> Call {
        Call {
            method: Method::GET,
            url,
            body: None,
            idempotency_key: None,
            repeatable: true,
            keyless: false,
            timeout: ANSWER,
        }
    }

    async fn read<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        let url = call.url.clone();
        let body = self.send(call).await?;
        serde_json::from_slice(&body).map_err(|source| ClientError::Unreadable { url, source })
    }

    async fn send(&self, call: Call) -> Result<Vec<u8>, ClientError> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let answer = self.send_once(&call).await;
            let asked = match &answer {
                Ok(answer) if answer.status.is_success() => return Ok(answer.body.clone()),
                Ok(answer) => answer.retry_pause(),
                Err(_) => Some(None),
            };
            let pause = pauses.next().filter(|_| call.repeatable).zip(asked).map(|(ours, asked)| asked.unwrap_or(ours));
            match (pause.filter(|pause| *pause <= LONGEST_PAUSE), answer) {
                (Some(pause), _) => tokio::time::sleep(pause).await,
                (None, Ok(answer)) => return Err(answer.into_error(call.url)),
                (None, Err(source)) => {
                    return Err(ClientError::Unreachable { url: self.base(), source: source.without_url() });
                }
            }
        }
    }

    async fn send_once(&self, call: &Call) -> Result<Answer, reqwest::Error> {
        let mut request = self.http.request(call.method.clone(), call.url.clone()).timeout(call.timeout);
        // What is large is stored so, and behind a Lambda it fits no answer otherwise.
        request = request.header(ACCEPT_ENCODING, "gzip");
        if let Some(key) = self.key.as_ref().filter(|_| !call.keyless) {
            request = request.bearer_auth(key.expose_secret());
        }
        if let Some(key) = &call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &call.body {
            request = request.header("content-type", "application/json").body(body.clone());
        }
        let mut response = request.send().await?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES {
                break;
            }
        }
        if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding == "gzip") {
            let mut plain = Vec::new();
            if MultiGzDecoder::new(&*body).take(ANSWER_BYTES as u64).read_to_end(&mut plain).is_ok() {
                body = plain;
            }
        }
        Ok(Answer { status, headers, body })
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    /// Whether another try makes sense, and after which pause the server wants it.
    fn retry_pause(&self) -> Option<Option<Duration>> {
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        let retryable = match header("x-should-retry") {
            Some("true") => true,
            Some("false") => false,
            _ => self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS,
        };
        let seconds = header(RETRY_AFTER.as_str()).and_then(|text| text.parse().ok());
        retryable.then(|| seconds.map(Duration::from_secs))
    }

    fn into_error(self, url: Url) -> ClientError {
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) => ClientError::Refused(Box::new(problem)),
            Err(_) => ClientError::Foreign { url, status: self.status },
        }
    }
}

fn json<T: Serialize>(body: &T) -> Vec<u8> {
    serde_json::to_vec(body).expect("the API's bodies are text, numbers and lists")
}

fn base_url(address: &str) -> Result<Url, ClientError> {
    let wrong = || ClientError::Address(address.to_owned());
    let mut url = Url::parse(address.trim()).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let path = path.strip_suffix("/api/v1").unwrap_or(&path);
    url.set_path(&format!("{path}/api/v1/"));
    Ok(url)
}

fn is_this_machine(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host == "localhost" || host == "[::1]" || host.starts_with("127."))
}

fn described(problem: &Problem) -> String {
    match &problem.detail {
        Some(detail) => format!("{}: {detail}", problem.title),
        None => problem.title.clone(),
    }
}

impl ClientError {
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.code() == Some(ErrorCode::ResourceNotFound))
    }

    /// Whether the same request may be answered later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Foreign { status, .. } => status.is_server_error(),
            Self::Refused(problem) => problem.retryable,
            Self::Address(_) | Self::Key | Self::Setup(_) | Self::Unreadable { .. } => false,
        }
    }

    /// The answer to cancelling a run that has ended.
    pub(crate) fn is_already_ended(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.code() == Some(ErrorCode::InvalidRequest))
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { url, .. } if is_this_machine(url) => Some("start it with `oz up`".to_owned()),
            Self::Unreachable { .. } | Self::Foreign { .. } => Some("check OZ_API_BASE_URL".to_owned()),
            Self::Refused(problem) => match problem.code()? {
                ErrorCode::AuthenticationRequired => {
                    Some("give a valid API key of that control plane in OZ_API_KEY".to_owned())
                }
                ErrorCode::InternalError => {
                    Some(format!("look for {} in the control plane's log", problem.trace_id.as_ref()?))
                }
                ErrorCode::ResourceUnavailable => Some("try again in a while".to_owned()),
                _ => None,
            },
            Self::Key => Some("check OZ_API_KEY".to_owned()),
            Self::Address(_) | Self::Setup(_) | Self::Unreadable { .. } => None,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(err: ClientError) -> Self {
        let mut failure = match &err {
            ClientError::Address(_) | ClientError::Key => Self::usage(err.to_string()),
            _ => Self::new(err.to_string()),
        };
        if let Some(hint) = err.hint() {
            failure = failure.hint(hint);
        }
        match err {
            ClientError::Setup(source) | ClientError::Unreachable { source, .. } => failure.because(source),
            ClientError::Unreadable { source, .. } => failure.because(source),
            ClientError::Address(_) | ClientError::Key | ClientError::Refused(_) | ClientError::Foreign { .. } => {
                failure
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, expected: Option<&str>) {
        assert_eq!(base_url(address).ok().as_ref().map(Url::as_str), expected, "{address}");
    }

    #[test]
    fn both_the_sdks_and_the_servers_address_will_do() {
        check("http://127.0.0.1:8484", Some("http://127.0.0.1:8484/api/v1/"));
        check("http://127.0.0.1:8484/api/v1", Some("http://127.0.0.1:8484/api/v1/"));
        check("https://oz.example.com/prefix/api/v1/", Some("https://oz.example.com/prefix/api/v1/"));
        check("https://oz.example.com/prefix", Some("https://oz.example.com/prefix/api/v1/"));
        check("oz.example.com", None);
        check("ftp://oz.example.com", None);
        check("https://oz.example.com/?x", None);
    }

    #[track_caller]
    fn lines(status: u16, body: &str, expected: &str) {
        let answer =
            Answer { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body: body.into() };
        let failure = Failure::from(answer.into_error(Url::parse("http://127.0.0.1:1/api/v1/agent/runs").unwrap()));
        assert_eq!(failure.lines(false).join(" / "), expected);
    }

    #[test]
    fn a_problem_is_told_in_its_own_words() {
        let problem = |code, detail: &str| serde_json::to_string(&Problem::new(code, Some(detail.to_owned()))).unwrap();
        lines(
            404,
            &problem(ErrorCode::ResourceNotFound, "there is no run x"),
            "error: Resource not found: there is no run x",
        );
        lines(
            401,
            &problem(ErrorCode::AuthenticationRequired, "the key is not known"),
            "error: Authentication required: the key is not known / hint: give a valid API key of that control plane in OZ_API_KEY",
        );
        lines(
            404,
            r#"{"type": "/errors/resource-not-found/", "title": "Gone", "status": 404, "error": "Gone"}"#,
            "error: Gone",
        );
        lines(
            502,
            "<html>",
            "error: http://127.0.0.1:1/api/v1/agent/runs answered 502 Bad Gateway, and not as this API does / hint: check OZ_API_BASE_URL",
        );
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        let check = |status: u16, headers: &[(&'static str, &'static str)], expected| {
            let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            let answer = Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: Vec::new() };
            assert_eq!(answer.retry_pause(), expected, "{status}");
        };
        check(503, &[], Some(None));
        check(429, &[("retry-after", "2")], Some(Some(Duration::from_secs(2))));
        check(500, &[("x-should-retry", "false")], None);
        check(400, &[], None);
        check(409, &[], None);
    }
}
