//! What a call may take: of time, of answer, of redirects. And what answers mean that are the same for all providers.

use ozma_providers::github::Installation;
use ozma_providers::{BaseUrl, Error, Gitlab, Http};
use serde_json::{Value, json};

use crate::http;
use crate::stand_in::{Reply, StandIn};

/// The simplest call there is.
async fn call(base: &BaseUrl) -> Result<u64, Error> {
    Gitlab::new(http(), base.clone(), "glpat-token".into()).user().await
}

/// The simplest that is not a GET.
async fn post(base: &BaseUrl) -> Result<u64, Error> {
    let installation = Installation::new(http(), base.clone(), "ghs_token".into());
    installation.create_comment(&"acme/web".parse().unwrap(), 12, "on it").await
}

#[tokio::test]
async fn limits_are_known_and_how_long_they_last() {
    let check = async |status: u16, headers: &[(&'static str, &str)], message: &str, expected: Option<u64>| {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let body = json!({"message": message}).to_string().into_bytes();
        let server = StandIn::new(move |_| Reply::Status(status, headers.clone(), body.clone())).await;
        let expected = match expected {
            Some(retry_seconds) => Error::RateLimited { retry_seconds },
            None => Error::Refused { status, message: message.to_owned() },
        };
        assert_eq!(call(&server.base).await, Err(expected), "{status} {message}");
    };
    let date = ("date", "Sat, 28 Nov 2026 12:00:00 GMT");
    let (none_left, some_left) = (("x-ratelimit-remaining", "0"), ("x-ratelimit-remaining", "4"));
    // 12:05:00.
    let reset = ("x-ratelimit-reset", "1795867500");
    // GitHub's primary limit.
    check(403, &[date, none_left, reset], "API rate limit exceeded", Some(300)).await;
    check(429, &[date, none_left, reset], "API rate limit exceeded", Some(300)).await;
    check(403, &[date, some_left, reset], "Resource not accessible by integration", None).await;
    check(403, &[], "Resource not accessible by integration", None).await;
    // Its secondary ones; what it says outright counts.
    check(403, &[date, ("retry-after", "30"), none_left, reset], "You have exceeded a limit", Some(30)).await;
    check(403, &[some_left, reset], "You have exceeded a secondary rate limit. Please wait", Some(60)).await;
    check(429, &[some_left, reset], "You have exceeded a secondary rate limit. Please wait", Some(60)).await;
    // Slack, GitLab and Jira.
    check(429, &[("retry-after", "7")], "", Some(7)).await;
    check(429, &[], "", Some(60)).await;
    check(503, &[("retry-after", "7")], "", Some(7)).await;
    check(503, &[], "down", None).await;
    // Never at once, and never for more than a day.
    check(429, &[("retry-after", "0")], "", Some(1)).await;
    check(429, &[("retry-after", "99999999999")], "", Some(86_400)).await;
    check(429, &[("retry-after", "soon")], "", Some(60)).await;
    check(429, &[date, none_left, ("x-ratelimit-reset", "1795867000")], "", Some(1)).await;
    check(429, &[("date", "today"), none_left, reset], "", Some(60)).await;
}

#[tokio::test]
async fn other_answers_are_what_they_are() {
    let check = async |status: u16, body: Value, expected: Error| {
        let server = StandIn::new(move |_| Reply::status(status, &body)).await;
        assert_eq!(call(&server.base).await, Err(expected), "{status}");
    };
    let refused = |status, message: &str| Error::Refused { status, message: message.to_owned() };
    check(401, json!({"message": "Bad credentials"}), Error::Unauthorized).await;
    check(404, json!({"message": "Not Found"}), Error::NotFound).await;
    check(410, json!({"message": "This issue was deleted"}), Error::NotFound).await;
    let errors = json!({"message": "Validation Failed", "errors": [{"field": "body", "code": "missing"}]});
    check(422, errors, refused(422, r#"Validation Failed [{"code":"missing","field":"body"}]"#)).await;
    check(400, json!({"error": "invalid_scope"}), refused(400, "invalid_scope")).await;
    check(400, json!({"message": {"note": ["is too long"]}}), refused(400, r#"{"note":["is too long"]}"#)).await;
    check(400, json!({}), refused(400, "it does not say why")).await;
    check(500, json!("oh no"), refused(500, r#""oh no""#)).await;
    check(
        200,
        json!({"id": null}),
        refused(200, "its answer cannot be read: invalid type: null, expected u64 at line 1 column 10"),
    )
    .await;
}

#[tokio::test]
async fn an_answer_of_two_mebibytes_is_refused() {
    let large = json!({"id": 7, "bio": "x".repeat(2 << 20)}).to_string().into_bytes();
    let refused = Error::Refused { status: 200, message: "its answer is larger than 1048576 bytes".to_owned() };
    let whole = large.clone();
    let server = StandIn::new(move |_| Reply::Status(200, vec![], whole.clone())).await;
    assert_eq!(call(&server.base).await, Err(refused.clone()));
    let server = StandIn::new(move |_| Reply::Pieces(large.clone())).await;
    assert_eq!(call(&server.base).await, Err(refused));
    // One of just a mebibyte is not.
    let head = r#"{"id":7,"bio":""}"#.len();
    let allowed = json!({"id": 7, "bio": "x".repeat((1 << 20) - head)}).to_string().into_bytes();
    assert_eq!(allowed.len(), 1 << 20);
    let server = StandIn::new(move |_| Reply::Pieces(allowed.clone())).await;
    assert_eq!(call(&server.base).await, Ok(7));
}

fn moved(status: u16, location: &str) -> Reply {
    Reply::Status(status, vec![("location", location.to_owned())], vec![])
}

#[tokio::test]
async fn a_redirect_to_another_host_gets_nothing_at_all() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = StandIn::saying(json!({"id": 7})).await;
        let target = elsewhere.base.to_string();
        let server = StandIn::new(move |_| moved(status, &target)).await;
        for answer in [call(&server.base).await, post(&server.base).await] {
            assert!(matches!(answer, Err(Error::Refused { status: of, .. }) if of == status), "{answer:?}");
        }
        assert!(elsewhere.heard().is_empty(), "{:?}", elsewhere.heard());
    }
}

#[tokio::test]
async fn what_moved_within_a_host_is_followed_with_method_and_body() {
    let server = async |status: u16| {
        StandIn::new(move |request| {
            if request.path == "/repositories/1" {
                Reply::Json(json!({"id": 7}))
            } else {
                moved(status, "/repositories/1")
            }
        })
        .await
    };
    for status in [301, 302, 307, 308] {
        let server = server(status).await;
        assert_eq!(call(&server.base).await, Ok(7));
        let request = &server.heard()[1];
        assert_eq!(request.line(), "GET /repositories/1");
        assert_eq!(request.header("private-token"), Some("glpat-token"));
    }
    for status in [307, 308] {
        let server = server(status).await;
        assert_eq!(post(&server.base).await, Ok(7));
        let request = &server.heard()[1];
        assert_eq!((request.line().as_str(), &request.body), ("POST /repositories/1", &json!({"body": "on it"})));
        assert_eq!(request.header("authorization"), Some("Bearer ghs_token"));
    }
    // These would make a GET of it, whose answer says nothing of what was to be made.
    for status in [301, 302, 303] {
        let server = server(status).await;
        let refused = post(&server.base).await;
        assert!(matches!(refused, Err(Error::Refused { status: of, .. }) if of == status), "{refused:?}");
        assert_eq!(server.heard().len(), 1);
    }
}

#[tokio::test]
async fn redirects_come_to_an_end() {
    let server = StandIn::new(|_| moved(307, "/again")).await;
    let refused = call(&server.base).await;
    assert!(matches!(refused, Err(Error::Refused { status: 307, .. })), "{refused:?}");
    assert_eq!(server.heard().len(), 4);
}

#[tokio::test]
async fn who_is_not_there_is_unreachable() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let unreachable = call(&base).await.unwrap_err();
    assert!(unreachable.to_string().contains("refused"), "{unreachable}");
    assert!(unreachable.is_transient());
}

#[tokio::test]
async fn who_does_not_answer_is_given_up_after_ten_seconds() {
    let server = StandIn::new(|_| Reply::Silence).await;
    let asked = tokio::spawn({
        let base = server.base.clone();
        async move { (call(&base).await, tokio::time::Instant::now()) }
    });
    while server.heard().is_empty() {
        tokio::task::yield_now().await;
    }
    // From here on, time passes as soon as nobody has anything to do.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let (answer, ended) = asked.await.unwrap();
    assert_eq!(answer, Err(Error::Unreachable { reason: "it did not answer in time".to_owned() }));
    let took = (ended - begun).as_secs_f64();
    assert!((9.0..10.1).contains(&took), "{took}");
}

#[test]
fn an_address_is_a_host_and_a_path() {
    let check = |text: &str, valid| assert_eq!(text.parse::<BaseUrl>().is_ok(), valid, "{text}");
    for valid in ["https://api.github.com", "https://git.example.com/api/v3/", "http://127.0.0.1:8080"] {
        check(valid, true);
    }
    for invalid in
        ["", "api.github.com", "ftp://x", "https://", "https://u@x", "https://u:p@x/", "https://x?a=b", "https://x#a"]
    {
        check(invalid, false);
    }
    let told = "https://ann:hunter2@x/?token=hunter3".parse::<BaseUrl>().unwrap_err();
    assert!(!format!("{told} {told:?}").contains("hunter"), "{told}");
}

#[test]
fn a_client_is_made_of_what_its_maker_trusts() {
    assert!(Http::new(reqwest::Client::builder().no_proxy()).is_ok());
}
