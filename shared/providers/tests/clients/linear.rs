//! Linear: queries against its schema.

use ozma_providers::{Activity, Error, Linear};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::stand_in::{Reply, StandIn};
use crate::{http, published};

const ID: Uuid = Uuid::from_u128(0x0b8f_5a7e_3c1d_4e2f_9a6b_7c8d_9e0f_1a2b);

fn linear(api: &StandIn) -> Linear {
    Linear::new(http(), api.base.clone(), "lin_oauth_token".into())
}

async fn saying(status: u16, answer: Value) -> StandIn {
    StandIn::new(move |request| {
        published::linear(request);
        Reply::status(status, &answer)
    })
    .await
}

#[tokio::test]
async fn an_activity_is_shown_in_its_session() {
    let body = "Looking at it";
    for (activity, expected) in [
        (Activity::Thought { body }, json!({"type": "thought", "body": body})),
        (
            Activity::Action { action: "Cloned", parameter: "acme/web", result: None },
            json!({"type": "action", "action": "Cloned", "parameter": "acme/web"}),
        ),
        (
            Activity::Action { action: "Ran", parameter: "cargo test", result: Some("passed") },
            json!({"type": "action", "action": "Ran", "parameter": "cargo test", "result": "passed"}),
        ),
        (Activity::Response { body }, json!({"type": "response", "body": body})),
        (Activity::Error { body }, json!({"type": "error", "body": body})),
        (Activity::Elicitation { body }, json!({"type": "elicitation", "body": body})),
    ] {
        let api = saying(200, json!({"data": {"agentActivityCreate": {"success": true}}})).await;
        linear(&api).agent_activity("s1", ID, &activity).await.unwrap();
        let request = api.only();
        assert_eq!(request.line(), "POST /graphql");
        assert_eq!(request.header("authorization"), Some("Bearer lin_oauth_token"));
        assert_eq!(request.header("user-agent"), Some("ozma"));
        let input = &request.body["variables"]["input"];
        assert_eq!(*input, json!({"id": ID.to_string(), "agentSessionId": "s1", "content": expected}));
        published::linear_content(&input["content"]);
    }
}

#[tokio::test]
async fn comments_are_made_and_edited() {
    let api = saying(200, json!({"data": {"commentCreate": {"success": true}}})).await;
    linear(&api).comment_create("i1", ID, "on it").await.unwrap();
    let expected = json!({"input": {"id": ID.to_string(), "issueId": "i1", "body": "on it"}});
    assert_eq!(api.only().body["variables"], expected);
    let api = saying(200, json!({"data": {"commentUpdate": {"success": true}}})).await;
    linear(&api).comment_update(ID, "done").await.unwrap();
    assert_eq!(api.only().body["variables"], json!({"id": ID.to_string(), "input": {"body": "done"}}));
}

/// What Linear says of an id that it has already.
fn conflict(id: &str) -> Value {
    let extensions = json!({
        "type": "invalid input", "code": "INPUT_ERROR", "statusCode": 400, "userError": true,
        "userPresentableMessage": format!("Entity Comment with id {id} already exists."),
    });
    json!({"errors": [{"message": "conflict on insert of Comment", "extensions": extensions}], "data": null})
}

#[tokio::test]
async fn a_comment_whose_answer_is_lost_is_made_once() {
    let mut made: Vec<String> = Vec::new();
    let api = StandIn::new(move |request| {
        published::linear(request);
        let id = request.body["variables"]["input"]["id"].as_str().unwrap().to_owned();
        if made.contains(&id) {
            return Reply::Json(conflict(&id));
        }
        made.push(id);
        Reply::Lost
    })
    .await;
    let linear = linear(&api);
    let lost = linear.comment_create("i1", ID, "on it").await;
    assert!(matches!(lost, Err(Error::Unreachable { .. })), "{lost:?}");
    assert_eq!(linear.comment_create("i1", ID, "on it").await, Ok(()));
    assert_eq!(linear.agent_activity("s1", ID, &Activity::Thought { body: "on it" }).await, Ok(()));
}

#[tokio::test]
async fn only_our_own_id_in_a_conflict_means_done() {
    let other = conflict(&Uuid::nil().to_string());
    let mut wrong_code = conflict(&ID.to_string());
    wrong_code["errors"][0]["extensions"]["code"] = "INVALID_INPUT".into();
    let mut wrong_message = conflict(&ID.to_string());
    wrong_message["errors"][0]["message"] = "Argument Validation Error".into();
    for answer in [other, wrong_code, wrong_message] {
        let api = saying(200, answer).await;
        let refused = linear(&api).comment_create("i1", ID, "on it").await;
        assert!(matches!(refused, Err(Error::Refused { status: 200, .. })), "{refused:?}");
    }
    for status in [200, 400] {
        let api = saying(status, conflict(&ID.to_string().to_uppercase())).await;
        assert_eq!(linear(&api).comment_create("i1", ID, "on it").await, Ok(()));
        // Nothing is made by an edit, so that nothing can be there already.
        assert!(linear(&api).comment_update(ID, "on it").await.is_err());
    }
}

#[tokio::test]
async fn a_personal_key_stands_alone() {
    let organization = json!({"id": "o1", "urlKey": "acme"});
    let api =
        saying(200, json!({"data": {"viewer": {"id": "u1", "name": "Ozma", "organization": organization}}})).await;
    let viewer = Linear::new(http(), api.base.clone(), "lin_api_key".into()).viewer().await.unwrap();
    assert_eq!((viewer.id.as_str(), viewer.organization.url_key.as_str()), ("u1", "acme"));
    assert_eq!(api.only().header("authorization"), Some("lin_api_key"));
}

#[tokio::test]
async fn errors_say_in_the_body_what_they_are() {
    let check = async |status: u16, message: &str, extensions: Value, expected: Error| {
        let api = saying(status, json!({"errors": [{"message": message, "extensions": extensions}]})).await;
        assert_eq!(linear(&api).comment_update(ID, "on it").await, Err(expected), "{message}");
    };
    let refused = |status, message: &str| Error::Refused { status, message: message.to_owned() };
    check(400, "no", json!({"code": "AUTHENTICATION_ERROR"}), Error::Unauthorized).await;
    check(401, "no", json!({"type": "authentication error"}), Error::Unauthorized).await;
    check(200, "Entity not found: Comment", json!({"code": "INPUT_ERROR"}), Error::NotFound).await;
    check(200, "no", json!({"type": "forbidden"}), refused(403, "no")).await;
    check(400, "no", json!({"userPresentableMessage": "Say more"}), refused(400, "Say more")).await;
    check(500, "no", json!({}), refused(500, "no")).await;
    let later = Error::Unreachable { reason: "Linear could not do it: no".to_owned() };
    check(200, "no", json!({"type": "internal error"}), later).await;
    let api = saying(200, json!({"data": null})).await;
    assert_eq!(linear(&api).comment_update(ID, "a").await, Err(refused(200, "its answer holds no data")));
    let api = saying(200, json!({"data": {"commentUpdate": {"success": false}}})).await;
    let told = linear(&api).comment_update(ID, "a").await.unwrap_err();
    assert!(told.to_string().contains("Linear did not do it"), "{told}");
    let api = StandIn::new(|_| Reply::Status(502, vec![], b"<html>".to_vec())).await;
    assert_eq!(linear(&api).viewer().await, Err(refused(502, "<html>")));
}

#[tokio::test]
async fn a_limit_ends_when_linear_says_so() {
    let check = async |headers: Vec<(&'static str, &str)>, expected: u64| {
        let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        let error = json!({"message": "Rate limit exceeded", "extensions": {"code": "RATELIMITED"}});
        let body = json!({"errors": [error]}).to_string().into_bytes();
        let api = StandIn::new(move |_| Reply::Status(400, headers.clone(), body.clone())).await;
        assert_eq!(linear(&api).viewer().await, Err(Error::RateLimited { retry_seconds: expected }));
    };
    let date = ("date", "Sat, 28 Nov 2026 12:00:00 GMT");
    check(vec![], 60).await;
    check(vec![("retry-after", "5")], 5).await;
    // 12:02:00.5, in milliseconds.
    let requests = ("x-ratelimit-requests-reset", "1795867320500");
    check(vec![date, ("x-ratelimit-requests-remaining", "0"), requests], 121).await;
    check(vec![date, ("x-ratelimit-requests-remaining", "7"), requests], 60).await;
    let complexity = ("x-ratelimit-complexity-reset", "1795867500000");
    let both = vec![
        date,
        ("x-ratelimit-requests-remaining", "0"),
        requests,
        ("x-ratelimit-complexity-remaining", "0"),
        complexity,
    ];
    check(both, 300).await;
}
