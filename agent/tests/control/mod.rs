//! A control plane in one process: it hands out one execution and remembers everything that its agent sends.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use jiff::{SignedDuration, Timestamp};
use ozma_domain::artifact::SavedSet;
use ozma_domain::protocol::{Assignment, AwsCredentials, Claim, Message, Messages, Reply, Report, USAGE_HEADER, Usage};
use ozma_domain::pull_request::Reported;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::UnixListener;
use tokio::sync::watch;

/// With the number of the fetch, from 1. The secret ones have what JSON and addresses escape.
pub(crate) const ACCESS_KEY_ID: &str = "ASIAFETCH";
pub(crate) const SECRET_ACCESS_KEY: &str = "wJalr/XUtnFEMI+K7MDENG==";
pub(crate) const SESSION_TOKEN: &str = "FwoGZXIvYXdzEBYaDH/qwe+rty==";

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    None,
    /// Answered so, and not heard.
    Before(u16),
    /// Heard, but the answer is this: a lost reply.
    After(u16),
}

type Plan = Box<dyn FnMut(&str, usize) -> Trouble + Send>;

pub(crate) struct Control {
    /// The same routes on a socket and on loopback.
    pub(crate) socket: PathBuf,
    pub(crate) address: SocketAddr,
    heard: Arc<Heard>,
}

struct Heard {
    assignment: Assignment,
    records: Mutex<Records>,
    plan: Mutex<Plan>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Records {
    token: Option<String>,
    reply: Reply,
    messages: Vec<Message>,
    /// The life of each credentials that are to be given, in turn; then there are no more.
    credentials: Vec<SignedDuration>,
    started: bool,
    segments: BTreeMap<u32, Vec<u8>>,
    /// The last message that the last segment knew of.
    after: String,
    parts: BTreeMap<(u32, u32), Vec<u8>>,
    report: Option<Report>,
    /// Of the workspace, as gzip.
    files: BTreeMap<u32, Vec<u8>>,
    set: Option<SavedSet>,
    /// What an earlier execution saved.
    earlier: BTreeMap<u32, Vec<u8>>,
    /// As the last segment told it.
    usage: Option<Usage>,
    pull_requests: Vec<String>,
    /// Every call, and how often.
    calls: BTreeMap<String, usize>,
    /// Every body, unpacked.
    bodies: Vec<Vec<u8>>,
}

impl Control {
    pub(crate) fn new(
        folder: &Path,
        assignment: Assignment,
        plan: impl FnMut(&str, usize) -> Trouble + Send + 'static,
    ) -> Self {
        let heard = Arc::new(Heard {
            assignment,
            records: Mutex::default(),
            plan: Mutex::new(Box::new(plan)),
            changed: watch::Sender::new(()),
        });
        let router = Router::new()
            .route("/executions/{id}/claim", post(claim))
            .route("/executions/{id}/start", post(start))
            .route("/executions/{id}/segments/{n}", put(segment))
            .route("/executions/{id}/outputs/{command}/{part}", put(part))
            .route("/executions/{id}/workspace", put(save_set))
            .route("/executions/{id}/workspace/{n}", put(save_file))
            .route("/executions/{id}/workspace/{from}/{n}", get(saved_file))
            .route("/executions/{id}/messages", get(messages))
            .route("/executions/{id}/aws-credentials", get(aws_credentials))
            .route("/executions/{id}/pull-requests", post(pull_request))
            .route("/executions/{id}/finish", post(finish))
            .layer(DefaultBodyLimit::max(4 * 1024 * 1024))
            .with_state(heard.clone());
        let socket = folder.join("control.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        let address = tcp.local_addr().unwrap();
        let tcp = tokio::net::TcpListener::from_std(tcp).unwrap();
        let router_of_tcp = router.clone();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        tokio::spawn(async move { axum::serve(tcp, router_of_tcp).await.unwrap() });
        Self { socket, address, heard }
    }

    pub(crate) fn reply_with(&self, reply: Reply) {
        self.heard.records.lock().unwrap().reply = reply;
    }

    pub(crate) fn send_message(&self, message: Message) {
        self.heard.records.lock().unwrap().messages.push(message);
    }

    /// Gives credentials once for each of these lives, and refuses from then on.
    pub(crate) fn give_credentials(&self, lives: Vec<SignedDuration>) {
        self.heard.records.lock().unwrap().credentials = lives;
    }

    /// Returns once the output so far holds `text`.
    pub(crate) async fn output_holds(&self, text: &str) {
        let mut changed = self.heard.changed.subscribe();
        while !self.texts("output", "text").concat().contains(text) {
            changed.changed().await.unwrap();
        }
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        let records = self.heard.records.lock().unwrap();
        let lines: Vec<u8> = records.segments.values().flat_map(|gzip| unpack(gzip)).collect();
        String::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The member `name` of every event of a kind.
    pub(crate) fn texts(&self, kind: &str, name: &str) -> Vec<String> {
        let of_kind =
            |event: &Value| (event["type"] == kind).then(|| event[name].as_str().unwrap_or_default().to_owned());
        self.events().iter().filter_map(of_kind).collect()
    }

    pub(crate) fn report(&self) -> Option<Report> {
        self.heard.records.lock().unwrap().report.clone()
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        self.heard.records.lock().unwrap().usage
    }

    pub(crate) fn pull_requests(&self) -> Vec<String> {
        self.heard.records.lock().unwrap().pull_requests.clone()
    }

    pub(crate) fn set(&self) -> Option<SavedSet> {
        self.heard.records.lock().unwrap().set.clone()
    }

    /// The files that were put, as gzip.
    pub(crate) fn files(&self) -> BTreeMap<u32, Vec<u8>> {
        self.heard.records.lock().unwrap().files.clone()
    }

    /// The content of one file of the set.
    pub(crate) fn file(&self, path: &str) -> Vec<u8> {
        let file = self.set().unwrap().files.into_iter().find(|file| file.path == path);
        unpack(&self.files()[&file.unwrap_or_else(|| panic!("{path} is not in the set")).number])
    }

    pub(crate) fn saved_earlier(&self, files: BTreeMap<u32, Vec<u8>>) {
        self.heard.records.lock().unwrap().earlier = files;
    }

    pub(crate) fn started(&self) -> bool {
        self.heard.records.lock().unwrap().started
    }

    pub(crate) fn calls(&self, name: &str) -> usize {
        self.heard.records.lock().unwrap().calls.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn last_message(&self) -> String {
        self.heard.records.lock().unwrap().after.clone()
    }

    pub(crate) fn last_segment(&self) -> u32 {
        self.heard.records.lock().unwrap().segments.keys().last().copied().unwrap_or(0)
    }

    /// The parts of a command's output, unpacked and joined.
    pub(crate) fn middle(&self, command: u32) -> Vec<u8> {
        let records = self.heard.records.lock().unwrap();
        records.parts.range((command, 0)..=(command, u32::MAX)).flat_map(|(_, gzip)| unpack(gzip)).collect()
    }

    pub(crate) fn was_told(&self, text: &str) -> bool {
        let records = self.heard.records.lock().unwrap();
        records.bodies.iter().any(|body| body.windows(text.len()).any(|window| window == text.as_bytes()))
    }
}

impl Heard {
    /// Notes a call and answers it, unless the plan has something else in mind.
    fn answer(&self, call: &str, headers: &HeaderMap, hear: impl FnOnce(&mut Records) -> Response) -> Response {
        let mut records = self.records.lock().unwrap();
        let trace = format!("00-{}-", self.assignment.run_id.to_string().replace('-', ""));
        assert!(
            headers.get("traceparent").unwrap().to_str().unwrap().starts_with(&trace),
            "calls are of the run's trace"
        );
        if call != "claim" {
            let token = format!("Bearer {}", records.token.as_deref().unwrap_or_default());
            assert_eq!(headers.get("authorization").unwrap(), &token);
        }
        let times = records.calls.entry(call.to_owned()).or_default();
        *times += 1;
        let trouble = (self.plan.lock().unwrap())(call, *times);
        let status = |code| StatusCode::from_u16(code).unwrap().into_response();
        let answer = match trouble {
            Trouble::None => hear(&mut records),
            Trouble::Before(code) => status(code),
            Trouble::After(code) => {
                hear(&mut records);
                status(code)
            }
        };
        drop(records);
        self.changed.send_replace(());
        answer
    }
}

/// After a message's id.
type After = Query<BTreeMap<String, String>>;

impl Records {
    fn messages_after(&self, after: &After) -> Vec<Message> {
        self.messages.iter().filter(|message| message.id > after["after"]).cloned().collect()
    }
}

fn reply(records: &Records) -> Response {
    axum::Json(records.reply.clone()).into_response()
}

async fn claim(State(heard): State<Arc<Heard>>, headers: HeaderMap, axum::Json(claim): axum::Json<Claim>) -> Response {
    assert_eq!(claim.claim_token, "ozc_claim");
    heard.answer("claim", &headers, |records| {
        let token = records.token.get_or_insert(claim.execution_token.clone());
        assert_eq!(*token, claim.execution_token, "a claim is repeated with the same token");
        axum::Json(&heard.assignment).into_response()
    })
}

async fn start(State(heard): State<Arc<Heard>>, headers: HeaderMap) -> Response {
    heard.answer("start", &headers, |records| {
        records.started = true;
        reply(records)
    })
}

async fn segment(
    State(heard): State<Arc<Heard>>,
    UrlPath((_, n)): UrlPath<(String, u32)>,
    after: After,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    heard.answer(&format!("segments/{n}"), &headers, |records| {
        assert!(records.report.is_none(), "nothing follows the report");
        assert!(n <= records.segments.keys().last().map_or(0, |last| *last) + 1, "segments come in order");
        records.bodies.push(unpack(&body));
        let stored = records.segments.entry(n).or_insert_with(|| body.to_vec());
        assert_eq!(*stored, body, "a segment is repeated with the same bytes");
        records.usage = headers.get(USAGE_HEADER).map(|usage| serde_json::from_slice(usage.as_bytes()).unwrap());
        records.after.clone_from(&after["after"]);
        let messages = !records.messages_after(&after).is_empty();
        axum::Json(Reply { messages, ..records.reply.clone() }).into_response()
    })
}

async fn part(
    State(heard): State<Arc<Heard>>,
    UrlPath((_, command, part)): UrlPath<(String, u32, u32)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    heard.answer(&format!("outputs/{command}/{part}"), &headers, |records| {
        records.bodies.push(unpack(&body));
        let stored = records.parts.entry((command, part)).or_insert_with(|| body.to_vec());
        assert_eq!(*stored, body, "a part is repeated with the same bytes");
        reply(records)
    })
}

async fn save_file(
    State(heard): State<Arc<Heard>>,
    UrlPath((_, n)): UrlPath<(String, u32)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    heard.answer(&format!("workspace/{n}"), &headers, |records| {
        records.bodies.push(unpack(&body));
        let stored = records.files.entry(n).or_insert_with(|| body.to_vec());
        assert_eq!(*stored, body, "a file is repeated with the same bytes");
        reply(records)
    })
}

async fn save_set(State(heard): State<Arc<Heard>>, headers: HeaderMap, body: Bytes) -> Response {
    heard.answer("workspace", &headers, |records| {
        let set: SavedSet = serde_json::from_slice(&body).unwrap();
        set.check().unwrap();
        for file in &set.files {
            let content = unpack(&records.files[&file.number]);
            assert_eq!(
                (content.len() as u64, hex::encode(Sha256::digest(&content))),
                (file.bytes, file.sha256.clone())
            );
        }
        assert!(records.report.is_none(), "nothing follows the report");
        records.bodies.push(body.to_vec());
        let stored = records.set.get_or_insert_with(|| set.clone());
        assert_eq!(*stored, set, "a set is repeated as it was");
        reply(records)
    })
}

async fn saved_file(
    State(heard): State<Arc<Heard>>,
    UrlPath((_, from, n)): UrlPath<(String, u32, u32)>,
    headers: HeaderMap,
) -> Response {
    assert_eq!(from, 1);
    heard.answer("saved", &headers, |records| match records.earlier.get(&n) {
        Some(gzip) => gzip.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

async fn messages(State(heard): State<Arc<Heard>>, after: After, headers: HeaderMap) -> Response {
    heard.answer("messages", &headers, |records| {
        axum::Json(Messages { messages: records.messages_after(&after) }).into_response()
    })
}

async fn aws_credentials(State(heard): State<Arc<Heard>>, headers: HeaderMap) -> Response {
    heard.answer("aws-credentials", &headers, |records| {
        let number = records.calls["aws-credentials"];
        match records.credentials.get(number - 1) {
            Some(life) => axum::Json(AwsCredentials {
                access_key_id: format!("{ACCESS_KEY_ID}{number}"),
                secret_access_key: format!("{SECRET_ACCESS_KEY}{number}"),
                token: format!("{SESSION_TOKEN}{number}"),
                expiration: Timestamp::now() + *life,
            })
            .into_response(),
            None => {
                let body = json!({"error": "no_role", "detail": "the role is \"out of reach\""});
                (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
            }
        }
    })
}

async fn pull_request(State(heard): State<Arc<Heard>>, headers: HeaderMap, body: Bytes) -> Response {
    let reported: Reported = serde_json::from_slice(&body).unwrap();
    heard.answer("pull-requests", &headers, |records| {
        assert!(records.report.is_none(), "nothing follows the report");
        records.bodies.push(body.to_vec());
        records.pull_requests.push(format!("{} {}", reported.url, reported.branch));
        reply(records)
    })
}

async fn finish(State(heard): State<Arc<Heard>>, headers: HeaderMap, body: Bytes) -> Response {
    let report: Report = serde_json::from_slice(&body).unwrap();
    heard.answer("finish", &headers, |records| {
        records.bodies.push(body.to_vec());
        records.report = Some(report);
        reply(records)
    })
}

fn unpack(gzip: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(gzip).read_to_end(&mut bytes).unwrap();
    bytes
}
