//! Lost events: GitHub tries each once. What did not arrive is asked for again, and starts what it should have started.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use ozma_app::answers::look_for_lost;
use ozma_app::ports::Vault as _;
use ozma_app::sweep::sweep;
use ozma_app::webhooks;
use ozma_domain::redelivery::Look;
use ozma_domain::webhook::WebhookConfig;
use ozma_domain::webhook_auth::Scheme;
use ozma_tests::world::{ClockDouble, Fault};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answers::KEY;
use crate::outside::Outside;

const LABELED: &str = include_str!("../../../events/github/issues-labeled.json");

/// A GitHub that has a log of what it delivered. What it is asked to deliver again is delivered by whoever tests.
#[derive(Clone)]
struct Github {
    url: String,
    clock: Arc<ClockDouble>,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    attempts: Vec<Attempt>,
    /// Events of which another attempt was asked for and is to be made.
    asked: Vec<String>,
    hook: Option<String>,
    requests: usize,
    /// The request of that number is not answered with what it is done; the flag says if it is done.
    spoiled: Option<(usize, bool)>,
}

struct Attempt {
    guid: String,
    at: Timestamp,
    status: u16,
}

#[derive(Deserialize)]
struct Page {
    cursor: Option<usize>,
}

impl Github {
    async fn start(clock: Arc<ClockDouble>, hook: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let log = Log { hook: Some(hook.to_owned()), ..Log::default() };
        let github = Self { url, clock, log: Arc::new(Mutex::new(log)) };
        let router = Router::new().fallback(serve).with_state(github.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        github
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tried(&self, guid: &str, status: u16) {
        self.log().attempts.push(Attempt { guid: guid.to_owned(), at: self.clock.time(), status });
    }

    /// Two attempts to a page, newest first.
    fn page(&self, from: usize) -> Response {
        let log = self.log();
        let page = log.attempts.iter().enumerate().rev().skip(from).take(2).map(|(id, attempt)| {
            json!({
                "id": id, "guid": attempt.guid, "delivered_at": attempt.at, "status_code": attempt.status,
                "event": "issues", "action": "labeled",
            })
        });
        let page = axum::Json(page.collect::<Value>());
        if from + 2 >= log.attempts.len() {
            return page.into_response();
        }
        let next = format!("<{}/app/hook/deliveries?cursor={}>; rel=\"next\"", self.url, from + 2);
        ([("link", next)], page).into_response()
    }

    fn answer(&self, method: &Method, path: &str, from: usize) -> Response {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method.as_str(), &parts[..]) {
            ("GET", ["app", "hook", "config"]) => axum::Json(json!({"url": self.log().hook})).into_response(),
            ("GET", ["app", "hook", "deliveries"]) => self.page(from),
            ("POST", ["app", "hook", "deliveries", id, "attempts"]) => {
                let mut log = self.log();
                let guid = log.attempts[id.parse::<usize>().expect("a number")].guid.clone();
                log.asked.push(guid);
                (StatusCode::ACCEPTED, axum::Json(json!({}))).into_response()
            }
            _ => panic!("nobody knows {method} {path}"),
        }
    }
}

async fn serve(State(github): State<Github>, method: Method, uri: Uri, Query(page): Query<Page>) -> Response {
    if !uri.path().starts_with("/app/hook/") {
        // The App is installed nowhere: nobody is told how runs stand.
        return (StatusCode::NOT_FOUND, axum::Json(json!({"message": "Not Found"}))).into_response();
    }
    let spoiled = {
        let mut log = github.log();
        log.requests += 1;
        let number = log.requests;
        log.spoiled.take_if(|(at, _)| *at == number).map(|(_, is_done)| is_done)
    };
    if spoiled == Some(false) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let answer = github.answer(&method, uri.path(), page.cursor.unwrap_or(0));
    if spoiled == Some(true) { StatusCode::BAD_GATEWAY.into_response() } else { answer }
}

struct Story {
    outside: Outside,
    github: Github,
}

impl Story {
    async fn begin() -> Self {
        let outside = Outside::of(Scheme::Github).await;
        outside.listens("fix", json!({"events": ["issue.labeled"]})).await;
        let world = &outside.world;
        let hook = format!("https://oz.example/webhooks/{}", outside.webhook.id);
        let github = Github::start(world.clock.clone(), &hook).await;
        world.vault.put(&world.team, &"KEY".parse().unwrap(), KEY.as_str().into()).await.expect("a secret");
        let story = Self { outside, github };
        let connection = json!({"secret": "KEY", "app_id": 7, "url": story.github.url});
        story.change(|config| config.connection = Some(serde_json::from_value(connection).unwrap())).await;
        story
    }

    async fn change(&self, change: impl FnOnce(&mut WebhookConfig)) {
        let world = &self.outside.world;
        let mut config = webhooks::find(&world.app, &world.team, "acme").await.expect("a webhook").config;
        change(&mut config);
        webhooks::update(&world.app, &world.team, "acme", config).await.expect("changed");
    }

    /// GitHub delivers what it is to, each event under its id.
    async fn deliver(&self, guid: &str) {
        // Each event is one of its own.
        let body = LABELED.replacen("\"action\"", &format!("\"nth\": \"{guid}\", \"action\""), 1);
        let (status, _) = self.outside.post(guid, &[("x-github-event", "issues")], &body).await;
        self.github.tried(guid, status);
    }

    /// It cannot, because nobody is there.
    fn lose(&self, guid: &str) {
        self.github.tried(guid, 502);
    }

    /// What GitHub was asked to deliver again.
    async fn redeliver(&self) {
        let asked = std::mem::take(&mut self.github.log().asked);
        for guid in asked {
            self.deliver(&guid).await;
        }
    }

    fn clock(&self, by: SignedDuration) {
        self.outside.world.clock.forward(by);
    }

    /// Ten minutes later: the sweep, and what is in the queue.
    async fn sweep(&self) {
        let world = &self.outside.world;
        self.clock(SignedDuration::from_mins(10));
        let _ = sweep(&world.app, world.now()).await;
        world.pump().await;
    }

    /// The same, and what comes of it.
    async fn round(&self) {
        self.sweep().await;
        self.redeliver().await;
    }

    /// An hour, at whose end is a round in which nothing that was asked for arrives: how much that was.
    async fn round_in_vain(&self) -> usize {
        self.clock(SignedDuration::from_mins(50));
        self.sweep().await;
        let asked = std::mem::take(&mut self.github.log().asked);
        asked.iter().for_each(|guid| self.lose(guid));
        asked.len()
    }

    async fn look(&self) -> Look {
        let world = &self.outside.world;
        world.app.store.look(&self.outside.webhook.id).await.expect("a store").expect("somebody looked")
    }
}

#[tokio::test]
async fn what_did_not_arrive_is_asked_for_and_starts_what_it_should_have_started() {
    let story = Story::begin().await;
    story.deliver("event-1").await;
    for guid in ["event-2", "event-3", "event-4"] {
        story.lose(guid);
    }
    assert_eq!(story.outside.runs().await.len(), 1);
    story.round().await;
    assert_eq!(story.outside.runs().await.len(), 4);
    let look = story.look().await;
    assert_eq!((look.lost, look.asked, look.given_up, look.trouble), (3, 3, 0, None));
    // The next look finds that all is well, and looks back no further than it has to.
    story.round().await;
    let look = story.look().await;
    assert_eq!((look.lost, look.asked, look.given_up, look.trouble), (0, 0, 0, None));
    assert_eq!(look.looked_at.duration_since(look.arrived_until), SignedDuration::from_mins(5));
    assert_eq!(story.outside.runs().await.len(), 4);
}

#[tokio::test]
async fn an_outage_of_a_day_loses_nothing_and_what_never_arrives_is_given_up() {
    let story = Story::begin().await;
    story.lose("event-1");
    let mut asked = 0;
    for _ in 0..24 {
        asked += story.round_in_vain().await;
    }
    assert!((6..12).contains(&asked), "{asked} attempts in a day");
    for _ in 0..6 {
        story.clock(SignedDuration::from_hours(1));
        story.round().await;
    }
    assert_eq!(story.outside.runs().await.len(), 1);
    assert_eq!(story.look().await.lost, 0);
    // An event that is refused each time.
    story.lose("event-2");
    for _ in 0..70 {
        story.round_in_vain().await;
    }
    let attempts = story.github.log().attempts.iter().filter(|attempt| attempt.guid == "event-2").count();
    assert_eq!(attempts, 13);
    let look = story.look().await;
    assert_eq!((look.asked, look.lost, look.given_up), (0, look.given_up, look.lost));
}

/// Each request of a look fails in turn: to GitHub, done or not, and to the table, or its answer. In the end each event has its
/// run.
#[tokio::test]
async fn whatever_is_lost_each_event_starts_one_run() {
    let begun = async || {
        let story = Story::begin().await;
        story.deliver("event-1").await;
        story.lose("event-2");
        story.lose("event-3");
        story.clock(SignedDuration::from_mins(5));
        story
    };
    let look = async |story: &Story| {
        let world = &story.outside.world;
        look_for_lost(&world.app, &world.team, &story.outside.webhook.id).await
    };
    let calm = begun().await;
    let before = calm.outside.world.faults.requests();
    look(&calm).await.unwrap();
    let (asked, requests) = (calm.github.log().requests, calm.outside.world.faults.requests() - before);
    assert_eq!((asked, requests), (5, 3), "requests to GitHub and to the table");
    let check = async |story: Story, what: &str| {
        story.redeliver().await;
        for _ in 0..2 {
            story.round().await;
        }
        assert_eq!(story.outside.runs().await.len(), 3, "{what}");
        assert_eq!((story.look().await.lost, story.look().await.trouble), (0, None), "{what}");
    };
    for nth in 1..=asked {
        for is_done in [false, true] {
            let story = begun().await;
            story.github.log().spoiled = Some((nth, is_done));
            look(&story).await.unwrap();
            assert!(story.look().await.trouble.is_some(), "request {nth}");
            check(story, &format!("request {nth} to GitHub, done: {is_done}")).await;
        }
    }
    for nth in 1..=requests {
        for fault in Fault::ALL {
            let story = begun().await;
            story.outside.world.faults.plan(nth, fault);
            let _ = look(&story).await;
            check(story, &format!("{fault:?} of request {nth} to the table")).await;
        }
    }
}

#[tokio::test]
async fn many_who_look_at_once_start_nothing_twice() {
    let story = Story::begin().await;
    story.lose("event-1");
    let world = &story.outside.world;
    world.clock.forward(SignedDuration::from_mins(10));
    let looks = (0..4).map(|_| look_for_lost(&world.app, &world.team, &story.outside.webhook.id));
    assert!(join_all(looks).await.iter().all(Result::is_ok));
    assert!(story.github.log().asked.len() > 1);
    story.redeliver().await;
    assert_eq!(story.outside.runs().await.len(), 1);
}

#[tokio::test]
async fn nothing_is_asked_for_where_that_would_be_wrong_or_cannot_be() {
    let check = async |story: Story, trouble: Option<&str>| {
        story.lose("event-1");
        story.round().await;
        let look = story.look().await;
        assert_eq!((look.asked, look.trouble.as_deref()), (0, trouble));
        assert!(story.outside.runs().await.is_empty());
        story
    };
    let elsewhere = Story::begin().await;
    elsewhere.github.log().hook = Some("https://ci.example/hook".to_owned());
    let said =
        "the App sends its events to https://ci.example/hook and not to this webhook: what is lost of them is not seen";
    check(elsewhere, Some(said)).await;
    let nowhere = Story::begin().await;
    nowhere.github.log().hook = None;
    let said = "the App sends its events nowhere and not to this webhook: what is lost of them is not seen";
    check(nowhere, Some(said)).await;
    let without = Story::begin().await;
    let world = &without.outside.world;
    world.vault.delete(&world.team, &"KEY".parse().unwrap()).await.unwrap();
    check(without, Some("there is no secret KEY; create it with `oz secret create KEY`")).await;
    // While a webhook is paused, what comes is not wanted; nor is it after that.
    let paused = Story::begin().await;
    paused.change(|config| config.paused = true).await;
    let paused = check(paused, None).await;
    paused.change(|config| config.paused = false).await;
    for _ in 0..3 {
        paused.round().await;
    }
    assert!(paused.outside.runs().await.is_empty());
    // A webhook that nobody can be asked about is not looked after.
    let other = Story::begin().await;
    other.change(|config| config.connection = None).await;
    other.lose("event-1");
    other.round().await;
    assert_eq!(other.github.log().requests, 0);
}
