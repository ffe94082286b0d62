//! Webhooks from end to end: what services really send, what it starts, and what the log says of it.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use jiff::SignedDuration;
use ozma_app::ports::Vault as _;
use ozma_app::receive::{finish, replay, try_out};
use ozma_app::sweep::sweep;
use ozma_app::{automations, deliveries, resources, webhooks};
use ozma_domain::automation::{Automation, AutomationConfig};
use ozma_domain::delivery::{OwedState, Verdict};
use ozma_domain::environment::{Environment, EnvironmentConfig};
use ozma_domain::harness::HarnessKind;
use ozma_domain::id::RunId;
use ozma_domain::outcome::Outcome;
use ozma_domain::protocol::Report;
use ozma_domain::run::RunSource;
use ozma_domain::scheduling::{Concurrency, KeyPolicy};
use ozma_domain::trigger::Source;
use ozma_domain::webhook::{Webhook, WebhookConfig};
use ozma_domain::webhook_auth::{Scheme, WebhookAuth};
use ozma_store::SavedDelivery;
use ozma_tests::deliveries::{Sum, deliver};
use ozma_tests::world::configs::{self, template};
use ozma_tests::world::{Fault, World};
use secrecy::SecretString;
use serde_json::{Value, json};
use tower::ServiceExt as _;

const LABELED: &str = include_str!("../../../events/github/issues-labeled.json");

/// A world with a webhook of GitHub.
struct Outside {
    world: World,
    webhook: Webhook,
    secret: String,
}

impl Outside {
    async fn of(auth: WebhookAuth) -> Self {
        let world = World::new("build").await;
        let config = WebhookConfig {
            deliveries_per_minute: Some(100_000),
            own: serde_json::from_value(json!({"logins": ["ozma[bot]"], "mention": "@oz"})).unwrap(),
            ..configs::webhook(auth)
        };
        let webhook = webhooks::create(&world.app, &world.team, config, None).await.expect("a webhook");
        let secret = webhooks::made_here(&world.app, &webhook).map(|s| s.expose().to_owned()).unwrap_or_default();
        Self { world, webhook, secret }
    }

    async fn github() -> Self {
        Self::of(WebhookAuth::Signature { scheme: Scheme::Github }).await
    }

    /// An automation that listens to the webhook.
    async fn listens(&self, name: &str, trigger: Value) -> Automation {
        let mut config = automation(name, "true");
        config.trigger = serde_json::from_value(trigger).expect("a trigger");
        config.trigger.on = Some(Source::Webhook(self.webhook.id.clone()));
        self.create(config).await
    }

    async fn create(&self, config: AutomationConfig) -> Automation {
        automations::create(&self.world.app, &self.world.team, config).await.expect("an automation")
    }

    /// Status, body and the seconds of `Retry-After` of a delivery to an address.
    async fn post(&self, path: &str, headers: &[(&str, String)], body: &str) -> (u16, Value, Option<String>) {
        let mut request = Request::post(format!("/webhooks/{path}"));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let router = ozma_webhook::router(Arc::new(self.world.app.clone()));
        let response = router.oneshot(request).await.expect("an answer");
        let status = response.status().as_u16();
        let retry = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        (status, serde_json::from_slice(&bytes).expect("JSON"), retry)
    }

    /// What GitHub sends, signed by the secret of the webhook.
    async fn deliver(&self, event: &str, id: &str, body: &str) -> (u16, Value) {
        let auth = self.webhook.config.auth;
        let secret = auth.parse_secret(&self.secret).expect("a secret");
        let headers = auth.headers(&secret, id, self.world.now(), body.as_bytes()).expect("headers");
        let mut headers: Vec<(&str, String)> = headers.into_iter().collect();
        headers.push(("x-github-event", event.to_owned()));
        let (status, answer, _) = self.post(self.webhook.id.as_str(), &headers, body).await;
        (status, answer)
    }

    /// The runs that a delivery of GitHub is answered with, by their automations.
    async fn started(&self, event: &str, id: &str, body: &str) -> Vec<(String, RunId)> {
        let (status, answer) = self.deliver(event, id, body).await;
        assert_eq!(status, 202, "{answer}");
        let runs = answer["runs"].as_array().expect("a list").iter();
        runs.map(|run| {
            let id = run["run_id"].as_str().unwrap().parse().unwrap();
            (run["automation"].as_str().unwrap().to_owned(), id)
        })
        .collect()
    }

    async fn log(&self) -> Vec<SavedDelivery> {
        let wanted = deliveries::Wanted { limit: 100, ..Default::default() };
        deliveries::list(&self.world.app, &self.world.team, &wanted).await.expect("a log")
    }

    async fn runs(&self) -> usize {
        self.world.app.store.latest_requests(&self.world.team, None, 100_000).await.expect("a store").len()
    }
}

fn automation(name: &str, prompt: &str) -> AutomationConfig {
    AutomationConfig {
        name: name.to_owned(),
        paused: false,
        template: template(prompt, HarnessKind::Shell),
        trigger: Default::default(),
        weight: None,
        runs_per_hour: None,
        budget: Default::default(),
    }
}

/// Somebody whom the payloads of the documentation do not show to belong to the repository.
fn anybody() -> Value {
    json!({"logins": ["Codertocat"]})
}

/// The payload with its issue's number changed, so that it is another event.
fn labeled(number: u64) -> String {
    let mut payload: Value = serde_json::from_str(LABELED).unwrap();
    payload["issue"]["number"] = number.into();
    payload.to_string()
}

#[tokio::test]
async fn one_event_starts_every_automation_that_takes_it_and_the_log_says_why_not_the_others() {
    let outside = Outside::github().await;
    outside.listens("fix", json!({"events": ["issue.labeled"], "allow": anybody()})).await;
    outside.listens("all", json!({"allow": anybody()})).await;
    outside.listens("closed", json!({"events": ["issue.closed"], "allow": anybody()})).await;
    outside.listens("filtered", json!({"filter": {"label": {"name": "agent"}}, "allow": anybody()})).await;
    outside.listens("strangers", json!({"allow": {"associations": []}})).await;
    let mut provider = automation("any-github", "true");
    provider.trigger = serde_json::from_value(json!({"on": {"provider": "github"}, "allow": anybody()})).unwrap();
    outside.create(provider).await;
    let mut paused = automation("paused", "true");
    paused.paused = true;
    paused.trigger.on = Some(Source::Webhook(outside.webhook.id.clone()));
    outside.create(paused).await;
    outside.create(automation("elsewhere", "true")).await;

    let started = outside.started("issues", "d-1", LABELED).await;
    let names: Vec<&str> = started.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["all", "any-github", "fix"]);
    let [SavedDelivery { delivery, .. }] = outside.log().await.try_into().unwrap();
    assert_eq!((delivery.event.as_str(), delivery.sender_id.as_str()), ("issue.labeled", "d-1"));
    assert!(delivery.url.as_deref().unwrap().ends_with("/Codertocat/Hello-World/issues/1"));
    let left: Vec<String> = delivery.left.iter().map(|left| format!("{}: {}", left.name, left.why)).collect();
    insta::assert_snapshot!(left.join("\n"), @r"
    closed: it takes issue.closed alone
    filtered: its filter does not match
    paused: it is paused
    strangers: Codertocat is OWNER of the repository, and may not start runs; some providers show members whose membership is private so, who can be listed by login
    ");

    // What each run knows of the event.
    let (_, run) = &started[2];
    let request = outside.world.app.store.request(&outside.world.team, *run).await.unwrap().unwrap();
    assert_eq!((request.creator.as_str(), request.source), ("fix", RunSource::GithubWebhook));
    assert_eq!(request.title, "fix: Spelling error in the README file");
    assert_eq!(request.metadata["ticket_id"], "Codertocat/Hello-World#1");
    outside.world.drain().await;
    let assignment = outside.world.agent(*run).await.claim(&outside.world).await.expect("claimed");
    let event = assignment.event.expect("an event");
    assert_eq!(
        (event.provider.as_str(), event.name.as_str(), event.payload.as_str()),
        ("github", "issue.labeled", LABELED)
    );
}

#[tokio::test]
async fn what_comes_again_is_the_same_delivery() {
    let outside = Outside::github().await;
    outside.listens("fix", json!({"allow": anybody()})).await;
    let first = outside.started("issues", "d-1", LABELED).await;
    let (status, again) = outside.deliver("issues", "d-1", LABELED).await;
    assert_eq!((status, again["duplicate"].as_bool()), (202, Some(true)));
    assert_eq!(again["run_id"].as_str().unwrap(), first[0].1.to_string());
    outside.world.clock.forward(SignedDuration::from_hours(70));
    assert_eq!(outside.started("issues", "d-1", LABELED).await, first);
    assert_eq!(outside.log().await[0].repeats, 2);
    // The id is not signed by GitHub, so that it is bound to its body.
    let (status, other) = outside.deliver("issues", "d-1", &labeled(2)).await;
    assert_eq!((status, other["error"].as_str()), (409, Some("conflict")));
    assert_ne!(outside.started("issues", "d-2", LABELED).await, first);
    assert_eq!(outside.runs().await, 2);
}

#[tokio::test]
async fn our_own_doing_and_what_nothing_uses_start_nothing() {
    let outside = Outside::github().await;
    outside.listens("fix", json!({"allow": anybody()})).await;
    let mut own: Value = serde_json::from_str(LABELED).unwrap();
    own["sender"]["login"] = "ozma[bot]".into();
    assert!(outside.started("issues", "d-1", &own.to_string()).await.is_empty());
    assert!(outside.log().await[0].delivery.left[0].why.starts_with("it comes from Ozma itself"));
    let ping = include_str!("../../../events/github/ping.json");
    assert!(outside.started("ping", "d-2", ping).await.is_empty());
    assert!(matches!(&outside.log().await[0].delivery.verdict, Verdict::NotUsed(why) if why.contains("set up")));
    // Signed by GitHub and not of its form.
    let (status, answer) = outside.deliver("issues", "d-3", r#"{"action": "labeled"}"#).await;
    assert_eq!((status, answer["error"].as_str()), (400, Some("malformed")), "{answer}");
    assert_eq!(outside.runs().await, 0);
}

#[tokio::test]
async fn one_object_starts_so_many_runs_in_an_hour_and_no_more() {
    let outside = Outside::github().await;
    outside.listens("fix", json!({"allow": anybody(), "runs_per_object": 2})).await;
    for id in ["d-1", "d-2"] {
        assert_eq!(outside.started("issues", id, LABELED).await.len(), 1);
    }
    assert!(outside.started("issues", "d-3", LABELED).await.is_empty());
    let log = outside.log().await;
    let state = &log[0].delivery.runs[0].state;
    assert!(
        matches!(state, OwedState::Refused { reason, again: false } if reason.contains("is it a loop?")),
        "{state:?}"
    );
    // Another issue is another thing, and the next hour another hour.
    assert_eq!(outside.started("issues", "d-4", &labeled(2)).await.len(), 1);
    outside.world.clock.forward(SignedDuration::from_hours(1));
    assert_eq!(outside.started("issues", "d-5", LABELED).await.len(), 1);
    assert!(outside.started("issues", "d-3", LABELED).await.is_empty(), "what was refused as a loop stays so");
}

#[tokio::test]
async fn a_new_push_supersedes_the_run_of_the_one_before() {
    let outside = Outside::github().await;
    let mut config = automation("review", "true");
    config.trigger =
        serde_json::from_value(json!({"on": {"webhook": outside.webhook.id}, "allow": anybody()})).unwrap();
    config.template.scheduling.concurrency =
        Some(Concurrency { key: "review {item}".to_owned(), policy: KeyPolicy::Supersede });
    outside.create(config).await;
    let body = include_str!("../../../events/github/pull_request-synchronize.json");
    let [(_, first)] = outside.started("pull_request", "d-1", body).await.try_into().unwrap();
    let [(_, second)] = outside.started("pull_request", "d-2", body).await.try_into().unwrap();
    outside.world.pump().await;
    assert_eq!(outside.world.state(first).await, "CANCELLED");
    assert_ne!(outside.world.state(second).await, "CANCELLED");
    assert_eq!(outside.world.run(second).await.key.as_deref(), Some("review Codertocat/Hello-World#2"));
}

#[tokio::test]
async fn code_of_a_fork_gets_no_secrets_unless_somebody_says_so() {
    let outside = Outside::github().await;
    let world = &outside.world;
    let token = "TOKEN".parse().unwrap();
    world.vault.put(&world.team, &token, SecretString::from("hush")).await.unwrap();
    let config = EnvironmentConfig { name: "web".to_owned(), secrets: vec![token], ..EnvironmentConfig::default() };
    let web = resources::create::<Environment>(&world.app, &world.team, config).await.unwrap();
    let mut trusting = json!({"on": {"webhook": outside.webhook.id}, "allow": anybody()});
    let mut config = automation("wary", "true");
    config.template.environment = Some(web.uid.clone());
    config.trigger = serde_json::from_value(trusting.clone()).unwrap();
    outside.create(config.clone()).await;
    trusting["allow"]["fork_secrets"] = true.into();
    config.trigger = serde_json::from_value(trusting).unwrap();
    config.name = "trusting".to_owned();
    outside.create(config).await;

    let mut fork: Value =
        serde_json::from_str(include_str!("../../../events/github/pull_request-opened.json")).unwrap();
    fork["pull_request"]["head"]["repo"]["id"] = 7.into();
    let started = outside.started("pull_request", "d-1", &fork.to_string()).await;
    world.drain().await;
    let mut told = Vec::new();
    for (name, run) in &started {
        let assignment = world.agent(*run).await.claim(world).await.expect("claimed");
        told.push((
            name.as_str(),
            assignment.secrets.len(),
            assignment.notices.iter().any(|n| n.starts_with("no secrets")),
        ));
    }
    assert_eq!(told, [("trusting", 1, false), ("wary", 0, true)]);
}

#[tokio::test]
async fn five_failures_in_a_row_pause_an_automation() {
    let outside = Outside::github().await;
    let fix = outside.listens("fix", json!({"allow": anybody()})).await;
    let world = &outside.world;
    for n in 1..=5 {
        let [(_, run)] = outside.started("issues", &format!("d-{n}"), &labeled(n)).await.try_into().unwrap();
        world.pump().await;
        let agent = world.agent(run).await;
        agent.claim(world).await.map(drop).expect("claimed");
        agent.start(world).await.expect("started");
        let outcome = Outcome::failed(ozma_domain::failure::FailureClass::TaskFailed, "exit code 1");
        agent.report(world, &Report { outcome, last_segment: 0, usage: None }).await.expect("reported");
        world.pump().await;
    }
    let paused = automations::find(&world.app, &world.team, fix.id.as_str()).await.unwrap();
    assert!(paused.config.paused && paused.paused_because.unwrap().starts_with("its last 5 runs failed"));
    assert!(outside.started("issues", "d-6", &labeled(6)).await.is_empty());
    automations::update(&world.app, &world.team, "fix", fix.config).await.unwrap();
    assert_eq!(outside.started("issues", "d-7", &labeled(7)).await.len(), 1);
}

#[tokio::test]
async fn a_delivery_is_replayed_to_whoever_listens_now_and_tried_without_starting_anything() {
    let outside = Outside::github().await;
    let world = &outside.world;
    assert!(outside.started("issues", "d-1", LABELED).await.is_empty());
    let id = outside.log().await[0].delivery.id;
    let fix = outside.listens("fix", json!({"filter": {"action": "labeled"}, "allow": anybody()})).await;
    let tried = try_out(&world.app, &world.team, &fix.config, id).await.unwrap().unwrap();
    assert!(tried.starts && tried.secrets && tried.conditions[0].holds, "{tried:?}");
    let mut claude = fix.config.clone();
    claude.template.harness = HarnessKind::Claude;
    claude.template.prompt = "Fix {{ event.issue.number }}: {{ event.issue.title }} {{ event.nothing }}".to_owned();
    claude.trigger.filter = serde_json::from_value(json!({"action": "closed"})).unwrap();
    let tried = try_out(&world.app, &world.team, &claude, id).await.unwrap().unwrap();
    assert_eq!((tried.starts, tried.why.as_deref()), (false, Some("its filter does not match")));
    assert!(tried.prompt.unwrap().starts_with("Fix 1: <untrusted source=\"event.issue.title\" provider=\"github\""));
    assert_eq!(tried.absent, ["event.nothing"]);
    assert_eq!(outside.runs().await, 0);

    for n in 1..=2 {
        let again = replay(&world.app, &world.team, id).await.unwrap().unwrap();
        assert_eq!((again.runs().len(), again.duplicate, again.delivery.replay_of), (1, false, Some(id)));
        assert_eq!(outside.runs().await, n);
    }
}

#[tokio::test]
async fn what_cannot_be_believed_is_logged_without_its_body_and_within_a_budget() {
    let outside = Outside::github().await;
    outside.listens("fix", json!({"allow": anybody()})).await;
    let address = outside.webhook.id.as_str();
    let wrong = |n: u8| vec![("x-hub-signature-256", format!("sha256={n:064x}"))];
    let (status, answer, _) = outside.post(address, &wrong(0), LABELED).await;
    assert_eq!((status, answer["error"].as_str()), (401, Some("unverified")));
    let (status, _, _) = outside.post(address, &[], LABELED).await;
    assert_eq!(status, 401);
    let (status, _, _) = outside.post(address, &wrong(0), &"x".repeat(1024 * 1024 + 1)).await;
    assert_eq!(status, 413);
    let log = outside.log().await;
    let told: Vec<_> = log.iter().map(|row| row.delivery.verdict.clone()).collect();
    assert!(matches!(&told[0], Verdict::Rejected { status: 413, .. }), "{told:?}");
    assert!(told[1..].iter().all(|verdict| matches!(verdict, Verdict::Rejected { status: 401, .. })), "{told:?}");
    assert_eq!(deliveries::body(&outside.world.app, &log[0].delivery).await.unwrap(), None);
    assert!(replay(&outside.world.app, &outside.world.team, log[0].delivery.id).await.unwrap().is_none());
    let mut last = (0, None);
    for n in 0..60 {
        let (status, _, retry) = outside.post(address, &wrong(n), LABELED).await;
        last = (status, retry);
    }
    assert_eq!(last, (429, Some("60".to_owned())));
    assert_eq!(outside.log().await.len(), 60);
    // Whoever can sign is not kept out by whoever cannot.
    assert_eq!(outside.started("issues", "d-1", LABELED).await.len(), 1);
}

#[tokio::test]
async fn an_address_takes_so_many_deliveries_in_a_minute() {
    let outside = Outside::github().await;
    let config = WebhookConfig { deliveries_per_minute: Some(2), ..outside.webhook.config.clone() };
    webhooks::update(&outside.world.app, &outside.world.team, "acme", config).await.unwrap();
    for id in ["d-1", "d-2"] {
        assert_eq!(outside.deliver("issues", id, LABELED).await.0, 202);
    }
    let (status, answer) = outside.deliver("issues", "d-3", LABELED).await;
    assert_eq!((status, answer["error"].as_str()), (429, Some("too_many")));
    outside.world.clock.forward(SignedDuration::from_mins(1));
    assert_eq!(outside.deliver("issues", "d-3", LABELED).await.0, 202);
}

#[tokio::test]
async fn a_token_in_the_address_and_one_in_the_header_do_for_senders_of_ones_own() {
    for auth in [WebhookAuth::Token, WebhookAuth::UrlToken] {
        let outside = Outside::of(auth).await;
        outside.listens("deploy", json!({"filter": {"ok": true}})).await;
        let in_path = auth == WebhookAuth::UrlToken;
        let (address, secret) = (outside.webhook.id.as_str(), &outside.secret);
        let path = if in_path { format!("{address}/{secret}") } else { address.to_owned() };
        let mut headers = vec![("x-oz-delivery-id", "mine-1".to_owned())];
        if !in_path {
            headers.push(("authorization", format!("Bearer {secret}")));
        }
        let (status, answer, _) = outside.post(&path, &headers, r#"{"ok": true}"#).await;
        assert_eq!((status, answer["runs"].as_array().unwrap().len()), (202, 1), "{answer}");
        let (status, again, _) = outside.post(&path, &headers, r#"{"ok": true}"#).await;
        assert_eq!((status, &again["run_id"]), (202, &answer["run_id"]));
        for broken in [r#"{"ok": true"#, r#"{"ok": true, "ok": false}"#, ""] {
            assert_eq!(outside.post(&path, &headers[1..], broken).await.0, 400, "{broken}");
        }
        let (status, _, _) = outside.post(address, &headers[..1], "{}").await;
        assert_eq!(status, 401);
    }
}

#[tokio::test]
async fn a_webhook_whose_service_makes_the_secret_takes_nothing_before_it_is_told() {
    let mut outside = Outside::of(WebhookAuth::Signature { scheme: Scheme::Stripe }).await;
    outside.listens("bill", json!({})).await;
    outside.secret = "whsec_of_stripe".to_owned();
    let body = r#"{"id": "evt_1", "type": "invoice.paid"}"#;
    assert_eq!(outside.deliver("", "", body).await.0, 404);
    webhooks::rotate(&outside.world.app, &outside.world.team, "acme", Some("whsec_of_stripe")).await.unwrap();
    let (status, first) = outside.deliver("", "", body).await;
    assert_eq!((status, first["duplicate"].as_bool()), (202, Some(false)));
    // Each attempt has a time and a signature of its own; the id is in the body.
    outside.world.clock.forward(SignedDuration::from_hours(1));
    let (status, again) = outside.deliver("", "", body).await;
    assert_eq!((status, again["duplicate"].as_bool(), &again["run_id"]), (202, Some(true), &first["run_id"]));
}

/// GitHub does not deliver again by itself: what whoever took it left half done is the sweep's.
#[tokio::test]
async fn whatever_is_lost_after_a_delivery_is_written_its_runs_are_started_once() {
    let calm = Outside::github().await;
    for name in ["one", "two"] {
        calm.listens(name, json!({"allow": anybody()})).await;
    }
    let before = calm.world.faults.requests();
    calm.deliver("issues", "d-1", LABELED).await;
    let requests = calm.world.faults.requests() - before;
    assert!(requests > 8, "the story is told: {requests} requests");
    let mut finished = 0;
    for (nth, fault) in Fault::each(requests) {
        let outside = Outside::github().await;
        for name in ["one", "two"] {
            outside.listens(name, json!({"allow": anybody()})).await;
        }
        outside.world.faults.plan(nth, fault);
        let (status, _) = outside.deliver("issues", "d-1", LABELED).await;
        assert!(matches!(status, 202 | 500), "{fault:?} at request {nth}: {status}");
        outside.world.clock.forward(SignedDuration::from_secs(61));
        sweep(&outside.world.app, outside.world.now()).await.expect("swept");
        let written = !outside.log().await.is_empty();
        finished += usize::from(written && status == 500);
        assert_eq!(outside.runs().await, if written { 2 } else { 0 }, "{fault:?} at request {nth}");
        // And whoever delivers it again finds the same.
        assert_eq!(outside.started("issues", "d-1", LABELED).await.len(), 2, "{fault:?} at request {nth}");
        assert_eq!(outside.runs().await, 2, "{fault:?} at request {nth}");
    }
    assert!(finished > 4, "the sweep had something to finish: {finished}");
}

#[tokio::test]
async fn two_who_go_on_with_one_delivery_start_its_runs_once() {
    let outside = Outside::github().await;
    outside.listens("fix", json!({"allow": anybody()})).await;
    outside.started("issues", "d-1", LABELED).await;
    let mut saved = outside.log().await.remove(0);
    // As if nobody had noted what became of it.
    saved.delivery.runs[0].state = OwedState::Owed;
    let finished = finish(&outside.world.app, saved).await.unwrap();
    assert_eq!(finished.delivery.runs[0].state, OwedState::Started);
    assert_eq!(outside.runs().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_that_come_several_times_at_once_make_as_many_runs_as_there_are_events() {
    // `oz-bench deliveries` does so with ten thousand.
    let Sum { events, attempts, died, runs, .. } = deliver(300, 7).await;
    assert!(attempts > 2 * events && died > 10, "{attempts} attempts, {died} died");
    assert_eq!(runs, events);
}

#[tokio::test]
async fn slack_is_answered_its_challenge_and_its_forms_and_events_are_read_without_what_nobody_is_to_have() {
    let mut outside = Outside::of(WebhookAuth::Signature { scheme: Scheme::Slack }).await;
    outside.secret = "8f742231b10e8888abcd99yyyzzz85a5".to_owned();
    webhooks::rotate(&outside.world.app, &outside.world.team, "acme", Some(&outside.secret)).await.unwrap();
    outside.listens("chat", json!({"allow": {"logins": ["U0AAN"]}})).await;
    let auth = outside.webhook.config.auth;
    let secret = auth.parse_secret(&outside.secret).unwrap();
    let signed = |body: &str, form: bool| {
        let mut headers: Vec<(&str, String)> =
            auth.headers(&secret, "", outside.world.now(), body.as_bytes()).unwrap().into_iter().collect();
        let kind = if form { "application/x-www-form-urlencoded" } else { "application/json; charset=utf-8" };
        headers.push(("content-type", kind.to_owned()));
        headers
    };
    let address = outside.webhook.id.as_str();
    let challenge = json!({"type": "url_verification", "token": "x", "challenge": "3eZbrw1aB"}).to_string();
    let mut request = Request::post(format!("/webhooks/{address}"));
    for (name, value) in signed(&challenge, false) {
        request = request.header(name, value);
    }
    let router = ozma_webhook::router(Arc::new(outside.world.app.clone()));
    let response = router.oneshot(request.body(Body::from(challenge)).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(to_bytes(response.into_body(), usize::MAX).await.unwrap(), "3eZbrw1aB");
    assert!(outside.log().await.is_empty());

    let form = "token=gIkuv&team_id=T0001&team_domain=acme&channel_id=C2147483705&channel_name=test&user_id=U0AAN\
        &user_name=ann&command=%2Foz&text=run+fix+the+build&api_app_id=A123\
        &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT0001%2F1%2FsEcReT&trigger_id=13345224609.738474920.8088930838d88f008e0";
    let (status, answer, _) = outside.post(address, &signed(form, true), form).await;
    assert_eq!((status, answer["response_type"].as_str()), (200, Some("ephemeral")), "{answer}");
    assert!(answer["text"].as_str().unwrap().starts_with("Started chat (run "), "{answer}");
    let log = outside.log().await;
    assert_eq!((log[0].delivery.event.as_str(), log[0].delivery.runs.len()), ("slash_command", 1));
    let kept = deliveries::body(&outside.world.app, &log[0].delivery).await.unwrap().unwrap();
    let kept = String::from_utf8(kept).unwrap();
    assert!(kept.contains("run fix the build"), "{kept}");
    assert!(!["sEcReT", "gIkuv", "738474920"].iter().any(|secret| kept.contains(secret)), "{kept}");
}

#[tokio::test]
async fn github_may_send_forms() {
    let outside = Outside::github().await;
    outside.listens("fix", json!({"allow": anybody()})).await;
    let encoded: String = LABELED.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let body = format!("payload={encoded}");
    let auth = outside.webhook.config.auth;
    let secret = auth.parse_secret(&outside.secret).unwrap();
    let mut headers: Vec<(&str, String)> = auth.headers(&secret, "d-1", outside.world.now(), body.as_bytes()).unwrap();
    headers.push(("x-github-event", "issues".to_owned()));
    headers.push(("content-type", "application/x-www-form-urlencoded".to_owned()));
    let (status, answer, _) = outside.post(outside.webhook.id.as_str(), &headers, &body).await;
    assert_eq!((status, answer["runs"].as_array().map(Vec::len)), (202, Some(1)), "{answer}");
}
