//! Answers: where a run was asked for, people are told how it stands, by one message, whatever is lost on the way.

pub(crate) mod services;
mod tokens;

use std::sync::{Arc, LazyLock};

use jiff::SignedDuration;
use ozma_app::accept::{NewRun, accept};
use ozma_app::cancel::cancel_all;
use ozma_app::ports::Vault as _;
use ozma_app::sweep::sweep;
use ozma_app::{answers, messages, webhooks};
use ozma_domain::delivery::{DeliverySource, EventSnapshot};
use ozma_domain::id::{AutomationId, DeliveryId, ExecutionId, RunId, WebhookId};
use ozma_domain::limits;
use ozma_domain::provider::{GitlabKind, Place, Provider};
use ozma_domain::webhook::WebhookConfig;
use ozma_domain::webhook_auth::{Scheme, WebhookAuth};
use ozma_store::Owed;
use ozma_tests::pem::private_key;
use ozma_tests::world::{AgentDouble, Fault, World, configs};
use secrecy::SecretString;
use serde_json::{Value, json};

use self::services::{Services, Spoiled, Written};

/// The key of an App.
pub(crate) static KEY: LazyLock<String> = LazyLock::new(private_key);

/// A world with a webhook that answers.
struct Outside {
    world: World,
    services: Services,
    webhook: WebhookId,
}

impl Outside {
    async fn of(provider: Provider) -> Self {
        let (world, services) = (World::new("build").await, Services::start().await);
        let (scheme, more) = match provider {
            Provider::Github => (Scheme::Github, json!({"app_id": 7})),
            Provider::Gitlab => (Scheme::Gitlab, json!({})),
            Provider::Jira => (Scheme::Jira, json!({"account": "oz@acme.example"})),
            Provider::Linear => (Scheme::Linear, json!({})),
            Provider::Slack => (Scheme::Slack, json!({})),
        };
        let mut connection = json!({"secret": "KEY", "url": services.url});
        connection.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let secret = "KEY".parse().expect("a name");
        let value = if provider == Provider::Github { KEY.as_str() } else { "token" };
        world.vault.put(&world.team, &secret, SecretString::from(value)).await.expect("a secret");
        let config = WebhookConfig {
            own: serde_json::from_value(json!({"logins": ["ozma[bot]"]})).expect("own"),
            connection: Some(serde_json::from_value(connection).expect("a connection")),
            ..configs::webhook(WebhookAuth::Signature { scheme })
        };
        let webhook = webhooks::create(&world.app, &world.team, config, None).await.expect("a webhook").id;
        Self { world, services, webhook }
    }

    async fn github() -> (Self, Place) {
        let place = Place::GithubItem { repository: "acme/web".to_owned(), number: 12 };
        (Self::of(Provider::Github).await, place)
    }

    /// Of the webhook, said at `place`.
    fn event(&self, place: &Place, commit: Option<&str>) -> EventSnapshot {
        EventSnapshot {
            delivery: DeliveryId::new(1, [1; 10]),
            source: DeliverySource::Webhook(self.webhook.clone()),
            automation: AutomationId::new([1; 16]),
            provider: Some(place.provider()),
            event: "issue.labeled".to_owned(),
            url: None,
            place: Some(place.clone()),
            commit: commit.map(str::to_owned),
            without_secrets: false,
            unknown_origin: None,
        }
    }

    /// A run that was asked for at `place`.
    async fn asked(&self, place: &Place, commit: Option<&str>) -> RunId {
        let event = self.event(place, commit);
        let new = NewRun { creator: "fixer".to_owned(), event: Some(event), ..self.world.new_run("true") };
        accept(&self.world.app, new).await.expect("accepted").run_id
    }

    /// Handles what is in the queue.
    async fn pump(&self) {
        self.world.pump().await;
    }

    async fn started(&self, run: RunId) -> AgentDouble {
        let agent = self.world.agent(run).await;
        agent.claim(&self.world).await.map(drop).expect("claimed");
        agent.start(&self.world).await.expect("started");
        agent
    }

    /// From what is in the queue to the end of the run.
    async fn lives(&self, run: RunId) {
        self.pump().await;
        let agent = self.started(run).await;
        self.pump().await;
        agent.finish(&self.world, 0).await.expect("finished");
        self.pump().await;
    }

    /// Time goes by: timers ring, and the sweep goes round.
    async fn waits(&self, seconds: i64) {
        self.world.clock.forward(SignedDuration::from_secs(seconds));
        let _ = sweep(&self.world.app, self.world.now()).await;
        self.pump().await;
    }

    fn texts(&self) -> Vec<String> {
        self.services.written().iter().map(text).collect()
    }

    async fn owes(&self, run: RunId) -> Vec<Owed> {
        let run = self.world.run(run).await;
        self.world.app.store.ended(&run).await.expect("a store").expect("an end").owed
    }

    async fn trouble(&self, run: RunId) -> String {
        let saved = self.world.app.store.answer(run).await.expect("a store").expect("an answer");
        saved.answer.trouble.expect("trouble").reason
    }
}

/// The line that says how it stands.
fn text(written: &Written) -> String {
    let body = &written.body;
    let text = match written.kind {
        "check" => body["output"]["title"].as_str(),
        "activity" => body["content"]["body"].as_str(),
        "message" | "ephemeral" => body["text"].as_str(),
        _ => body["body"].as_str().or_else(|| body["body"]["content"][0]["content"][0]["text"].as_str()),
    };
    let text = text.unwrap_or_else(|| panic!("{body:#}"));
    let line = text.lines().find(|line| !line.starts_with("<!--")).expect("a line");
    format!("{}: {line}", written.kind)
}

#[tokio::test]
async fn one_comment_is_edited_in_place_and_a_check_run_says_the_same() {
    let (outside, place) = Outside::github().await;
    let run = outside.asked(&place, Some("c0ffee")).await;
    answers::tell(&outside.world.app, run).await.unwrap();
    assert_eq!(outside.texts(), ["comment: ⏳ **fixer** is in the queue", "check: ⏳ fixer is in the queue"]);
    outside.pump().await;
    let agent = outside.started(run).await;
    outside.pump().await;
    assert_eq!(outside.texts(), ["comment: 🔧 **fixer** is at work", "check: 🔧 fixer is at work"]);
    agent.made(&outside.world, "https://github.com/acme/web/pull/13", "fix").await.unwrap();
    agent.finish(&outside.world, 0).await.unwrap();
    outside.pump().await;
    assert_eq!(outside.texts(), ["comment: ✅ **fixer** is done after 0s", "check: ✅ fixer is done after 0s"]);
    let [comment, check] = outside.services.written().try_into().unwrap();
    let body = comment.body["body"].as_str().unwrap();
    assert!(body.starts_with(&format!("<!-- ozma:run={run} -->\n")) && body.contains("\n> done\n"), "{body}");
    assert!(body.contains("\nPull request: <https://github.com/acme/web/pull/13>\n"), "{body}");
    assert_eq!((check.at.as_str(), &check.body["conclusion"]), ("c0ffee", &json!("success")));
    assert_eq!(outside.owes(run).await, []);
    // Nothing more is said however often somebody looks.
    let requests = outside.services.requests().len();
    answers::tell(&outside.world.app, run).await.unwrap();
    outside.waits(60).await;
    assert_eq!(outside.services.requests().len(), requests);
}

#[tokio::test]
async fn where_there_is_a_dashboard_an_answer_links_to_the_page_of_its_run() {
    let (mut outside, place) = Outside::github().await;
    Arc::make_mut(&mut outside.world.app.settings).public_url = Some("https://oz.example.com".parse().unwrap());
    let run = outside.asked(&place, Some("c0ffee")).await;
    outside.lives(run).await;
    let written = outside.services.written();
    let page = format!("https://oz.example.com/#/run/{run}");
    let last = |kind: &str| written.iter().rfind(|written| written.kind == kind).expect("said").body.clone();
    assert_eq!(last("check")["details_url"], json!(page));
    for text in [&last("comment")["body"], &last("check")["output"]["summary"]] {
        assert!(text.as_str().unwrap().ends_with(&format!("Run [`{run}`]({page}), see `oz run get {run}`")), "{text}");
    }
}

#[tokio::test]
async fn each_place_is_told_in_its_own_way() {
    let places = [
        (Place::GithubCommit { repository: "acme/web".to_owned(), sha: "c0ffee".to_owned() }, "check: ✅ fixer"),
        (Place::GitlabItem { project: 5, kind: GitlabKind::Issue, iid: 3, discussion: None }, "note: ✅ **fixer**"),
        (
            Place::GitlabItem { project: 5, kind: GitlabKind::MergeRequest, iid: 3, discussion: Some("d1".to_owned()) },
            "note: ✅ **fixer**",
        ),
        (Place::JiraIssue { issue: "WEB-12".to_owned() }, "comment: ✅ fixer"),
        (Place::LinearIssue { issue: "i-1".to_owned() }, "comment: ✅ **fixer**"),
        (
            Place::SlackThread { team: "T1".to_owned(), channel: "C1".to_owned(), thread: "17.4".to_owned() },
            "message: ✅ *fixer*",
        ),
        (Place::SlackChannel { team: "T1".to_owned(), channel: "C1".to_owned() }, "message: ✅ *fixer*"),
    ];
    for (place, expected) in places {
        let outside = Outside::of(place.provider()).await;
        let run = outside.asked(&place, None).await;
        outside.lives(run).await;
        let messages = if place.provider() == Provider::Slack { 2 } else { 1 };
        assert_eq!(outside.texts(), vec![format!("{expected} is done after 0s"); messages], "{place:?}");
        assert_eq!(outside.owes(run).await, [], "{place:?}");
    }
}

#[tokio::test]
async fn a_session_of_linear_sees_one_activity_for_each_step() {
    let outside = Outside::of(Provider::Linear).await;
    let run = outside.asked(&Place::LinearSession { session: "s-1".to_owned() }, None).await;
    outside.lives(run).await;
    let told: Vec<_> =
        outside.services.written().iter().map(|w| (w.body["content"]["type"].clone(), text(w))).collect();
    let expected = [
        (json!("thought"), "activity: ⏳ **fixer** is in the queue".to_owned()),
        (json!("thought"), "activity: 🔧 **fixer** is at work".to_owned()),
        (json!("response"), "activity: ✅ **fixer** is done after 0s".to_owned()),
    ];
    assert_eq!(told, expected);
}

/// Whatever one request comes to, in the end there is one of each, and it says how the run ended.
#[tokio::test]
async fn whatever_is_lost_at_a_provider_is_there_once() {
    let github = Place::GithubItem { repository: "acme/web".to_owned(), number: 12 };
    let slack = Place::SlackThread { team: "T1".to_owned(), channel: "C1".to_owned(), thread: "17.4".to_owned() };
    let jira = Place::JiraIssue { issue: "WEB-12".to_owned() };
    let gitlab = Place::GitlabItem { project: 5, kind: GitlabKind::Issue, iid: 3, discussion: None };
    let issue = Place::LinearIssue { issue: "i-1".to_owned() };
    for (place, commit, kinds) in [
        (github, Some("c0ffee"), &["comment", "check"][..]),
        (slack, None, &["message", "message"]),
        (jira, None, &["comment"]),
        (gitlab, None, &["note"]),
        (issue, None, &["comment"]),
    ] {
        let calm = Outside::of(place.provider()).await;
        let run = calm.asked(&place, commit).await;
        calm.lives(run).await;
        let requests = calm.services.requests().len();
        assert!(requests >= 3, "{place:?}");
        for spoiled in [Spoiled::ReplyLost, Spoiled::Status(500), Spoiled::Status(429)] {
            for nth in 1..=requests {
                let told = format!("{place:?}: {spoiled:?} {nth} of {requests}");
                let outside = Outside::of(place.provider()).await;
                outside.services.spoil(nth, spoiled);
                let run = outside.asked(&place, commit).await;
                outside.lives(run).await;
                for _ in 0..4 {
                    outside.waits(120).await;
                }
                assert!(outside.services.is_spoiled(), "{told}");
                let written = outside.services.written();
                assert_eq!(written.iter().map(|written| written.kind).collect::<Vec<_>>(), kinds, "{told}");
                assert!(outside.texts().iter().all(|text| text.contains("is done")), "{told}: {:?}", outside.texts());
                assert_eq!(outside.owes(run).await, [], "{told}");
            }
        }
    }
}

fn slack_thread() -> Place {
    Place::SlackThread { team: "T1".to_owned(), channel: "C1".to_owned(), thread: "17.4".to_owned() }
}

#[tokio::test]
async fn in_slack_each_end_is_told_by_a_message_of_its_own() {
    let channel = Place::SlackChannel { team: "T1".to_owned(), channel: "C1".to_owned() };
    for (place, thread) in [(slack_thread(), "17.4"), (channel, "100")] {
        let outside = Outside::of(Provider::Slack).await;
        let world = &outside.world;
        let run = outside.asked(&place, None).await;
        outside.lives(run).await;
        let [state, end] = outside.services.written().try_into().unwrap();
        let said = |written: &Written| written.body["text"].as_str().unwrap().to_owned();
        assert!(!said(&state).contains("> done") && said(&end).contains("\n> done\n"), "{state:?} {end:?}");
        assert_eq!(end.at, format!("C1/\"{thread}\""));
        assert_eq!(end.body["metadata"]["event_payload"]["run_id"], run.to_string());
        // It goes on, and what told the end stays.
        messages::send(&world.app, &world.team, run, "ann", "once more").await.unwrap();
        outside.pump().await;
        world.launcher.end(ExecutionId::new(run, 1));
        assert_eq!(outside.texts(), ["message: ⏳ *fixer* is in the queue", "message: ✅ *fixer* is done after 0s"]);
        // Its second end is that somebody has enough, before anything has begun.
        world.clock.forward(SignedDuration::from_secs(1));
        cancel_all(&world.app, &world.team, run, "ann").await.unwrap();
        outside.pump().await;
        // And its third.
        messages::send(&world.app, &world.team, run, "ann", "once more").await.unwrap();
        outside.pump().await;
        world.clock.forward(SignedDuration::from_secs(1));
        cancel_all(&world.app, &world.team, run, "ann").await.unwrap();
        outside.pump().await;
        let texts = outside.texts();
        let kinds: Vec<_> = texts.iter().map(|text| text.split_whitespace().nth(1).unwrap()).collect();
        assert_eq!(kinds, ["🚫", "✅", "🚫", "🚫"], "{texts:?}");
        for _ in 0..3 {
            outside.waits(60).await;
            answers::tell(&world.app, run).await.unwrap();
        }
        assert_eq!(outside.texts(), texts);
    }
}

#[tokio::test]
async fn in_slack_the_end_is_told_where_nothing_can_be_edited() {
    let outside = Outside::of(Provider::Slack).await;
    let run = outside.asked(&slack_thread(), None).await;
    outside.pump().await;
    let agent = outside.started(run).await;
    outside.pump().await;
    agent.finish(&outside.world, 0).await.unwrap();
    outside.services.spoil(1, Spoiled::Status(403));
    outside.pump().await;
    assert_eq!(outside.texts(), ["message: 🔧 *fixer* is at work", "message: ✅ *fixer* is done after 0s"]);
    assert_eq!(outside.owes(run).await, []);
}

/// The one who tells of an end in Slack dies at each of its own requests in turn.
#[tokio::test]
async fn whoever_tells_of_an_end_may_die_at_any_moment() {
    let ended = async || {
        let outside = Outside::of(Provider::Slack).await;
        let run = outside.asked(&slack_thread(), None).await;
        outside.pump().await;
        outside.started(run).await.finish(&outside.world, 0).await.unwrap();
        (run, outside)
    };
    let (run, calm) = ended().await;
    let before = calm.world.faults.requests();
    answers::tell(&calm.world.app, run).await.unwrap();
    let requests = calm.world.faults.requests() - before;
    assert!(requests >= 6, "{requests}");
    for (nth, fault) in Fault::each(requests) {
        let told = format!("{fault:?} {nth} of {requests}");
        let (run, outside) = ended().await;
        outside.world.faults.plan(nth, fault);
        let _ = answers::tell(&outside.world.app, run).await;
        assert!(!outside.world.faults.is_pending(), "{told}");
        for _ in 0..3 {
            outside.waits(limits::ANSWER_LEASE_SECONDS).await;
        }
        assert_eq!(outside.texts(), vec!["message: ✅ *fixer* is done after 0s"; 2], "{told}");
        assert_eq!(outside.owes(run).await, [], "{told}");
    }
}

/// The teller dies at each of its own requests in turn.
#[tokio::test]
async fn whoever_tells_may_die_at_any_moment() {
    let (calm, place) = Outside::github().await;
    let run = calm.asked(&place, None).await;
    let before = calm.world.faults.requests();
    answers::tell(&calm.world.app, run).await.unwrap();
    let requests = calm.world.faults.requests() - before;
    assert!(requests >= 6, "{requests}");
    for (nth, fault) in Fault::each(requests) {
        let told = format!("{fault:?} {nth} of {requests}");
        let (outside, place) = Outside::github().await;
        let run = outside.asked(&place, None).await;
        outside.world.faults.plan(nth, fault);
        let _ = answers::tell(&outside.world.app, run).await;
        assert!(!outside.world.faults.is_pending(), "{told}");
        outside.world.clock.forward(SignedDuration::from_secs(limits::ANSWER_LEASE_SECONDS));
        outside.lives(run).await;
        outside.waits(120).await;
        assert_eq!(outside.texts(), ["comment: ✅ **fixer** is done after 0s"], "{told}");
        assert_eq!(outside.owes(run).await, [], "{told}");
    }
}

#[tokio::test]
async fn of_many_who_tell_at_once_one_does_and_the_end_is_not_missed() {
    let (outside, place) = Outside::github().await;
    let run = outside.asked(&place, None).await;
    let tell = || answers::tell(&outside.world.app, run);
    let (a, b, c) = tokio::join!(tell(), tell(), tell());
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(outside.texts(), ["comment: ⏳ **fixer** is in the queue"]);
    // While one tells of the start, the run ends: whoever comes with the end leaves it to the one who is at it.
    outside.pump().await;
    let agent = outside.started(run).await;
    let ends = async {
        agent.finish(&outside.world, 0).await.unwrap();
        tell().await.unwrap();
    };
    let (told, ()) = tokio::join!(tell(), ends);
    told.unwrap();
    assert_eq!(outside.texts(), ["comment: ✅ **fixer** is done after 0s"]);
}

#[tokio::test]
async fn what_cannot_be_told_says_why_and_is_not_owed_for_ever() {
    // No secret any more: nothing changes that until somebody does something, and a follow-up has a try of its own.
    let (outside, place) = Outside::github().await;
    outside.world.vault.delete(&outside.world.team, &"KEY".parse().unwrap()).await.unwrap();
    let run = outside.asked(&place, None).await;
    outside.lives(run).await;
    assert_eq!(outside.trouble(run).await, "there is no secret KEY; create it with `oz secret create KEY`");
    assert_eq!((outside.texts().len(), outside.owes(run).await), (0, vec![]));

    // A provider that is down for too long.
    let (down, _) = Outside::github().await;
    let run = down.asked(&place, None).await;
    down.services.spoil(1, Spoiled::Status(503));
    let agent = {
        down.pump().await;
        down.started(run).await
    };
    agent.finish(&down.world, 0).await.unwrap();
    // Each look finds it still down.
    let mut looks = 0;
    while looks < 100 {
        let next = down.services.requests().len();
        down.services.spoil(1, Spoiled::Status(503));
        down.waits(600).await;
        looks += 1;
        if down.owes(run).await.is_empty() && down.services.requests().len() == next {
            break;
        }
    }
    assert_eq!(down.owes(run).await, []);
    assert!((36..60).contains(&looks), "{looks}");
    assert_eq!(down.trouble(run).await, "the provider refused with 503: no");
}

#[tokio::test]
async fn a_webhook_without_a_connection_tells_nobody() {
    let (outside, place) = Outside::github().await;
    let saved = outside.world.app.store.webhook(&outside.webhook).await.unwrap().unwrap();
    let config = WebhookConfig { connection: None, ..saved.webhook.config };
    webhooks::update(&outside.world.app, &outside.world.team, "acme", config).await.unwrap();
    let run = outside.asked(&place, None).await;
    outside.lives(run).await;
    assert_eq!((outside.services.requests().len(), outside.owes(run).await), (0, vec![]));
    assert_eq!(outside.world.app.store.answer(run).await.unwrap(), None);
    // Nor does one that was deleted.
    let (outside, place) = Outside::github().await;
    let run = outside.asked(&place, None).await;
    webhooks::delete(&outside.world.app, &outside.world.team, "acme").await.unwrap();
    outside.lives(run).await;
    assert!(outside.trouble(run).await.ends_with("was deleted"));
    assert_eq!(outside.owes(run).await, []);
}

#[tokio::test]
async fn who_deletes_our_comment_hears_no_more_and_a_follow_up_goes_on_in_place() {
    let (outside, place) = Outside::github().await;
    let run = outside.asked(&place, None).await;
    outside.lives(run).await;
    messages::send(&outside.world.app, &outside.world.team, run, "ann", "once more").await.unwrap();
    answers::tell(&outside.world.app, run).await.unwrap();
    assert_eq!(outside.texts(), ["comment: ⏳ **fixer** is in the queue"]);
    outside.services.delete_all();
    // The first agent is gone.
    outside.world.launcher.end(ExecutionId::new(run, 1));
    outside.lives(run).await;
    assert_eq!((outside.texts().len(), outside.owes(run).await), (0, vec![]));
}

#[tokio::test]
async fn somebody_is_told_something_else_where_they_asked() {
    let check = async |place: Place, person: Option<&str>, expected: &str| {
        let outside = Outside::of(place.provider()).await;
        let World { app, team, .. } = &outside.world;
        let delivery = DeliveryId::new(1, [2; 10]);
        answers::say(app, team, &outside.webhook, &place, person, "not you", delivery).await.unwrap();
        assert_eq!(outside.texts(), [format!("{expected}: not you")], "{place:?}");
        // What may be said later is an error, and what never can be is none.
        let requests = outside.services.requests().len();
        outside.services.spoil(1, Spoiled::Status(503));
        answers::say(app, team, &outside.webhook, &place, person, "not you", delivery).await.unwrap_err();
        assert_eq!(outside.services.requests().len(), requests + 1, "{place:?}");
        outside.services.spoil(1, Spoiled::Status(403));
        answers::say(app, team, &outside.webhook, &place, person, "not you", delivery).await.unwrap();
    };
    check(Place::GithubItem { repository: "acme/web".to_owned(), number: 12 }, None, "comment").await;
    check(Place::GitlabItem { project: 5, kind: GitlabKind::Issue, iid: 3, discussion: None }, None, "note").await;
    check(Place::JiraIssue { issue: "WEB-12".to_owned() }, None, "comment").await;
    check(Place::LinearSession { session: "s-1".to_owned() }, None, "activity").await;
    check(Place::LinearIssue { issue: "i-1".to_owned() }, None, "comment").await;
    let thread = || Place::SlackThread { team: "T1".to_owned(), channel: "C1".to_owned(), thread: "17.4".to_owned() };
    check(thread(), Some("U1"), "ephemeral").await;
    check(thread(), None, "message").await;
    check(Place::SlackChannel { team: "T1".to_owned(), channel: "C1".to_owned() }, Some("U1"), "ephemeral").await;
    // Where we are not they are told directly.
    let elsewhere = Place::SlackChannel { team: "T1".to_owned(), channel: "C0ELSEWHERE".to_owned() };
    check(elsewhere, Some("U1"), "message").await;
}

#[tokio::test]
async fn a_connection_that_cannot_be_is_refused_when_it_is_saved() {
    let (outside, _) = Outside::github().await;
    let saved = outside.world.app.store.webhook(&outside.webhook).await.unwrap().unwrap().webhook.config;
    let check = async |connection: Value, expected: &str| {
        let connection = Some(serde_json::from_value(connection).unwrap());
        let config = WebhookConfig { connection, ..saved.clone() };
        let told = webhooks::update(&outside.world.app, &outside.world.team, "acme", config).await;
        let told = told.map_or_else(|err| err.to_string(), |_| "ok".to_owned());
        assert!(told.starts_with(expected), "{told}");
    };
    check(json!({"secret": "KEY", "app_id": 7}), "ok").await;
    check(json!({"secret": "OTHER", "app_id": 7}), "connection.secret: there is no secret OTHER; create it first")
        .await;
    check(json!({"secret": "KEY"}), "connection.app_id: needed").await;
    let inside = json!({"secret": "KEY", "app_id": 7, "url": "https://169.254.169.254/latest"});
    check(inside, "connection.url: 169.254.169.254 is").await;
    check(json!({"secret": "KEY", "app_id": 7, "url": "http://git.example.com"}), "connection.url: has to begin").await;
}
