//! Comments on pull requests of GitHub, which do not say whose code those bring: GitHub is asked, and a run gets secrets and
//! tokens for the repository's own.

use jiff::SignedDuration;
use ozma_app::executions;
use ozma_app::ports::Vault as _;
use ozma_app::receive::{identify, replay, try_out};
use ozma_app::sweep::sweep;
use ozma_app::{automations, resources, webhooks};
use ozma_domain::delivery::{OwedState, Owes};
use ozma_domain::environment::{Environment, EnvironmentConfig};
use ozma_domain::harness::HarnessKind;
use ozma_domain::id::RunId;
use ozma_domain::identity::Identity;
use ozma_domain::protocol::GitQuestion;
use ozma_domain::repository::Repository;
use ozma_domain::webhook::WebhookConfig;
use ozma_domain::webhook_auth::Scheme;
use ozma_tests::world::{Fault, World};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::answers::KEY;
use crate::answers::services::{Services, Spoiled};
use crate::outside::{Outside, is_asking};

const COMMENT: &str = include_str!("../../../events/github/issue_comment-created-pull_request.json");

/// GitHub, a webhook with its App, and an automation whose environment has a secret.
struct Github {
    outside: Outside,
    services: Services,
}

/// What a run was given: how many secrets, whether a token for its repository, and what it was told of that.
#[derive(Debug, PartialEq)]
struct Given {
    secrets: usize,
    token: bool,
    told: String,
}

impl Github {
    async fn new() -> Self {
        Self::with(HarnessKind::Claude, json!({"events": ["pull_request.mentioned"]})).await
    }

    async fn with(harness: HarnessKind, trigger: Value) -> Self {
        let (outside, services) = (Outside::of(Scheme::Github).await, Services::start().await);
        let World { app, team, vault, .. } = &outside.world;
        vault.put(team, &"KEY".parse().unwrap(), SecretString::from(KEY.as_str())).await.expect("a secret");
        vault.put(team, &"TOKEN".parse().unwrap(), SecretString::from("hush")).await.expect("a secret");
        let connection = json!({"secret": "KEY", "url": services.url, "app_id": 7});
        let connection = Some(serde_json::from_value(connection).unwrap());
        let config = WebhookConfig { connection, ..outside.webhook.config.clone() };
        webhooks::update(app, team, "acme", config).await.expect("a connection");
        let secrets = vec!["TOKEN".parse().unwrap()];
        let web = EnvironmentConfig { name: "web".to_owned(), secrets, ..EnvironmentConfig::default() };
        let web = resources::create::<Environment>(app, team, web).await.expect("an environment");
        let mut config = outside.listens_with("fix", harness, trigger).await.config;
        let url = format!("{}/Codertocat/Hello-World", services.url).parse().unwrap();
        config.template.repositories = vec![Repository { url, reference: None }];
        config.template.environment = Some(web.uid);
        config.template.scheduling.concurrency =
            Some(serde_json::from_value(json!({"key": "fix {branch}", "policy": "queue"})).unwrap());
        automations::update(app, team, "fix", config).await.expect("an automation");
        services.head(own());
        Self { outside, services }
    }

    /// Somebody who owns the repository mentions us, with changes to what GitHub sends.
    async fn hears(&self, id: u64, text: &str, changes: Value) -> (u16, Value) {
        let mut body: Value = serde_json::from_str(COMMENT).unwrap();
        body["comment"]["id"] = id.into();
        body["comment"]["body"] = format!("@oz {text}").into();
        let Value::Object(changes) = changes else { panic!("{changes}") };
        for (pointer, value) in changes {
            *body.pointer_mut(&pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        }
        self.outside.github("issue_comment", &format!("d-{id}"), &body.to_string()).await
    }

    async fn mention(&self, id: u64) -> Value {
        let (status, answer) = self.hears(id, "rebase this", json!({})).await;
        assert_eq!(status, 202, "{answer}");
        answer
    }

    async fn pump(&self) {
        self.outside.world.pump().await;
    }

    /// How often it was asked for a pull request.
    fn questions(&self) -> usize {
        let asked = |request: &&String| request.starts_with("GET /repos/Codertocat/Hello-World/pulls/");
        self.services.requests().iter().filter(asked).count()
    }

    /// Its agent is at work, and asks for a token.
    async fn given(&self, run: RunId) -> Given {
        let world = &self.outside.world;
        world.drain().await;
        let agent = world.agent(run).await;
        let assignment = agent.claim(world).await.expect("claimed");
        let url = format!("{}/Codertocat/Hello-World", self.services.url);
        let token = executions::git_credentials(&world.app, agent.execution, &agent.token, &GitQuestion { url }).await;
        let told = assignment.notices.into_iter().filter(|notice| notice.starts_with("no secrets")).collect();
        if let Err(err) = &token {
            assert!(err.to_string().contains("the code may be a stranger's"), "{err}");
        }
        Given { secrets: assignment.secrets.len(), token: token.is_ok(), told }
    }

    async fn key(&self, run: RunId) -> Option<String> {
        self.outside.world.run(run).await.key
    }

    async fn has_secrets(&self, run: RunId) -> bool {
        let World { app, team, .. } = &self.outside.world;
        let request = app.store.request(team, run).await.unwrap().unwrap();
        !request.event.unwrap().without_secrets
    }
}

fn own() -> Value {
    json!({"id": 1, "full_name": "Codertocat/Hello-World"})
}

fn fork() -> Value {
    json!({"id": 2, "full_name": "eve/Hello-World"})
}

fn everything() -> Given {
    Given { secrets: 1, token: true, told: String::new() }
}

const STRANGERS: &str =
    "no secrets: the code may be a stranger's; the automation's `allow.fork_secrets` says otherwise";

fn nothing(told: &str) -> Given {
    Given { secrets: 0, token: false, told: told.to_owned() }
}

/// What a run is told whose origin could not be found out.
fn unknown(why: &str) -> Given {
    nothing(&format!(
        "no secrets: the code may be a stranger's, because it could not be found out whose it is: {why}; the automation's \
         `allow.fork_secrets` says otherwise"
    ))
}

#[tokio::test]
async fn a_run_gets_what_the_code_may_have_that_it_is_about() {
    let check = async |head: Value, expected: Given, key: Option<&str>| {
        let github = Github::new().await;
        github.services.head(head.clone());
        let answer = github.mention(1).await;
        assert_eq!(answer["runs"], json!([]));
        assert!(is_asking(&github.outside.latest().await));
        // Delivered again meanwhile, it waits as well.
        assert_eq!(github.mention(1).await["duplicate"], true);
        github.pump().await;
        let [run] = github.outside.runs().await.try_into().unwrap();
        let delivery = github.outside.latest().await;
        assert_eq!((&delivery.runs[0].state, &delivery.identity), (&OwedState::Started, &Some(Identity::Known)));
        assert_eq!(github.key(run).await.as_deref(), key, "{head}");
        assert_eq!(github.given(run).await, expected, "{head}");
        assert_eq!(github.questions(), 1);
        // For no more than that question takes.
        let judge = json!({"metadata": "read", "pull_requests": "read"});
        assert_eq!(github.services.minted()[0], (7, json!({"repositories": ["Hello-World"], "permissions": judge})));
    };
    check(own(), everything(), Some("fix Codertocat/Hello-World:changes")).await;
    check(fork(), nothing(STRANGERS), Some("fix eve/Hello-World:changes")).await;
    check(Value::Null, nothing(STRANGERS), None).await;
}

#[tokio::test]
async fn nobody_is_asked_where_it_changes_nothing() {
    let nothing_else = || json!({});
    for (trigger, text, changes, secrets) in [
        (json!({}), "rebase", json!({"/comment/author_association": "NONE"}), None),
        (json!({"allow": {"fork_secrets": true}}), "rebase", nothing_else(), Some(true)),
        (json!({"events": ["issue_comment.edited"]}), "rebase", nothing_else(), None),
        (json!({"filter": {"action": "edited"}}), "rebase", nothing_else(), None),
        (json!({}), "status", nothing_else(), None),
        (json!({}), "by us", json!({"/sender/login": "ozma[bot]"}), None),
        (json!({}), "an issue", json!({"/issue/pull_request": null}), Some(true)),
    ] {
        let github = Github::with(HarnessKind::Claude, trigger.clone()).await;
        github.services.head(fork());
        github.hears(1, text, changes.clone()).await;
        let delivery = github.outside.latest().await;
        let told = format!("{trigger} {changes}: {delivery:?}");
        assert!(delivery.identity.is_none() && delivery.is_done(), "{told}");
        assert_eq!(delivery.runs.first().map(|run| run.secrets), secrets, "{told}");
        github.pump().await;
        assert_eq!(github.questions(), 0, "{told}");
    }
}

#[tokio::test]
async fn nobody_is_asked_for_who_does_not_listen_or_by_who_speaks_to_nobody() {
    let github = Github::new().await;
    let World { app, team, .. } = &github.outside.world;
    let mut fix = automations::find(app, team, "fix").await.unwrap().config;
    fix.paused = true;
    automations::update(app, team, "fix", fix.clone()).await.unwrap();
    github.mention(1).await;
    assert!(github.outside.latest().await.is_done());
    fix.paused = false;
    automations::update(app, team, "fix", fix).await.unwrap();
    webhooks::update(app, team, "acme", github.outside.webhook.config.clone()).await.unwrap();
    github.mention(2).await;
    let [run] = github.outside.runs().await.try_into().unwrap();
    assert_eq!((github.given(run).await, github.questions()), (nothing(STRANGERS), 0));
    assert_eq!(github.key(run).await, None);
}

/// It goes on without secrets, and says why.
#[tokio::test]
async fn what_github_refuses_is_not_waited_for() {
    let check = async |nth: usize, spoiled: Spoiled, why: &str| {
        let github = Github::new().await;
        github.services.spoil(nth, spoiled);
        github.mention(1).await;
        github.pump().await;
        let [run] = github.outside.runs().await.try_into().unwrap();
        let delivery = github.outside.latest().await;
        assert_eq!(delivery.identity, Some(Identity::Unknown { why: why.to_owned() }), "{spoiled:?}");
        assert_eq!(github.given(run).await, unknown(why), "{spoiled:?}");
    };
    let absent = "the provider has no such thing, or does not show it to us; check what the app or token may see";
    check(1, Spoiled::Status(404), absent).await;
    check(3, Spoiled::Status(404), absent).await;
    let lacking =
        |status| format!("the provider refused with {status}: no. The App needs \"Pull requests\", to read at least");
    check(2, Spoiled::Status(422), &lacking(422)).await;
    check(3, Spoiled::Status(403), &lacking(403)).await;
    // Who has no key any more.
    let github = Github::new().await;
    let World { team, vault, .. } = &github.outside.world;
    vault.delete(team, &"KEY".parse().unwrap()).await.unwrap();
    github.mention(1).await;
    github.pump().await;
    let [run] = github.outside.runs().await.try_into().unwrap();
    let why = "there is no secret KEY; create it with `oz secret create KEY`";
    assert_eq!(github.outside.latest().await.unknown(), Some(why));
    assert!(!github.has_secrets(run).await);
}

#[tokio::test]
async fn what_github_does_not_answer_is_asked_again() {
    let failures = [(Spoiled::ReplyLost, 10), (Spoiled::Status(500), 10), (Spoiled::Status(429), 60)];
    let rows = failures.iter().flat_map(|(spoiled, wait)| [1, 2, 3].map(|nth| (nth, *spoiled, *wait)));
    for (nth, spoiled, wait) in rows.chain([(3, Spoiled::Silence, 10)]) {
        let github = Github::new().await;
        github.services.spoil(nth, spoiled);
        github.mention(1).await;
        github.pump().await;
        let delivery = github.outside.latest().await;
        assert!(is_asking(&delivery) && delivery.asking().unwrap().failures == 1, "{spoiled:?} {nth}: {delivery:?}");
        assert_eq!(github.outside.rings().await, Some(wait), "{spoiled:?} {nth}");
        let [run] = github.outside.runs().await.try_into().unwrap();
        assert_eq!(github.given(run).await, everything(), "{spoiled:?} {nth}");
    }
}

#[tokio::test]
async fn a_github_that_is_down_is_not_waited_for_longer_than_ten_minutes() {
    let github = Github::new().await;
    github.mention(1).await;
    let mut waited = 0;
    loop {
        github.services.spoil(1, Spoiled::Status(502));
        github.pump().await;
        if !is_asking(&github.outside.latest().await) {
            break;
        }
        // Neither whoever sends it again nor the sweep decides early, or asks early.
        github.mention(1).await;
        github.outside.waits(0).await;
        waited += github.outside.next_timer().await.expect("a timer");
    }
    assert!((300..=310).contains(&waited), "{waited} s");
    let [run] = github.outside.runs().await.try_into().unwrap();
    assert_eq!(github.given(run).await, unknown("the provider refused with 502: no"));

    // Whoever asks is not there.
    let silent = Github::new().await;
    silent.mention(1).await;
    let world = &silent.outside.world;
    let sweep_after = async |seconds| {
        world.clock.forward(SignedDuration::from_secs(seconds));
        sweep(&world.app, world.now()).await.expect("swept")
    };
    assert_eq!(sweep_after(600).await.delivered, 0);
    assert!(is_asking(&silent.outside.latest().await));
    assert_eq!(sweep_after(60).await.delivered, 1);
    assert_eq!(silent.outside.latest().await.unknown(), Some("nobody asked within 10 minutes"));
    // The answer to a question that nobody waits for any more changes nothing.
    silent.pump().await;
    let [run] = silent.outside.runs().await.try_into().unwrap();
    assert_eq!((silent.questions(), silent.has_secrets(run).await), (0, false));
}

/// Whatever request to the table or the archive is lost, whoever is at it.
#[tokio::test]
async fn whatever_is_lost_one_run_is_started_with_what_it_may_have() {
    let story = async |github: &Github| {
        let status = github.hears(1, "rebase this", json!({})).await.0;
        assert!(matches!(status, 202 | 500), "{status}");
        github.pump().await;
    };
    let calm = Github::new().await;
    let before = calm.outside.world.faults.requests();
    story(&calm).await;
    let requests = calm.outside.world.faults.requests() - before;
    assert!(requests > 30, "the story is told: {requests} requests");
    for (nth, fault) in Fault::each(requests) {
        let told = format!("{fault:?} at request {nth} of {requests}");
        let github = Github::new().await;
        github.outside.world.faults.plan(nth, fault);
        story(&github).await;
        github.outside.waits(61).await;
        github.outside.waits(61).await;
        github.mention(1).await;
        github.pump().await;
        let [run] = github.outside.runs().await.try_into().expect(&told);
        let delivery = github.outside.latest().await;
        assert_eq!((delivery.runs.len(), &delivery.runs[0].state), (1, &OwedState::Started), "{told}");
        assert_eq!(github.outside.log().await.len(), 1, "{told}");
        assert!(github.has_secrets(run).await && github.questions() <= 2, "{told}: {delivery:?}");
        assert_eq!(github.key(run).await.as_deref(), Some("fix Codertocat/Hello-World:changes"), "{told}");
    }
}

#[tokio::test]
async fn a_comment_that_a_run_hears_asks_for_nothing_and_changes_nothing_of_what_that_has() {
    let check = async |head: Value, spoiled: Option<Spoiled>, expected: bool| {
        let github = Github::new().await;
        github.services.head(head.clone());
        if let Some(spoiled) = spoiled {
            github.services.spoil(3, spoiled);
        }
        github.mention(1).await;
        github.pump().await;
        let [run] = github.outside.runs().await.try_into().unwrap();
        // Before its end and after, whatever GitHub says by then.
        github.services.head(own());
        let answer = github.mention(2).await;
        assert_eq!(answer["followed_up"][0]["run_id"].as_str(), Some(run.to_string().as_str()), "{answer}");
        github.outside.works(run).await;
        github.mention(3).await;
        github.pump().await;
        let delivery = github.outside.latest().await;
        assert_eq!((delivery.runs[0].owes, delivery.identity), (Owes::FollowUp, None));
        assert_eq!((github.outside.runs().await.len(), github.questions()), (1, 1));
        let given = github.given(run).await;
        assert_eq!((given.secrets, given.token), (usize::from(expected), expected), "{head}");
    };
    check(own(), None, true).await;
    check(fork(), None, false).await;
    check(own(), Some(Spoiled::Status(403)), false).await;
}

#[tokio::test]
async fn a_script_that_is_started_again_is_asked_for_again() {
    let github = Github::with(HarnessKind::Shell, json!({"events": ["pull_request.mentioned"]})).await;
    github.mention(1).await;
    github.pump().await;
    let [first] = github.outside.runs().await.try_into().unwrap();
    // At work it hears nothing, and nobody is asked.
    github.mention(2).await;
    assert!(github.outside.latest().await.is_done());
    github.outside.works(first).await;
    github.services.head(fork());
    github.mention(3).await;
    assert!(is_asking(&github.outside.latest().await));
    github.pump().await;
    let [_, second] = github.outside.runs().await.try_into().unwrap();
    assert_eq!((github.has_secrets(first).await, github.has_secrets(second).await), (true, false));
}

#[tokio::test]
async fn of_two_who_ask_one_decides() {
    let github = Github::new().await;
    let World { app, team, .. } = &github.outside.world;
    github.mention(1).await;
    let id = github.outside.latest().await.id;
    let ask = || identify(app, team, id);
    let (a, b, c) = tokio::join!(ask(), ask(), ask());
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    github.pump().await;
    let delivery = github.outside.latest().await;
    assert_eq!((github.outside.runs().await.len(), delivery.runs.len(), delivery.runs[0].secrets), (1, 1, true));
}

#[tokio::test]
async fn what_is_tried_or_replayed_knows_whose_code_it_is() {
    let github = Github::new().await;
    let World { app, team, .. } = &github.outside.world;
    github.services.spoil(3, Spoiled::Status(403));
    github.mention(1).await;
    github.pump().await;
    let id = github.outside.latest().await.id;
    let fix = automations::find(app, team, "fix").await.unwrap();
    let tried = async |id| {
        let tried = try_out(app, team, &fix.config, id).await.unwrap().unwrap();
        (tried.starts, tried.secrets, tried.key, tried.why)
    };
    let why = "when it comes, github is asked first whose code Codertocat/Hello-World#1 brings: secrets are for the \
               repository's own";
    assert_eq!(tried(id).await, (true, false, None, Some(why.to_owned())));
    // Replayed, it is another delivery, and asked for again: so is begun anew what GitHub once did not tell.
    let again = replay(app, team, id).await.unwrap().unwrap().delivery;
    assert!(is_asking(&again) && again.replay_of == Some(id));
    github.pump().await;
    let [first, second] = github.outside.runs().await.try_into().unwrap();
    assert_eq!((github.has_secrets(first).await, github.has_secrets(second).await), (false, true));
    let key = Some("fix Codertocat/Hello-World:changes".to_owned());
    assert_eq!(tried(again.id).await, (true, true, key, None));
    assert_eq!(github.questions(), 2);
}
