//! No token is in an error, however a provider answers, nor in what `Debug` shows of a client.

use std::fmt::Debug;

use jiff::Timestamp;
use ozma_providers::github::{App, Installation, Token};
use ozma_providers::{Activity, Error, Gitlab, Jira, Linear, Message, Slack};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use uuid::Uuid;

use crate::github::{KEY, pem};
use crate::stand_in::{Reply, StandIn};
use crate::{http, run};

const TOKEN: &str = "s3cr3t-t0k3n-of-ours";

/// Answers of every status, which quote all of the request's headers, early and so late that they are cut.
fn echoing() -> impl FnMut(&crate::stand_in::Request) -> Reply + Send + 'static {
    let mut count = 0;
    move |request| {
        let mut headers = Vec::new();
        for name in ["authorization", "private-token"] {
            headers.extend(request.header(name).map(str::to_owned));
        }
        let sent = headers.join(" ");
        let pad = "x".repeat([0, 280, 290, 295][count % 4]);
        let statuses = [400, 403, 422, 500, 200];
        let status = statuses[(count / 4) % statuses.len()];
        count += 1;
        let said = format!("{pad}{sent}");
        let body = json!({
            "ok": false, "message": said, "error": said, "id": sent,
            "errors": [{"message": said, "extensions": {"userPresentableMessage": said}}],
        });
        Reply::status(status, &body)
    }
}

#[track_caller]
fn check(shown: &(impl Debug + ?Sized), secrets: &[&str]) {
    let shown = format!("{shown:?}");
    for secret in secrets {
        for length in [secret.len(), 8] {
            assert!(!shown.contains(&secret[..length]), "{shown}");
        }
    }
}

#[track_caller]
fn check_error<T: Debug>(answer: Result<T, Error>, secrets: &[&str]) {
    let err = answer.expect_err("no answer of these is good");
    check(&err, secrets);
    check(&[err.to_string()], secrets);
}

#[tokio::test]
async fn no_token_is_in_an_error() {
    let server = StandIn::new(echoing()).await;
    let (base, token) = (server.base.clone(), SecretString::from(TOKEN));
    let installation = Installation::new(http(), base.clone(), token.clone());
    let slack = Slack::new(http(), base.clone(), base.clone(), token.clone());
    let linear = Linear::new(http(), base.clone(), token.clone());
    let jira = Jira::new(http(), base.clone(), "ann@example.com", token.clone());
    let gitlab = Gitlab::new(http(), base, token);
    // `ann@example.com:s3cr3t-t0k3n-of-ours`.
    let basic = "YW5uQGV4YW1wbGUuY29tOnMzY3IzdC10MGszbi1vZi1vdXJz";
    for _ in 0..20 {
        check_error(installation.create_comment(&"acme/web".parse().unwrap(), 1, "a").await, &[TOKEN]);
        check_error(
            slack.post_message("C1", None, &Message { text: "a", blocks: None, run: run(), end: None }).await,
            &[TOKEN],
        );
        check_error(linear.agent_activity("s1", Uuid::nil(), &Activity::Thought { body: "a" }).await, &[TOKEN]);
        check_error(jira.account().await, &[TOKEN, basic]);
        check_error(gitlab.user().await, &[TOKEN]);
    }
    assert_eq!(server.heard().len(), 100);
}

#[tokio::test]
async fn no_address_to_respond_to_is_in_an_error() {
    let server = StandIn::new(|_| Reply::Lost).await;
    let slack = Slack::new(http(), server.base.clone(), server.base.clone(), TOKEN.into());
    let url = SecretString::from(format!("{}commands/T1/{TOKEN}", server.base));
    check_error(slack.respond(&url, "a").await, &[TOKEN]);
    let elsewhere = SecretString::from(format!("https://example.com/{TOKEN}"));
    check_error(slack.respond(&elsewhere, "a").await, &[TOKEN]);
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test]
async fn a_token_that_cannot_be_sent_is_not_shown_either() {
    let server = StandIn::saying(json!({"id": 7})).await;
    let gitlab = Gitlab::new(http(), server.base.clone(), format!("{TOKEN}\n").into());
    let answer = gitlab.user().await;
    assert_eq!(answer, Err(Error::Unauthorized));
    check_error(answer, &[TOKEN]);
    assert!(server.heard().is_empty());
}

#[test]
fn no_token_is_in_what_debug_shows() {
    let (base, token) = ("http://127.0.0.1:1".parse().unwrap(), || SecretString::from(TOKEN));
    let key = pem("PRIVATE KEY", &KEY.0);
    let shown: [Box<dyn Debug>; 7] = [
        Box::new(Installation::new(http(), base, token())),
        Box::new(Slack::new(http(), Slack::API.parse().unwrap(), Slack::HOOKS.parse().unwrap(), token())),
        Box::new(Linear::new(http(), Linear::API.parse().unwrap(), token())),
        Box::new(Jira::new(http(), "https://acme.atlassian.net".parse().unwrap(), "ann@example.com", token())),
        Box::new(Gitlab::new(http(), Gitlab::HOST.parse().unwrap(), token())),
        Box::new(App::new(http(), "https://api.github.com".parse().unwrap(), 7, &key).unwrap()),
        Box::new(Token { token: token(), expires_at: Timestamp::UNIX_EPOCH }),
    ];
    let in_key = key.expose_secret().lines().nth(3).unwrap().to_owned();
    for shown in shown {
        check(&*shown, &[TOKEN, &in_key, "YW5uQGV4YW1wbGUuY29tO"]);
    }
}
