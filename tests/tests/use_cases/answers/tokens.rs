//! Tokens for git: a run gets them for its own repositories, for no more than work on them takes, and from the App that the team
//! has there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ozma_app::cancel::cancel;
use ozma_app::executions::{self, ExecutionError};
use ozma_domain::protocol::{GitCredentials, GitQuestion};
use ozma_domain::repository::Repository;
use ozma_domain::webhook::Connection;
use ozma_store::ArchiveKey;

use super::*;

/// A run with those repositories of the stand-in, which its agent has claimed.
async fn working(outside: &Outside, event: Option<EventSnapshot>, repositories: &[&str]) -> (RunId, AgentDouble) {
    let repository = |name: &&str| Repository { url: at(outside, name).parse().unwrap(), reference: None };
    let repositories = repositories.iter().map(repository).collect();
    outside.world.clock.forward(SignedDuration::from_millis(1));
    let new = NewRun { creator: "fixer".to_owned(), event, repositories, ..outside.world.new_run("true") };
    let run = accept(&outside.world.app, new).await.unwrap().run_id;
    outside.world.drain().await;
    let agent = outside.world.agent(run).await;
    agent.claim(&outside.world).await.map(drop).unwrap();
    (run, agent)
}

fn at(outside: &Outside, name: &str) -> String {
    if name.contains(':') { name.to_owned() } else { format!("{}/{name}", outside.services.url) }
}

async fn ask(outside: &Outside, agent: &AgentDouble, name: &str) -> Result<GitCredentials, ExecutionError> {
    let question = GitQuestion { url: at(outside, name) };
    executions::git_credentials(&outside.world.app, agent.execution, &agent.token, &question).await
}

/// The repositories and the App of each token that was made.
fn minted(outside: &Outside) -> Vec<(u64, Value)> {
    outside.services.minted().into_iter().map(|(app, scope)| (app, scope["repositories"].clone())).collect()
}

/// A webhook of another App, `mirror`.
async fn another_app(outside: &Outside) -> WebhookId {
    let saved = outside.world.app.store.webhook(&outside.webhook).await.unwrap().unwrap();
    let connection = Some(Connection { app_id: Some(8), ..saved.webhook.config.connection.clone().unwrap() });
    let config = WebhookConfig { name: "mirror".to_owned(), connection, ..saved.webhook.config };
    webhooks::create(&outside.world.app, &outside.world.team, config, None).await.unwrap().id
}

#[tokio::test]
async fn a_token_is_for_the_runs_repositories_of_one_owner_and_for_work_on_them() {
    let outside = Outside::of(Provider::Github).await;
    let repositories =
        ["acme/web.git", "acme/api", "umbrella/web", "acme/Web", "file:///acme/web", "git@github.com:a/b"];
    let (_, agent) = working(&outside, None, &repositories).await;
    let given = ask(&outside, &agent, "acme/web.git").await.unwrap();
    assert_eq!(
        (given.username.as_str(), given.repositories),
        ("x-access-token", vec![at(&outside, "acme/web"), at(&outside, "acme/api")])
    );
    assert_eq!(given.expires_at.to_string(), "2026-11-21T09:00:00Z");
    let permissions = json!({"metadata": "read", "contents": "write", "pull_requests": "write"});
    assert_eq!(outside.services.minted(), [(7, json!({"repositories": ["web", "api"], "permissions": permissions}))]);
    ask(&outside, &agent, "umbrella/web").await.unwrap();
    assert_eq!(minted(&outside)[1..], [(7, json!(["web"]))]);

    // One that the installation does not hold costs the others nothing.
    outside.services.not_installed(7, "acme/api");
    let given = ask(&outside, &agent, "acme/web/info/refs").await.unwrap();
    assert_eq!(given.repositories, [at(&outside, "acme/web")]);
    assert_eq!(minted(&outside)[2..], [(7, json!(["web"]))]);
}

#[tokio::test]
async fn the_app_that_has_the_repository_is_asked_and_first_the_one_that_started_the_run() {
    async fn check(by_other: bool, absent: &[u64], expected: Result<u64, &str>) {
        let outside = Outside::of(Provider::Github).await;
        let other = another_app(&outside).await;
        let webhook = if by_other { &other } else { &outside.webhook };
        let place = Place::GithubItem { repository: "acme/web".to_owned(), number: 12 };
        let event = EventSnapshot { source: DeliverySource::Webhook(webhook.clone()), ..outside.event(&place, None) };
        for app in absent {
            outside.services.not_installed(*app, "acme/web");
        }
        let (_, agent) = working(&outside, Some(event), &["acme/web"]).await;
        let told = ask(&outside, &agent, "acme/web").await.map(drop).map_err(|err| err.to_string());
        match expected {
            Ok(app) => assert_eq!((told, minted(&outside)), (Ok(()), vec![(app, json!(["web"]))])),
            Err(why) => assert_eq!((told, minted(&outside)), (Err(why.to_owned()), vec![])),
        }
    }
    check(false, &[], Ok(7)).await;
    check(true, &[], Ok(8)).await;
    check(false, &[7], Ok(8)).await;
    check(true, &[8], Ok(7)).await;
    let nowhere = "the App 8 is not installed in acme/web; install it there; the App 7 is not installed in acme/web; install \
                   it there";
    check(true, &[7, 8], Err(nowhere)).await;
}

#[tokio::test]
async fn who_may_have_no_token_hears_why() {
    let outside = Outside::of(Provider::Github).await;
    let refused = async |agent: &AgentDouble, url: &str, why: &str| {
        let told = ask(&outside, agent, url).await.map(drop).unwrap_err();
        assert!(matches!(told, ExecutionError::NoToken(_)) && told.to_string().contains(why), "{url}: {told:?}");
        assert_eq!(minted(&outside), [], "{url}");
    };
    let (_, agent) = working(&outside, None, &["acme/web", "https://git.example.com/acme/lab"]).await;
    let asked = outside.services.requests().len();
    for url in
        ["acme/secret", "https://github.com/acme/web", "acme", "", "https://git.example.com/acme/web", "ssh://x/y/z"]
    {
        refused(&agent, url, "none of the run's repositories").await;
    }
    refused(&agent, "https://git.example.com/acme/lab", "no webhook of the team answers with a GitHub App of").await;
    refused(&agent, "https://git.example.com/acme/lab", "`oz webhook update NAME --answer-with SECRET --app-id ID`")
        .await;

    // The code of a fork.
    let place = Place::GithubItem { repository: "acme/web".to_owned(), number: 12 };
    let event = EventSnapshot { without_secrets: true, ..outside.event(&place, None) };
    let (_, fork) = working(&outside, Some(event), &["acme/web"]).await;
    refused(&fork, "acme/web", "the code may be a stranger's").await;
    assert_eq!(outside.services.requests().len(), asked, "nobody is asked for those");

    // What GitHub says is passed on, with what to do about it.
    outside.services.spoil(2, Spoiled::Status(422));
    refused(
        &agent,
        "acme/web",
        "GitHub gives the App 7 no token for acme/web: the provider refused with 422: no. It needs",
    )
    .await;
    outside.services.spoil(1, Spoiled::Status(401));
    refused(&agent, "acme/web", "GitHub does not say where the App 7 is installed").await;
    outside.world.vault.delete(&outside.world.team, &"KEY".parse().unwrap()).await.unwrap();
    refused(&agent, "acme/web", "the App 7 cannot be asked: there is no secret KEY; create it with").await;
}

#[tokio::test]
async fn nobody_but_the_agent_at_work_gets_one() {
    let outside = Outside::of(Provider::Github).await;
    let (_, first) = working(&outside, None, &["acme/web"]).await;
    let (ended, second) = working(&outside, None, &["acme/web"]).await;
    let stranger =
        AgentDouble { execution: second.execution, token: AgentDouble::new(ExecutionId::new(ended, 5)).token };
    let told = ask(&outside, &stranger, "acme/web").await.map(drop).unwrap_err();
    assert!(matches!(told, ExecutionError::Token), "{told:?}");
    let nobody = AgentDouble { execution: second.execution, token: String::new() };
    let told = ask(&outside, &nobody, "acme/web").await.map(drop).unwrap_err();
    assert!(matches!(told, ExecutionError::MalformedToken(_)), "{told:?}");

    second.start(&outside.world).await.unwrap();
    second.finish(&outside.world, 0).await.unwrap();
    cancel(&outside.world.app, &outside.world.team, first.execution.run, "ann").await.unwrap();
    let told = ask(&outside, &first, "acme/web").await.map(drop).unwrap_err();
    assert!(matches!(&told, ExecutionError::NoToken(why) if why == "the run is over"), "{told:?}");
    let told = ask(&outside, &second, "acme/web").await.map(drop).unwrap_err();
    assert!(matches!(told, ExecutionError::Stale(_)), "{told:?}");
    assert_eq!(outside.services.requests().len(), 0);
}

#[tokio::test]
async fn a_token_is_masked_from_before_it_is_given_and_no_row_holds_it() {
    let outside = Outside::of(Provider::Github).await;
    let (_, agent) = working(&outside, None, &["acme/web"]).await;
    let [first, second] =
        [ask(&outside, &agent, "acme/web").await.unwrap(), ask(&outside, &agent, "acme/web").await.unwrap()]
            .map(|given| given.password);
    assert_ne!(first, second);
    let basic = STANDARD.encode(format!("x-access-token:{second}"));
    let told = json!({"type": "notice", "text": format!("{first} {second} {basic}")});
    agent.segment(&outside.world, 1, &format!("{told}\n")).await.unwrap();
    let key = ArchiveKey::Segment { team: &outside.world.team, execution: agent.execution, sequence: 1 };
    let stored = outside.world.app.archive.read(&key).await.unwrap().unwrap().bytes;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&stored[..]), &mut text).unwrap();
    assert!(text.contains(r#""text":"*** *** eC1hY2Nlc3MtdG9rZW46***"#), "{text}");
    assert!(!text.contains(&first) && !text.contains(&second), "{text}");
}

/// Whatever is lost, whoever asks again has one.
#[tokio::test]
async fn who_asks_again_gets_what_was_lost() {
    let calm = Outside::of(Provider::Github).await;
    let (_, agent) = working(&calm, None, &["acme/web", "acme/api"]).await;
    let before = calm.world.faults.requests();
    ask(&calm, &agent, "acme/web").await.unwrap();
    let (reads, calls) = (calm.world.faults.requests() - before, calm.services.requests().len());
    assert!(reads >= 3 && calls == 3, "{reads} {calls}");
    for nth in 1..=reads {
        for fault in Fault::ALL {
            calm.world.faults.plan(nth, fault);
            assert!(matches!(ask(&calm, &agent, "acme/web").await, Err(ExecutionError::Store(_))), "{fault:?} {nth}");
            ask(&calm, &agent, "acme/web").await.unwrap();
        }
    }
    for spoiled in [Spoiled::ReplyLost, Spoiled::Status(500), Spoiled::Status(429)] {
        for nth in 1..=calls {
            calm.services.spoil(nth, spoiled);
            // The lookup of one beside it costs that one alone.
            let told = ask(&calm, &agent, "acme/web").await;
            assert!(calm.services.is_spoiled(), "{spoiled:?} {nth}");
            assert!(told.is_ok() || matches!(told, Err(ExecutionError::NoToken(_))), "{spoiled:?} {nth}");
            assert_eq!(ask(&calm, &agent, "acme/web").await.unwrap().repositories.len(), 2, "{spoiled:?} {nth}");
        }
    }
}
