//! People of Slack, who may by the address that Slack has of them: looked up once, and decided by from then on.

use jiff::SignedDuration;
use ozma_app::ports::Vault as _;
use ozma_app::receive::{replay, try_out};
use ozma_app::sweep::sweep;
use ozma_app::webhooks;
use ozma_domain::delivery::{OwedState, Owes};
use ozma_domain::identity::Identity;
use ozma_domain::webhook::WebhookConfig;
use ozma_domain::webhook_auth::Scheme;
use ozma_tests::world::{Fault, World};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::answers::services::{Services, Spoiled};
use crate::outside::{ANN, Outside, THREAD, is_asking, mentioned};

/// Somebody whose address is of another domain.
const STRANGER: &str = "U0STRANGER";

/// Slack, and a webhook that may speak to it.
struct Workspace {
    outside: Outside,
    services: Services,
}

impl Workspace {
    /// With an automation that takes what people of example.com say.
    async fn new() -> Self {
        let workspace = Self::without_automations().await;
        workspace.outside.listens("fix", by_address()).await;
        workspace
    }

    async fn without_automations() -> Self {
        let (outside, services) = (Outside::of(Scheme::Slack).await, Services::start().await);
        let (app, team) = (&outside.world.app, &outside.world.team);
        outside.world.vault.put(team, &"KEY".parse().unwrap(), SecretString::from("xoxb")).await.expect("a secret");
        let connection = Some(serde_json::from_value(json!({"secret": "KEY", "url": services.url})).unwrap());
        let config = WebhookConfig { connection, ..outside.webhook.config.clone() };
        webhooks::update(app, team, "acme", config).await.expect("a connection");
        services.knows(ANN, profile(Some("Ann@Example.com")));
        services.knows(STRANGER, profile(Some("mallory@elsewhere.example")));
        Self { outside, services }
    }

    async fn pump(&self) {
        self.outside.world.pump().await;
    }

    fn look_ups(&self) -> usize {
        self.services.requests().iter().filter(|request| *request == "GET /users.info").count()
    }

    /// What somebody was told that nobody else sees.
    fn told(&self, person: &str) -> Vec<String> {
        let written = self.services.written().into_iter();
        let theirs = written.filter(|written| written.kind == "ephemeral" && written.body["user"] == person);
        theirs.map(|written| written.body["text"].as_str().expect("a text").to_owned()).collect()
    }

    async fn why(&self) -> String {
        self.outside.latest().await.left.remove(0).why
    }
}

fn profile(email: Option<&str>) -> Value {
    json!({"ok": true, "user": {"is_email_confirmed": true, "profile": {"email": email}}})
}

fn by_address() -> Value {
    json!({"events": ["app_mention", "message_posted", "slash_command"], "allow": {"emails": ["*@example.com"]}})
}

#[tokio::test]
async fn who_speaks_first_is_looked_up_and_known_for_a_day() {
    let workspace = Workspace::new().await;
    let outside = &workspace.outside;
    let (status, answer) = outside.mention(ANN, THREAD, None, "fix the login").await;
    assert_eq!((status, answer["runs"].as_array().map(Vec::len)), (202, Some(0)), "{answer}");
    assert!(is_asking(&outside.latest().await));
    // Delivered again meanwhile, it waits as well.
    let (_, answer) = outside.mention(ANN, THREAD, None, "fix the login").await;
    assert_eq!(answer["duplicate"], true);
    workspace.pump().await;
    let [run] = outside.runs().await.try_into().unwrap();
    let delivery = outside.latest().await;
    assert_eq!((&delivery.runs[0].state, &delivery.identity), (&OwedState::Started, &Some(Identity::Known)));
    assert!(delivery.is_done() && delivery.reply.is_none());
    // From now on it is decided at once.
    let (_, answer) = outside.mention(ANN, "1785310300.000100", Some(THREAD), "and the logout").await;
    assert_eq!(answer["followed_up"][0]["run_id"].as_str(), Some(run.to_string().as_str()), "{answer}");
    let (_, answer) = outside.mention(ANN, "1785310310.000100", None, "fix the footer").await;
    assert_eq!(answer["runs"].as_array().map(Vec::len), Some(1), "{answer}");
    workspace.pump().await;
    assert_eq!(workspace.look_ups(), 1);
    // A day later she may be somebody else.
    outside.world.clock.forward(SignedDuration::from_hours(24));
    workspace.services.knows(ANN, profile(Some("ann@elsewhere.example")));
    outside.mention(ANN, "1785310320.000100", None, "fix the header").await;
    assert!(is_asking(&outside.latest().await));
    workspace.pump().await;
    assert_eq!((workspace.look_ups(), outside.runs().await.len()), (2, 2));
    assert_eq!(workspace.told(ANN).len(), 1);
}

#[tokio::test]
async fn a_stranger_is_refused_politely_and_looked_up_once() {
    let workspace = Workspace::new().await;
    let outside = &workspace.outside;
    for (n, person) in [STRANGER, "U0NOADDRESS", STRANGER, "U0NOADDRESS"].into_iter().enumerate() {
        workspace.services.knows("U0NOADDRESS", profile(None));
        outside.mention(person, &format!("17853103{n:02}.000100"), None, "fix the login").await;
        assert_eq!(is_asking(&outside.latest().await), n < 2, "{person} {n}");
        workspace.pump().await;
        let delivery = outside.latest().await;
        assert!(delivery.is_done() && delivery.runs.is_empty(), "{delivery:?}");
        assert!(delivery.left[0].why.starts_with("the event does not say what U0"), "{delivery:?}");
    }
    assert_eq!((workspace.look_ups(), outside.runs().await.len()), (2, 0));
    let [told] = workspace.told(STRANGER).try_into().unwrap();
    assert_eq!(
        told,
        "Sorry, U0STRANGER, I may not take work from you here. Who may: people who are listed, by their id or by the address of \
         their profile. To be let in, ask whoever looks after me to list `U0STRANGER` (`oz automation update NAME --allow-login \
         U0STRANGER`)."
    );
    assert_eq!(workspace.told("U0NOADDRESS").len(), 1);
}

#[tokio::test]
async fn nobody_is_looked_up_where_it_changes_nothing() {
    let workspace = Workspace::without_automations().await;
    let outside = &workspace.outside;
    let filter = json!({"event": {"text": {"contains": "deploy"}}});
    let mut trigger = by_address();
    trigger["filter"] = filter;
    outside.listens("deploy", trigger).await;
    outside.listens("listed", json!({"events": ["app_mention"], "allow": {"logins": [ANN]}})).await;
    let mut commands = by_address();
    commands["events"] = json!(["slash_command"]);
    outside.listens("commands", commands).await;
    // Who is listed, a bot, our own bot, and a stranger to whom it would not listen anyway.
    for (n, person) in [ANN, "USLACKBOT", "U0442US8QGH", STRANGER].into_iter().enumerate() {
        outside.mention(person, &format!("17853103{n:02}.000100"), None, "fix the login").await;
        let delivery = outside.latest().await;
        assert!(delivery.is_done() && delivery.identity.is_none(), "{person}: {delivery:?}");
    }
    // Somebody of another workspace.
    let mut body: Value =
        serde_json::from_str(&mentioned("app_mention", "U0ELSEWHERE", "1785310310.1", None, "")).unwrap();
    body["event"]["user_team"] = "T0ELSEWHERE".into();
    body["event"]["text"] = "<@U0442US8QGH> deploy".into();
    outside.post("", &[("content-type", "application/json")], &body.to_string()).await;
    assert!(outside.latest().await.identity.is_none());
    workspace.pump().await;
    assert_eq!((workspace.look_ups(), outside.runs().await.len()), (0, 1));
    // Nor by a webhook that speaks to nobody.
    let (app, team) = (&outside.world.app, &outside.world.team);
    webhooks::update(app, team, "acme", outside.webhook.config.clone()).await.unwrap();
    outside.mention(STRANGER, "1785310320.000100", None, "deploy").await;
    assert!(outside.latest().await.is_done());
}

#[tokio::test]
async fn without_the_scope_it_is_decided_without_the_address_and_says_so() {
    let workspace = Workspace::new().await;
    let outside = &workspace.outside;
    workspace.services.knows(ANN, json!({"ok": false, "error": "missing_scope", "needed": "users:read.email"}));
    outside.mention(ANN, THREAD, None, "fix the login").await;
    workspace.pump().await;
    let why = "the address that slack has of U043H11ES4V could not be looked up: the provider refused with 200: missing_scope: \
               the app needs users:read.email; add it and install the app again";
    assert_eq!(workspace.why().await, why);
    let [told] = workspace.told(ANN).try_into().unwrap();
    assert!(told.contains("The address of your profile could not be looked up. To be let in, ask"), "{told}");
    // For a minute nobody asks again.
    outside.mention(ANN, "1785310300.000100", None, "fix the login").await;
    assert_eq!((workspace.why().await.as_str(), outside.latest().await.identity), (why, None));
    assert!(outside.command(ANN, "run fix the login").await.contains("could not be looked up."));
    workspace.services.knows(ANN, profile(Some("ann@example.com")));
    workspace.outside.waits(60).await;
    outside.mention(ANN, "1785310310.000100", None, "fix the login").await;
    workspace.pump().await;
    assert_eq!((workspace.look_ups(), outside.runs().await.len()), (2, 1));
    // A word is refused so, too.
    workspace.services.knows("U0THIRD", json!({"ok": false, "error": "missing_scope", "needed": "users:read"}));
    outside.mention("U0THIRD", "1785310320.000100", Some("1785310310.000100"), "stop").await;
    workspace.pump().await;
    let done = outside.latest().await.told.unwrap().done.unwrap();
    assert!(done.starts_with("U0THIRD may not say that to this run; the address that slack has of U0THIRD"), "{done}");
    // A token that was revoked, and one that is gone.
    for revoked in [true, false] {
        let workspace = Workspace::new().await;
        if revoked {
            workspace.services.knows(ANN, json!({"ok": false, "error": "token_revoked"}));
        } else {
            let World { vault, team, .. } = &workspace.outside.world;
            vault.delete(team, &"KEY".parse().unwrap()).await.unwrap();
        }
        workspace.outside.mention(ANN, THREAD, None, "fix the login").await;
        workspace.pump().await;
        let why = workspace.why().await;
        assert!(
            why.contains(if revoked { "does not take our credentials" } else { "there is no secret KEY" }),
            "{why}"
        );
    }
}

/// Whatever request to the table or the archive is lost, whoever is at it.
#[tokio::test]
async fn whatever_is_lost_one_run_is_started() {
    let story = async |workspace: &Workspace| {
        let status = workspace.outside.mention(ANN, THREAD, None, "fix the login").await.0;
        assert!(matches!(status, 202 | 500), "{status}");
        workspace.pump().await;
    };
    let calm = Workspace::new().await;
    let before = calm.outside.world.faults.requests();
    story(&calm).await;
    let requests = calm.outside.world.faults.requests() - before;
    assert!(requests > 30, "the story is told: {requests} requests");
    for (nth, fault) in Fault::each(requests) {
        let told = format!("{fault:?} at request {nth} of {requests}");
        let workspace = Workspace::new().await;
        let outside = &workspace.outside;
        outside.world.faults.plan(nth, fault);
        story(&workspace).await;
        workspace.outside.waits(61).await;
        workspace.outside.waits(61).await;
        assert_eq!(outside.mention(ANN, THREAD, None, "fix the login").await.0, 202, "{told}");
        workspace.pump().await;
        assert_eq!(outside.runs().await.len(), 1, "{told}");
        let delivery = outside.latest().await;
        assert_eq!((delivery.runs.len(), &delivery.runs[0].state), (1, &OwedState::Started), "{told}");
        assert_eq!(outside.log().await.len(), 1, "{told}");
        assert!(workspace.look_ups() <= 2, "{told}");
    }
}

#[tokio::test]
async fn what_slack_does_not_answer_is_asked_again() {
    for (spoiled, wait) in [(Spoiled::ReplyLost, 10), (Spoiled::Status(500), 10), (Spoiled::Status(429), 60)] {
        let workspace = Workspace::new().await;
        let outside = &workspace.outside;
        workspace.services.spoil(1, spoiled);
        outside.mention(ANN, THREAD, None, "fix the login").await;
        workspace.pump().await;
        let delivery = outside.latest().await;
        assert!(is_asking(&delivery) && delivery.asking().unwrap().failures == 1, "{spoiled:?}: {delivery:?}");
        assert_eq!(workspace.outside.rings().await, Some(wait), "{spoiled:?}");
        assert_eq!((workspace.look_ups(), outside.runs().await.len()), (2, 1), "{spoiled:?}");
    }
}

#[tokio::test]
async fn a_slack_that_is_down_is_not_waited_for_longer_than_ten_minutes() {
    let workspace = Workspace::new().await;
    let outside = &workspace.outside;
    workspace.services.knows(ANN, json!({"ok": false, "error": "internal_error"}));
    outside.mention(ANN, THREAD, None, "fix the login").await;
    workspace.pump().await;
    let mut waited = 0;
    while is_asking(&outside.latest().await) {
        // Neither whoever sends it again nor the sweep decides early, or asks early.
        outside.mention(ANN, THREAD, None, "fix the login").await;
        workspace.outside.waits(0).await;
        waited += workspace.outside.rings().await.expect("a timer");
    }
    assert!((300..=310).contains(&waited) && workspace.look_ups() == 6, "{waited} s, {} times", workspace.look_ups());
    let why = workspace.why().await;
    assert!(
        why.ends_with("could not be looked up: the provider cannot be reached: Slack answered with internal_error"),
        "{why}"
    );
    assert_eq!((workspace.told(ANN).len(), outside.runs().await.len()), (1, 0));

    // Whoever asks is not there.
    let silent = Workspace::new().await;
    let outside = &silent.outside;
    outside.mention(ANN, THREAD, None, "fix the login").await;
    let sweep_after = async |seconds| {
        outside.world.clock.forward(SignedDuration::from_secs(seconds));
        sweep(&outside.world.app, outside.world.now()).await.expect("swept")
    };
    assert_eq!(sweep_after(600).await.delivered, 0);
    assert!(is_asking(&outside.latest().await));
    assert_eq!(sweep_after(60).await.delivered, 1);
    assert!(silent.why().await.ends_with("nobody asked within 10 minutes"));
    // The answer to a question that nobody waits for any more changes nothing.
    silent.pump().await;
    assert_eq!((silent.look_ups(), outside.runs().await.len()), (0, 0));
}

#[tokio::test]
async fn a_command_is_answered_at_once_that_somebody_is_being_looked_up() {
    let workspace = Workspace::new().await;
    let outside = &workspace.outside;
    let first = outside.command(ANN, "run fix the login").await;
    assert_eq!(first, "I am finding out who you are, and will answer you here in a moment.");
    workspace.pump().await;
    let [run] = outside.runs().await.try_into().unwrap();
    assert_eq!(workspace.told(ANN), [format!("Started fix (run {run}).")]);
    assert!(outside.command(ANN, "run fix the logout").await.starts_with("Started fix (run "));
    assert!(outside.command(ANN, "status").await.contains("fix: "));
    assert_eq!((workspace.look_ups(), workspace.told(ANN).len()), (1, 1));
    // Somebody who may not, and a word.
    assert!(outside.command(STRANGER, &format!("stop {run}")).await.starts_with("I am finding out"));
    workspace.pump().await;
    assert!(workspace.told(STRANGER)[0].starts_with("Sorry, U0STRANGER"));
    assert!(outside.command(STRANGER, &format!("stop {run}")).await.starts_with("Sorry, U0STRANGER"));
    assert_ne!(outside.world.state(run).await, "CANCELLED");
    assert_eq!(workspace.told(STRANGER).len(), 1);
}

#[tokio::test]
async fn whoever_is_let_in_by_address_stops_it_whatever_is_lost() {
    let begun = async || {
        let workspace = Workspace::without_automations().await;
        let mut trigger = by_address();
        trigger["allow"]["logins"] = json!(["U0OTHER"]);
        workspace.outside.listens("fix", trigger).await;
        workspace.outside.mention("U0OTHER", THREAD, None, "fix the login").await;
        workspace.pump().await;
        (workspace.outside.runs().await[0], workspace)
    };
    let stop = async |workspace: &Workspace| {
        let status = workspace.outside.mention(ANN, "1785310300.000100", Some(THREAD), "stop").await.0;
        workspace.pump().await;
        status
    };
    let (run, calm) = begun().await;
    let before = calm.outside.world.faults.requests();
    stop(&calm).await;
    let requests = calm.outside.world.faults.requests() - before;
    assert_eq!(calm.outside.world.state(run).await, "CANCELLED");
    assert_eq!(calm.told(ANN), [format!("Stopped fix. Run {run}")]);
    let told = calm.outside.latest().await.told.unwrap();
    assert_eq!(told.done.as_deref(), Some("stopped by U043H11ES4V at slack"));
    for (nth, fault) in Fault::each(requests) {
        let told = format!("{fault:?} at request {nth} of {requests}");
        let (run, workspace) = begun().await;
        workspace.outside.world.faults.plan(nth, fault);
        stop(&workspace).await;
        workspace.outside.waits(61).await;
        workspace.outside.waits(61).await;
        assert_eq!(stop(&workspace).await, 202, "{told}");
        assert_eq!(workspace.outside.world.state(run).await, "CANCELLED", "{told}");
        assert!(workspace.outside.latest().await.is_done(), "{told}");
    }
    // A stranger's is none, and is told so.
    let (run, workspace) = begun().await;
    workspace.outside.mention(STRANGER, "1785310300.000100", Some(THREAD), "stop").await;
    assert!(workspace.outside.latest().await.asking().is_some());
    workspace.pump().await;
    assert_ne!(workspace.outside.world.state(run).await, "CANCELLED");
    assert_eq!(workspace.told(STRANGER).len(), 1);
}

#[tokio::test]
async fn of_two_who_look_somebody_up_one_decides() {
    let workspace = Workspace::new().await;
    let outside = &workspace.outside;
    let World { app, team, .. } = &outside.world;
    outside.mention(ANN, THREAD, None, "fix the login").await;
    let id = outside.latest().await.id;
    let identify = || ozma_app::receive::identify(app, team, id);
    let (a, b, c) = tokio::join!(identify(), identify(), identify());
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    let delivery = outside.latest().await;
    assert_eq!((outside.runs().await.len(), delivery.runs.len(), delivery.runs[0].owes), (1, 1, Owes::Run));
    workspace.pump().await;
    assert_eq!(outside.runs().await.len(), 1);
}

#[tokio::test]
async fn what_is_tried_or_replayed_knows_who_it_was() {
    let workspace = Workspace::without_automations().await;
    let outside = &workspace.outside;
    let World { app, team, .. } = &outside.world;
    outside.mention(ANN, THREAD, None, "fix the login").await;
    let id = outside.latest().await.id;
    let automation = outside.listens("fix", by_address()).await;
    let tried = async || try_out(app, team, &automation.config, id).await.unwrap().unwrap();
    let why = "when it comes, slack is asked for the address of U043H11ES4V first";
    assert_eq!((tried().await.starts, tried().await.why.as_deref()), (false, Some(why)));
    let replayed = replay(app, team, id).await.unwrap().unwrap();
    assert!(is_asking(&replayed.delivery));
    workspace.pump().await;
    assert_eq!((tried().await.starts, outside.runs().await.len()), (true, 1));
    // The conversation has a run by now.
    let replayed = replay(app, team, id).await.unwrap().unwrap();
    assert_eq!(replayed.delivery.runs[0].owes, Owes::FollowUp);
    assert_eq!(workspace.look_ups(), 1);
}
