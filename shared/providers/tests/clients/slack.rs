//! Slack: arguments against those of its own SDK.

use axum::http::Method;
use jiff::Timestamp;
use ozma_providers::{Bot, Error, Message, Slack};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::stand_in::{Reply, StandIn};
use crate::{http, published, run};

fn slack(api: &StandIn) -> Slack {
    Slack::new(http(), api.base.clone(), api.base.clone(), "xoxb-token".into())
}

async fn saying(answer: Value) -> StandIn {
    StandIn::new(move |request| {
        published::slack(request);
        Reply::Json(answer.clone())
    })
    .await
}

fn bot() -> Bot {
    Bot { bot_id: "B1".to_owned(), user_id: "U1".to_owned(), team_id: "T1".to_owned() }
}

fn message(text: &str) -> Message<'_> {
    Message { text, blocks: None, run: run(), end: None }
}

fn metadata() -> Value {
    json!({"event_type": "ozma_run", "event_payload": {"run_id": run().to_string()}})
}

#[tokio::test]
async fn messages_are_posted_and_edited() {
    let api = saying(json!({"ok": true, "channel": "C1", "ts": "1700000000.000200"})).await;
    let slack = slack(&api);
    let posted = slack.post_message("C1", Some("1700000000.000100"), &message("on it")).await;
    assert_eq!(posted.as_deref(), Ok("1700000000.000200"));
    slack.post_message("C1", None, &message("on it")).await.unwrap();
    let blocks = [json!({"type": "section", "text": {"type": "mrkdwn", "text": "done"}})];
    let done = Message { blocks: Some(&blocks), ..message("done") };
    slack.update_message("C1", "1700000000.000200", &done).await.unwrap();
    slack.post_ephemeral("C1", Some("1700000000.000100"), "U2", "you may not").await.unwrap();
    let heard = api.heard();
    for request in &heard {
        assert_eq!(request.method, Method::POST);
        assert_eq!(request.header("authorization"), Some("Bearer xoxb-token"));
        assert_eq!(request.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(request.header("user-agent"), Some("ozma"));
    }
    let bodies: Vec<_> = heard.iter().map(|request| request.body.clone()).collect();
    let mut posted = json!({
        "channel": "C1", "thread_ts": "1700000000.000100", "text": "on it", "metadata": metadata(),
        "unfurl_links": false, "unfurl_media": false,
    });
    assert_eq!(bodies[0], posted);
    posted.as_object_mut().unwrap().remove("thread_ts");
    assert_eq!(bodies[1], posted);
    let edited =
        json!({"channel": "C1", "ts": "1700000000.000200", "text": "done", "blocks": blocks, "metadata": metadata()});
    assert_eq!(bodies[2], edited);
    let ephemeral = json!({"channel": "C1", "thread_ts": "1700000000.000100", "user": "U2", "text": "you may not"});
    assert_eq!(bodies[3], ephemeral);
    let expected = ["/chat.postMessage", "/chat.postMessage", "/chat.update", "/chat.postEphemeral"];
    assert_eq!(heard.iter().map(|request| request.path.as_str()).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_message_whose_answer_is_lost_is_found_and_not_doubled() {
    let mut replies = vec![json!({"ts": "1.1", "user": "U2", "text": "@oz fix"})];
    let api = StandIn::new(move |request| {
        published::slack(request);
        if request.method == "GET" {
            return Reply::Json(json!({"ok": true, "messages": replies, "has_more": false}));
        }
        let ts = format!("1.{}", replies.len() + 1);
        replies.push(json!({"ts": ts, "bot_id": "B1", "text": "on it", "metadata": request.body["metadata"]}));
        Reply::Lost
    })
    .await;
    let slack = slack(&api);
    assert_eq!(slack.find_message("C1", "1.1", &message("on it"), &bot()).await, Ok(None));
    let lost = slack.post_message("C1", Some("1.1"), &message("on it")).await;
    assert!(matches!(lost, Err(Error::Unreachable { .. })), "{lost:?}");
    assert_eq!(slack.find_message("C1", "1.1", &message("on it"), &bot()).await, Ok(Some("1.2".to_owned())));
    // The message that tells an end is another one, and each end has its own.
    let end = |ms| Message { end: Some(Timestamp::from_millisecond(ms).unwrap()), ..message("done") };
    assert_eq!(slack.find_message("C1", "1.1", &end(1_700_000_000_001), &bot()).await, Ok(None));
    let _ = slack.post_message("C1", Some("1.1"), &end(1_700_000_000_001)).await;
    assert_eq!(slack.find_message("C1", "1.1", &end(1_700_000_000_001), &bot()).await, Ok(Some("1.3".to_owned())));
    assert_eq!(slack.find_message("C1", "1.1", &end(1_700_000_000_002), &bot()).await, Ok(None));
    assert_eq!(slack.find_message("C1", "1.1", &message("on it"), &bot()).await, Ok(Some("1.2".to_owned())));
    let request = &api.heard()[0];
    assert_eq!(request.path, "/conversations.replies");
    let asked = ["channel", "ts", "include_all_metadata", "limit"].map(|name| request.query(name).unwrap());
    assert_eq!(asked, ["C1", "1.1", "true", "200"]);
    assert_eq!(request.query("cursor"), None);
}

#[tokio::test]
async fn a_message_is_ours_if_our_bot_posted_it_about_the_run() {
    let other_run = json!({"event_type": "ozma_run", "event_payload": {"run_id": "another"}});
    let other_kind = json!({"event_type": "task", "event_payload": {"run_id": run().to_string()}});
    for (bot_id, metadata, expected) in [
        (json!("B1"), metadata(), true),
        (json!("B2"), metadata(), false),
        (Value::Null, metadata(), false),
        (json!("B1"), other_run, false),
        (json!("B1"), other_kind, false),
        (json!("B1"), Value::Null, false),
    ] {
        let reply = json!({"ts": "1.2", "bot_id": bot_id, "metadata": metadata});
        let api = saying(json!({"ok": true, "messages": [reply]})).await;
        let found = slack(&api).find_message("C1", "1.1", &message("on it"), &bot()).await;
        assert_eq!(found, Ok(expected.then(|| "1.2".to_owned())), "{reply}");
    }
}

#[tokio::test]
async fn pages_are_followed_but_not_for_ever() {
    let api = StandIn::new(|request| {
        published::slack(request);
        let next = request.query("cursor").map_or(1, |cursor| cursor.parse::<u32>().unwrap() + 1);
        Reply::Json(json!({"ok": true, "messages": [], "response_metadata": {"next_cursor": next.to_string()}}))
    })
    .await;
    let refused = slack(&api).find_message("C1", "1.1", &message("on it"), &bot()).await.unwrap_err();
    assert!(refused.to_string().contains("more than 10 pages"), "{refused}");
    let heard = api.heard();
    assert_eq!((heard.len(), heard[9].query("cursor")), (10, Some("9")));
}

#[tokio::test]
async fn people_have_addresses_and_bots_have_none() {
    let check = async |answer: Value, expected: Result<Option<&str>, Error>| {
        let api = saying(answer).await;
        let email = slack(&api).email_of("U2").await;
        assert_eq!(email, expected.map(|email| email.map(str::to_owned)));
        let request = api.only();
        assert_eq!((request.line().as_str(), request.query("user")), ("GET /users.info", Some("U2")));
    };
    check(json!({"ok": true, "user": {"profile": {"email": "ann@example.com"}}}), Ok(Some("ann@example.com"))).await;
    check(json!({"ok": true, "user": {"profile": {}}}), Ok(None)).await;
    check(json!({"ok": true, "user": {"profile": {"email": ""}}}), Ok(None)).await;
    let confirmed =
        |is: bool| json!({"ok": true, "user": {"is_email_confirmed": is, "profile": {"email": "a@b.example"}}});
    check(confirmed(true), Ok(Some("a@b.example"))).await;
    check(confirmed(false), Ok(None)).await;
    check(json!({"ok": false, "error": "user_not_found"}), Ok(None)).await;
    let message = "missing_scope: the app needs users:read.email; add it and install the app again".to_owned();
    let scopes = json!({"ok": false, "error": "missing_scope", "needed": "users:read.email", "provided": "chat:write"});
    check(scopes, Err(Error::Refused { status: 200, message })).await;
}

/// Slack leaves the address out then, and calls that a success.
#[tokio::test]
async fn a_token_that_may_not_see_addresses_says_so() {
    let check = async |scopes: &str, expected: Result<Option<String>, Error>| {
        let told = scopes.to_owned();
        let api = StandIn::new(move |_| {
            let body = json!({"ok": true, "user": {"profile": {"real_name": "Ann"}}}).to_string().into_bytes();
            Reply::Status(200, vec![("x-oauth-scopes", told.clone())], body)
        })
        .await;
        assert_eq!(slack(&api).email_of("U2").await, expected, "{scopes}");
    };
    check("chat:write, users:read, users:read.email", Ok(None)).await;
    let message = "missing_scope: the app needs users:read.email; add it and install the app again".to_owned();
    check("chat:write,users:read", Err(Error::Refused { status: 200, message })).await;
}

#[tokio::test]
async fn the_bot_is_known_by_its_token() {
    let api = saying(json!({"ok": true, "bot_id": "B1", "user_id": "U1", "team_id": "T1", "url": "https://x"})).await;
    assert_eq!(slack(&api).bot().await, Ok(bot()));
    assert_eq!(api.only().line(), "POST /auth.test");
}

#[tokio::test]
async fn an_answer_to_a_command_goes_to_slack_alone_and_without_the_token() {
    let hooks = StandIn::new(|_| Reply::Status(200, vec![], b"ok".to_vec())).await;
    let slack = Slack::new(http(), Slack::API.parse().unwrap(), hooks.base.clone(), "xoxb-token".into());
    let url = SecretString::from(format!("{}commands/T1/2/secret", hooks.base));
    slack.respond(&url, "queued").await.unwrap();
    let request = hooks.only();
    assert_eq!(request.line(), "POST /commands/T1/2/secret");
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.body, json!({"response_type": "ephemeral", "replace_original": false, "text": "queued"}));
}

#[tokio::test]
async fn an_address_that_is_not_slacks_is_not_called() {
    let evil = StandIn::saying(json!({})).await;
    let port = evil.base.to_string().rsplit(':').next().unwrap().trim_end_matches('/').to_owned();
    let slack = Slack::new(http(), Slack::API.parse().unwrap(), Slack::HOOKS.parse().unwrap(), "xoxb-token".into());
    for url in [
        evil.base.to_string(),
        "http://hooks.slack.com/commands/1".to_owned(),
        format!("https://hooks.slack.com:{port}/commands/1"),
        format!("https://hooks.slack.com@127.0.0.1:{port}/"),
        "https://user:pw@hooks.slack.com/commands/1".to_owned(),
        "https://hooks.slack.com.example.com/commands/1".to_owned(),
        "https://example.com/hooks.slack.com".to_owned(),
        "file:///etc/passwd".to_owned(),
        "hooks.slack.com".to_owned(),
        String::new(),
    ] {
        let refused = slack.respond(&url.clone().into(), "queued").await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the provider refused with 400: the address to respond to is not one of Slack's"
        );
    }
    assert!(evil.heard().is_empty());
}

#[tokio::test]
async fn codes_become_errors() {
    let check = async |error: &str, expected: Error| {
        let api = saying(json!({"ok": false, "error": error})).await;
        assert_eq!(slack(&api).post_message("C1", None, &message("on it")).await, Err(expected));
    };
    check("invalid_auth", Error::Unauthorized).await;
    check("token_revoked", Error::Unauthorized).await;
    check("channel_not_found", Error::NotFound).await;
    check("ratelimited", Error::RateLimited { retry_seconds: 60 }).await;
    check("internal_error", Error::Unreachable { reason: "Slack answered with internal_error".to_owned() }).await;
    check("is_archived", Error::Refused { status: 200, message: "is_archived".to_owned() }).await;
}
