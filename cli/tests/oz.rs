//! The command as a whole, against a control plane that is played.

use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::process::Command;

const RUN: &str = "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10";
const AT: &str = "2026-11-21T00:00:00Z";

/// A request as it arrived: method, path with query, `Idempotency-Key`, body.
#[derive(Clone, Debug)]
struct Seen {
    line: String,
    key: Option<String>,
    authorization: Option<String>,
    body: Value,
}

type Answer = (u16, Value);
type Play = Arc<dyn Fn(&Seen, usize) -> Answer + Send + Sync>;

/// A control plane that answers by a script. The second argument counts the same request line.
struct Stage {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stage {
    async fn set(play: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (play, log): (Play, _) = (Arc::new(play), seen.clone());
        let app = Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let (play, log) = (play.clone(), log.clone());
            async move { answer(&play, &log, &method, &uri, &headers, &body).await }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, seen }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oz"));
        command
            .env_clear()
            .env("OZ_API_BASE_URL", format!("http://{}/api/v1", self.address))
            .env("OZ_API_KEY", "ozk_k");
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    async fn oz(&self, args: &[&str]) -> Told {
        Told::from(self.command(args).output().await.unwrap())
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

async fn answer(
    play: &Play,
    log: &Arc<Mutex<Vec<Seen>>>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let seen = Seen {
        line: format!("{method} {}", uri.to_string().trim_start_matches("/api/v1/agent")),
        key: header("idempotency-key"),
        authorization: header("authorization"),
        body: serde_json::from_slice(body).unwrap_or_default(),
    };
    let times = {
        let mut log = log.lock().unwrap();
        log.push(seen.clone());
        log.iter().filter(|earlier| earlier.line == seen.line).count()
    };
    // A long poll with nothing to say.
    let (status, body) = play(&seen, times);
    if status == 0 {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let status = StatusCode::from_u16(if status == 0 { 200 } else { status }).unwrap();
    (status, axum::Json(body)).into_response()
}

struct Told {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Told {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

fn run(state: &str, more: &Value) -> Value {
    let mut run = json!({
        "run_id": RUN, "task_id": RUN, "title": "cargo test", "state": state, "prompt": "cargo test",
        "created_at": AT, "updated_at": "2026-11-21T00:00:04Z",
    });
    run.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    run
}

fn problem(status: u16, code: &str, detail: &str) -> Answer {
    let kind = format!("https://ozma.dev/errors/{code}");
    (
        status,
        json!({"type": kind, "title": "No", "status": status, "error": "No", "detail": detail, "retryable": false}),
    )
}

fn page(events: &Value, next: &str, state: &str, ended: bool) -> Answer {
    (200, json!({"events": events, "next": next, "state": state, "ended": ended}))
}

/// A run that prints a line on both streams and ends in `state`.
fn plays(state: &'static str) -> impl Fn(&Seen, usize) -> Answer {
    move |seen, times| match (seen.line.split('?').next().unwrap(), times) {
        ("POST /runs", 1) => (503, json!({})),
        ("POST /runs", _) => (200, json!({"run_id": RUN, "task_id": RUN, "state": "QUEUED"})),
        (line, _) if line == format!("GET /runs/{RUN}/events") => {
            if seen.line.contains("after=2") {
                page(&json!([]), "2", state, true)
            } else if seen.line.contains("after=1") {
                let events = json!([
                    {"event": 1, "at": AT, "type": "state", "state": "CLAIMED", "prev": "00"},
                    {"event": 2, "at": AT, "type": "state", "state": "INPROGRESS", "prev": "00"},
                    {"event": 3, "at": AT, "type": "command.started", "command": 1, "phase": "task", "argv": ["bash"], "cwd": "/"},
                    {"event": 4, "at": AT, "type": "output", "command": 1, "stream": "stdout", "text": "hello\n"},
                    {"event": 5, "at": AT, "type": "output", "command": 1, "stream": "stderr", "text": "warning\n"},
                    {"event": 6, "at": AT, "type": "from.the.future", "x": 1},
                ]);
                page(&events, "2", "INPROGRESS", false)
            } else {
                page(&json!([]), "1", "QUEUED", false)
            }
        }
        (line, _) if line == format!("GET /runs/{RUN}") && times == 1 => {
            (200, run("QUEUED", &json!({"queue": {"position": 3, "at_least": false}})))
        }
        (line, _) if line == format!("GET /runs/{RUN}") => {
            (200, run(state, &json!({"status_message": {"message": "exit code 1"}, "isolation": "bubblewrap"})))
        }
        _ => problem(404, "resource_not_found", "not in this play"),
    }
}

#[tokio::test]
async fn a_run_is_shown_live_and_its_words_kept_apart() {
    let stage = Stage::set(plays("SUCCEEDED")).await;
    let told = stage.oz(&["run", "--task", "cargo test", "--timeout", "10m", "--repo", "acme/web"]).await;
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "hello\n"), "{}", told.stderr);
    insta::assert_snapshot!(told.stderr, @r"
Run ID: 019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10
queued
queued, number 3 in line
preparing
running
warning
✔ succeeded in 4.0 s · isolated by bubblewrap
  audit    oz audit show 019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10
");
    let created: Vec<Seen> = stage.seen().into_iter().filter(|seen| seen.line == "POST /runs").collect();
    // The first try was refused with 503; the second is the same request.
    assert_eq!(created.len(), 2);
    assert!(created[0].key.is_some() && created[0].key == created[1].key);
    assert_eq!(created[1].authorization.as_deref(), Some("Bearer ozk_k"));
    insta::assert_snapshot!(created[1].body.to_string(), @r#"{"config":{"deadline_seconds":600,"harness":{"type":"shell"},"repositories":[{"url":"https://github.com/acme/web"}]},"prompt":"cargo test"}"#);
}

#[tokio::test]
async fn the_exit_code_is_the_runs() {
    for (state, code) in [("FAILED", 3), ("ERROR", 4), ("CANCELLED", 5)] {
        let stage = Stage::set(plays(state)).await;
        let told = stage.oz(&["run", "--task", "x"]).await;
        assert_eq!(told.code, Some(code), "{state}: {}", told.stderr);
        assert!(told.stderr.contains("exit code 1"), "{}", told.stderr);
    }
}

#[tokio::test]
async fn programs_read_lines_or_one_document() {
    let stage = Stage::set(plays("SUCCEEDED")).await;
    let told = stage.oz(&["run", "--task", "x", "--output-format", "ndjson"]).await;
    let types: Vec<String> = told
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| line["event_type"].as_str().or(line["type"].as_str()).unwrap().to_owned())
        .collect();
    insta::assert_snapshot!(types.join(" "), @"run_started state state state command.started output output from.the.future run_ended");

    let stage = Stage::set(plays("SUCCEEDED")).await;
    let told = stage.oz(&["run", "--task", "x", "--output-format", "json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&told.stdout).unwrap()["state"], "SUCCEEDED");
    assert_eq!(told.stderr, "");
}

#[tokio::test]
async fn detached_runs_print_their_id_alone() {
    let stage = Stage::set(plays("SUCCEEDED")).await;
    let told = stage.oz(&["run", "--task", "x", "--detach", "--idempotency-key", "k1"]).await;
    assert_eq!((told.code, told.stdout), (Some(0), format!("{RUN}\n")));
    assert!(stage.seen().iter().all(|seen| seen.key.as_deref() == Some("k1")));
}

#[tokio::test]
async fn an_interrupt_cancels_where_nobody_can_be_asked() {
    let cancelled = Arc::new(Mutex::new(false));
    let flag = cancelled.clone();
    let stage = Stage::set(move |seen, times| match seen.line.split('?').next().unwrap() {
        "POST /runs" => (200, json!({"run_id": RUN, "task_id": RUN, "state": "QUEUED"})),
        line if line == format!("POST /runs/{RUN}/cancel") => {
            if times == 1 {
                return problem(409, "conflict", "it is being prepared");
            }
            *flag.lock().unwrap() = true;
            (200, json!(RUN))
        }
        line if line == format!("GET /runs/{RUN}/events") && *flag.lock().unwrap() => {
            page(&json!([]), "1", "CANCELLED", true)
        }
        line if line == format!("GET /runs/{RUN}/events") => (0, page(&json!([]), "1", "PENDING", false).1),
        line if line == format!("GET /runs/{RUN}") => (200, run("CANCELLED", &json!({}))),
        _ => problem(404, "resource_not_found", "not in this play"),
    })
    .await;
    let child = stage.command(&["run", "--task", "sleep 100"]).spawn().unwrap();
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    while !stage.lines().iter().any(|line| line.contains("/events")) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let told = Told::from(child.wait_with_output().await.unwrap());
    assert_eq!(told.code, Some(130), "{}", told.stderr);
    assert!(*cancelled.lock().unwrap());
    assert!(told.stderr.contains("cancelled in 4.0 s"), "{}", told.stderr);
}

#[tokio::test]
async fn lists_are_collected_over_pages() {
    let stage = Stage::set(|seen, _| {
        let more = seen.line.contains("cursor=c1");
        let page_info =
            if more { json!({"has_next_page": false}) } else { json!({"has_next_page": true, "next_cursor": "c1"}) };
        (200, json!({"runs": [run("FAILED", &json!({"title": "one\u{1b}[31m\ntwo"}))], "page_info": page_info}))
    })
    .await;
    let told = stage
        .oz(&["run", "list", "-L", "3", "--state", "failed", "--sort-by", "created-at", "--metadata", "a b=c"])
        .await;
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let lines: Vec<&str> = told.stdout.lines().map(|line| line.get(..58).unwrap_or(line).trim_end()).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
RUN                                   STATE   TITLE
019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10  FAILED  one [31m two
019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10  FAILED  one [31m two
");
    insta::assert_snapshot!(stage.lines().join("\n"), @r"
GET /runs?state=FAILED&metadata%5Ba+b%5D=c&sort_by=created_at&limit=3
GET /runs?state=FAILED&metadata%5Ba+b%5D=c&sort_by=created_at&limit=2&cursor=c1
");
}

#[tokio::test]
async fn errors_are_a_line_and_a_hint() {
    let stage = Stage::set(|_, _| problem(401, "authentication_required", "the key is not known")).await;
    let told = stage.oz(&["whoami"]).await;
    assert_eq!((told.code, told.stdout.as_str()), (Some(1), ""));
    insta::assert_snapshot!(told.stderr, @r"
error: No: the key is not known
hint: give a valid API key of that control plane in OZ_API_KEY
");

    let nobody = Stage { address: "127.0.0.1:9".parse().unwrap(), seen: Arc::default() };
    let told = nobody.oz(&["run", "get", RUN]).await;
    assert_eq!(told.code, Some(1));
    assert!(
        told.stderr.starts_with("error: cannot reach the control plane at http://127.0.0.1:9/api/v1/"),
        "{}",
        told.stderr
    );
    assert!(told.stderr.ends_with("hint: start it with `oz up`\n"), "{}", told.stderr);
}

#[tokio::test]
async fn a_secret_comes_from_standard_input_without_its_line_end() {
    let stage = Stage::set(|_, _| (200, json!({"name": "NPM_TOKEN", "created_at": AT, "updated_at": AT}))).await;
    let mut child = stage.command(&["secret", "create", "NPM_TOKEN"]).stdin(Stdio::piped()).spawn().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut child.stdin.take().unwrap(), b"hunter22\n").await.unwrap();
    let told = Told::from(child.wait_with_output().await.unwrap());
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "Stored  NPM_TOKEN\n"), "{}", told.stderr);
    assert_eq!(stage.seen()[0].line, "PUT /secrets/NPM_TOKEN");
    assert_eq!(stage.seen()[0].body, json!({"value": "hunter22"}));
}

#[tokio::test]
async fn waiting_ends_as_the_first_that_did_not_succeed() {
    let stage = Stage::set(|_, times| {
        let state = ["INPROGRESS", "SUCCEEDED", "FAILED"][(times - 1).min(2)];
        (200, run(state, &json!({})))
    })
    .await;
    let told = stage.oz(&["run", "wait", RUN, RUN]).await;
    assert_eq!(told.code, Some(3), "{}", told.stderr);
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let runs: Vec<Value> = (0..2_000).map(|_| run("FAILED", &json!({}))).collect();
    let stage = Stage::set(move |_, _| (200, json!({"runs": runs, "page_info": {"has_next_page": false}}))).await;
    let mut child = stage.command(&["run", "list", "--output-format", "ndjson"]).spawn().unwrap();
    drop(child.stdout.take());
    let told = Told::from(child.wait_with_output().await.unwrap());
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""));
}
