//! GitHub: requests against the published operations, and the published examples as answers.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use ozma_domain::provider::{Code, Own, Right};
use ozma_providers::Error;
use ozma_providers::github::{
    App, CheckRun, Conclusion, Installation, InvalidKey, Permissions, PullRequestState, Repository, Status,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::stand_in::{Reply, Request, StandIn};
use crate::{http, published, run};

/// A key, and its public half in DER.
pub(crate) static KEY: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let private: Pkcs8V1Der<'_> = pair.as_der().expect("a key");
    (private.as_ref().to_vec(), pair.public_key().as_ref().to_vec())
});

pub(crate) fn pem(label: &str, der: &[u8]) -> SecretString {
    let lines: Vec<String> =
        STANDARD.encode(der).as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")).into()
}

fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

fn repository() -> Repository {
    "acme/web".parse().unwrap()
}

/// Answers each request with the published example.
async fn github() -> StandIn {
    StandIn::new(|request| {
        let (status, answer) = published::github(request);
        Reply::status(status, &answer)
    })
    .await
}

fn app(github: &StandIn) -> App {
    App::new(http(), github.base.clone(), 7, &pem("PRIVATE KEY", &KEY.0)).unwrap()
}

fn installation(github: &StandIn) -> Installation {
    Installation::new(http(), github.base.clone(), "ghs_token".into())
}

#[track_caller]
fn check_headers(request: &Request) {
    assert_eq!(request.header("authorization"), Some("Bearer ghs_token"));
    assert_eq!(request.header("user-agent"), Some("ozma"));
    assert_eq!(request.header("accept"), Some("application/vnd.github+json"));
    assert_eq!(request.header("x-github-api-version"), Some("2022-11-28"));
}

#[tokio::test]
async fn an_app_says_who_it_is_with_a_jwt_of_ten_minutes() {
    let github = github().await;
    assert_eq!(app(&github).installation_of(&repository(), now()).await, Ok(1));
    let request = github.only();
    assert_eq!(request.line(), "GET /repos/acme/web/installation");
    let jwt = request.header("authorization").unwrap().strip_prefix("Bearer ").unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    let token = jsonwebtoken::decode::<Value>(jwt, &DecodingKey::from_rsa_der(&KEY.1), &validation).unwrap();
    let second = now().as_second();
    assert_eq!(token.claims, json!({"iss": "7", "iat": second - 60, "exp": second + 540}));
}

#[test]
fn a_private_key_is_read_in_both_forms() {
    let read = |key: &SecretString| App::new(http(), "http://127.0.0.1:1".parse().unwrap(), 7, key);
    // Within PKCS #8, a key of RSA stands behind 26 bytes that say so.
    let pkcs1 = pem("RSA PRIVATE KEY", &KEY.0[26..]);
    assert!(read(&pkcs1).is_ok());
    assert!(read(&pem("PRIVATE KEY", &KEY.0)).is_ok());
    let indented = format!("\n  {}\n", pkcs1.expose_secret());
    assert!(read(&indented.into()).is_ok());
    for wrong in ["", "ghs_token", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"] {
        assert_eq!(read(&wrong.into()).unwrap_err(), InvalidKey, "{wrong}");
    }
    assert!(read(&pem("PUBLIC KEY", &KEY.1)).is_err());
}

#[tokio::test]
async fn a_token_is_for_the_named_repositories_and_no_more_than_it_needs() {
    let github = github().await;
    let others = ["acme/docs".parse().unwrap()];
    let token = app(&github).installation_token(42, &repository(), &others, Permissions::COMMENT, now()).await.unwrap();
    assert!(token.token.expose_secret().starts_with("ghs_"), "the published example's");
    assert_eq!(token.expires_at.to_string(), "2016-07-11T22:14:10Z");
    let request = github.only();
    assert_eq!(request.line(), "POST /app/installations/42/access_tokens");
    let permissions = json!({"metadata": "read", "issues": "write", "pull_requests": "write"});
    assert_eq!(request.body, json!({"repositories": ["web", "docs"], "permissions": permissions}));
}

#[tokio::test]
async fn what_a_token_may_is_never_left_to_github() {
    for (permissions, expected) in [
        (Permissions::LOOK, json!({"metadata": "read"})),
        (Permissions::JUDGE, json!({"metadata": "read", "pull_requests": "read"})),
        (Permissions::CHECK, json!({"metadata": "read", "checks": "write"})),
    ] {
        let github = github().await;
        app(&github).installation_token(42, &repository(), &[], permissions, now()).await.unwrap();
        assert_eq!(github.only().body, json!({"repositories": ["web"], "permissions": expected}));
    }
}

#[tokio::test]
async fn comments_are_made_and_edited() {
    let github = github().await;
    let installation = installation(&github);
    assert_eq!(installation.create_comment(&repository(), 12, "on it").await, Ok(1));
    installation.update_comment(&repository(), 1, "done").await.unwrap();
    installation.add_reaction(&repository(), 1, "eyes").await.unwrap();
    let heard = github.heard();
    heard.iter().for_each(check_headers);
    let comments = "/repos/acme/web/issues";
    let expected = [format!("POST {comments}/12/comments"), format!("PATCH {comments}/comments/1")];
    assert_eq!(github.lines()[..2], expected);
    assert_eq!(github.lines()[2], format!("POST {comments}/comments/1/reactions"));
    let bodies: Vec<_> = heard.iter().map(|request| request.body.clone()).collect();
    assert_eq!(bodies, [json!({"body": "on it"}), json!({"body": "done"}), json!({"content": "eyes"})]);
}

#[tokio::test]
async fn a_comment_that_is_too_long_loses_its_end() {
    let github = github().await;
    installation(&github).create_comment(&repository(), 12, &"ä".repeat(70_000)).await.unwrap();
    let body = github.only().body["body"].as_str().unwrap().to_owned();
    assert_eq!(body.chars().count(), 65_536);
    assert!(body.ends_with('…'));
}

fn comment(id: u64, body: &str, app: Option<u64>, login: &str, kind: &str) -> Value {
    let app = app.map(|id| json!({"id": id, "slug": "ozma"}));
    json!({"id": id, "body": body, "user": {"login": login, "type": kind}, "performed_via_github_app": app})
}

fn own() -> Own {
    Own { logins: vec!["ozma[bot]".to_owned()], app_ids: vec![7], mention: None }
}

/// Somebody who looks before writing, as whoever calls is to.
async fn comment_once(installation: &Installation, marker: &str) -> Result<u64, Error> {
    let since = now();
    match installation.find_comment(&repository(), 12, marker, &own(), since).await? {
        Some(comment) => Ok(comment),
        None => installation.create_comment(&repository(), 12, &format!("{marker}\non it")).await,
    }
}

#[tokio::test]
async fn a_comment_whose_answer_is_lost_is_found_and_not_doubled() {
    let mut comments: Vec<Value> = vec![comment(1, "@oz fix", None, "ann", "User")];
    let mut lost = false;
    let github = StandIn::new(move |request| {
        published::github(request);
        if request.method == "GET" {
            return Reply::Json(comments.clone().into());
        }
        let id = comments.len() as u64 + 1;
        comments.push(comment(id, request.body["body"].as_str().unwrap(), Some(7), "ozma[bot]", "Bot"));
        if std::mem::replace(&mut lost, true) { Reply::status(201, &json!({"id": id})) } else { Reply::Lost }
    })
    .await;
    let (installation, marker) = (installation(&github), Own::marker(run()));
    let first = comment_once(&installation, &marker).await;
    assert!(matches!(first, Err(Error::Unreachable { .. })), "{first:?}");
    assert_eq!(comment_once(&installation, &marker).await, Ok(2));
    assert_eq!(comment_once(&installation, &marker).await, Ok(2));
    assert_eq!(github.lines().iter().filter(|line| line.starts_with("POST")).count(), 1);
}

#[tokio::test]
async fn a_comment_is_ours_if_our_app_wrote_it() {
    let marker = Own::marker(run());
    let marked = format!("{marker}\non it");
    for (of, expected) in [
        (comment(5, &marked, Some(7), "ozma[bot]", "Bot"), Some(5)),
        // An older GitHub Enterprise Server does not say which app it was.
        (comment(5, &marked, None, "Ozma[bot]", "Bot"), Some(5)),
        (comment(5, &marked, Some(8), "other[bot]", "Bot"), None),
        (comment(5, &marked, None, "ann", "User"), None),
        // A person may be called as our bot is not: `[bot]` is no part of a person's login, but who relies on that.
        (comment(5, &marked, None, "ozma[bot]", "User"), None),
        (comment(5, "on it", Some(7), "ozma[bot]", "Bot"), None),
        (json!({"id": 5, "body": null, "user": null, "performed_via_github_app": null}), None),
    ] {
        let github = StandIn::saying(json!([of])).await;
        let found = installation(&github).find_comment(&repository(), 12, &marker, &own(), now()).await;
        assert_eq!(found, Ok(expected), "{of}");
    }
}

/// `pages` pages of comments of others, and behind them ours.
async fn pages(pages: u64, marker: &str) -> StandIn {
    let marker = marker.to_owned();
    StandIn::new(move |request| {
        published::github(request);
        let page: u64 = request.query("page").unwrap().parse().unwrap();
        let other = |id| comment(page * 1_000 + id, "hello", None, "ann", "User");
        let comments = if page <= pages {
            (0..100).map(other).collect()
        } else {
            vec![comment(5, &marker, Some(7), "ozma[bot]", "Bot")]
        };
        Reply::Json(Value::Array(comments))
    })
    .await
}

#[tokio::test]
async fn pages_are_followed_but_not_for_ever() {
    let marker = Own::marker(run());
    let github = pages(3, &marker).await;
    let find =
        async |github: &StandIn| installation(github).find_comment(&repository(), 12, &marker, &own(), now()).await;
    assert_eq!(find(&github).await, Ok(Some(5)));
    let heard = github.heard();
    let asked: Vec<_> = heard.iter().map(|request| request.query("page").unwrap()).collect();
    assert_eq!(asked, ["1", "2", "3", "4"]);
    assert_eq!(heard[0].query("since"), Some("2026-11-28T12:00:00Z"));
    assert_eq!(heard[0].query("per_page"), Some("100"));
    let endless = pages(u64::MAX, &marker).await;
    let refused = find(&endless).await.unwrap_err();
    assert!(refused.to_string().contains("more than 1000 comments"), "{refused}");
    assert!(!refused.is_transient());
    assert_eq!(endless.heard().len(), 10);
}

fn check_run(status: Status) -> CheckRun {
    CheckRun {
        name: "Ozma".to_owned(),
        status,
        title: "Fix the build".to_owned(),
        summary: "On it.".to_owned(),
        details_url: Some("https://oz.example.com/runs/1".to_owned()),
    }
}

#[tokio::test]
async fn check_runs_are_made_and_edited() {
    let github = github().await;
    let installation = installation(&github);
    let made = installation.create_check_run(&repository(), "0123abcd", run(), &check_run(Status::Queued)).await;
    assert_eq!(made, Ok(4));
    installation.update_check_run(&repository(), 4, run(), &check_run(Status::InProgress)).await.unwrap();
    use Conclusion::{ActionRequired, Cancelled, Failure, Neutral, Skipped, Success, TimedOut};
    for conclusion in [ActionRequired, Cancelled, Failure, Neutral, Skipped, Success, TimedOut] {
        let check = check_run(Status::Completed(conclusion));
        installation.update_check_run(&repository(), 4, run(), &check).await.unwrap();
    }
    let heard = github.heard();
    heard.iter().for_each(check_headers);
    assert_eq!(github.lines()[..2], ["POST /repos/acme/web/check-runs", "PATCH /repos/acme/web/check-runs/4"]);
    assert_eq!(
        heard[0].body,
        json!({
            "name": "Ozma", "head_sha": "0123abcd", "external_id": run().to_string(), "status": "queued",
            "details_url": "https://oz.example.com/runs/1", "output": {"title": "Fix the build", "summary": "On it."},
        })
    );
    assert_eq!((&heard[1].body["status"], &heard[1].body["head_sha"]), (&json!("in_progress"), &Value::Null));
    assert_eq!(heard[8].body["conclusion"], "timed_out");
}

#[tokio::test]
async fn a_check_run_is_found_by_its_run() {
    let id = run().to_string();
    let github = StandIn::new(move |request| {
        published::github(request);
        let others = (0..100).map(|id| json!({"id": id, "external_id": null}));
        let ours = json!({"id": 900, "external_id": id});
        let runs = if request.query("page") == Some("1") { others.collect() } else { vec![ours] };
        Reply::Json(json!({"total_count": 101, "check_runs": runs}))
    })
    .await;
    let found = installation(&github).find_check_run(&repository(), "0123abcd", "Ozma", 7, run()).await;
    assert_eq!(found, Ok(Some(900)));
    let heard = github.heard();
    assert_eq!(heard[1].line(), "GET /repos/acme/web/commits/0123abcd/check-runs");
    let asked = ["check_name", "app_id", "filter", "page"].map(|name| heard[1].query(name).unwrap());
    assert_eq!(asked, ["Ozma", "7", "all", "2"]);
}

#[tokio::test]
async fn a_pull_request_says_whose_code_it_brings() {
    let github = github().await;
    let pull = installation(&github).pull_request(&repository(), 1347).await.unwrap();
    assert_eq!(github.only().line(), "GET /repos/acme/web/pulls/1347");
    let head = pull.head_repository.clone().unwrap();
    assert_eq!((head.id, head.full_name.as_str()), (1_296_269, "octocat/Hello-World"));
    assert_eq!((pull.head_branch.as_str(), pull.base_branch.as_str()), ("new-topic", "master"));
    assert_eq!((pull.state, pull.draft), (PullRequestState::Open, false));
    assert_eq!(pull.head_sha, "6dcb09b5b57875f334f61aebed695e2e4193db5e");
    assert_eq!(pull.code(), Code::Repository);
}

#[tokio::test]
async fn a_pull_request_of_a_fork_is_a_strangers_also_when_the_fork_is_gone() {
    let base = json!({"sha": "b", "ref": "main", "repo": {"id": 1, "full_name": "acme/web"}});
    for (repo, expected) in [
        (json!({"id": 2, "full_name": "ann/web"}), Code::Fork),
        (json!({"id": 1, "full_name": "acme/web"}), Code::Repository),
        (Value::Null, Code::Fork),
    ] {
        let head = json!({"sha": "a", "ref": "patch", "repo": repo});
        let github = StandIn::saying(json!({"state": "closed", "head": head, "base": base})).await;
        let pull = installation(&github).pull_request(&repository(), 1).await.unwrap();
        assert_eq!((pull.code(), pull.state), (expected, PullRequestState::Closed));
    }
}

#[tokio::test]
async fn what_somebody_may_is_told_by_the_role_it_is_made_from() {
    for (permission, role_name, expected) in [
        ("admin", "admin", Some(Right::Write)),
        ("write", "maintain", Some(Right::Write)),
        ("write", "write", Some(Right::Write)),
        ("write", "our-own-role", Some(Right::Write)),
        ("read", "triage", Some(Right::Triage)),
        ("read", "read", None),
        ("read", "our-own-role", None),
        ("none", "none", None),
        // Whatever a role is called, it is what it is made from.
        ("read", "admin", None),
    ] {
        let github = StandIn::new(move |request| {
            published::github(request);
            Reply::Json(json!({"permission": permission, "role_name": role_name, "user": null}))
        })
        .await;
        assert_eq!(
            installation(&github).permission(&repository(), "ann").await,
            Ok(expected),
            "{permission} {role_name}"
        );
        assert_eq!(github.only().line(), "GET /repos/acme/web/collaborators/ann/permission");
    }
    let github = StandIn::new(|_| Reply::status(404, &json!({"message": "ann is not a user"}))).await;
    assert_eq!(installation(&github).permission(&repository(), "dependabot[bot]").await, Ok(None));
    assert_eq!(github.only().path, "/repos/acme/web/collaborators/dependabot[bot]/permission");
    // Would be the path of something else.
    assert_eq!(installation(&github).permission(&repository(), "..").await, Ok(None));
    assert_eq!(installation(&github).permission(&repository(), "a/../b").await, Ok(None));
    assert_eq!(github.heard()[1].path, "/repos/acme/web/collaborators/a%2F..%2Fb/permission");
    assert_eq!(github.heard().len(), 2);
}

fn attempt(id: u64, guid: &str, at: Timestamp, status_code: u16) -> Value {
    json!({
        "id": id, "guid": guid, "delivered_at": at, "redelivery": false, "duration": 0.1, "status": "x",
        "status_code": status_code, "event": "issues", "action": "opened", "installation_id": 42, "repository_id": 1,
    })
}

/// An attempt a minute, newest first, two to a page, without an end.
async fn deliveries() -> StandIn {
    StandIn::new(|request| {
        published::github(request);
        let first: u64 =
            request.query("cursor").map_or(0, |cursor| cursor.strip_prefix("v1_").unwrap().parse().unwrap());
        let page = [first, first + 1].map(|number| {
            let at = now() - jiff::SignedDuration::from_mins(i64::try_from(number).unwrap());
            // Every third arrived.
            attempt(1_000_000 - number, &format!("guid-{number}"), at, if number % 3 == 0 { 202 } else { 504 })
        });
        let next = format!("<https://elsewhere.example/?per_page=100&cursor=v1_{}>; rel=\"next\"", first + 2);
        Reply::Status(200, vec![("link", next)], json!(page).to_string().into_bytes())
    })
    .await
}

#[tokio::test]
async fn deliveries_are_looked_at_back_to_a_time() {
    let github = deliveries().await;
    let since = now() - jiff::SignedDuration::from_mins(4);
    let deliveries = app(&github).deliveries(since, now()).await.unwrap();
    let lost: Vec<_> = deliveries.lost.iter().map(|lost| (lost.guid.as_str(), lost.id, lost.attempts)).collect();
    assert_eq!(lost, [("guid-4", 999_996, 1), ("guid-2", 999_998, 1), ("guid-1", 999_999, 1)]);
    assert_eq!((deliveries.lost[0].event.as_str(), deliveries.lost[0].action.as_deref()), ("issues", Some("opened")));
    assert!(deliveries.is_whole);
    assert_eq!(github.heard().len(), 3);
    let asked: Vec<_> = github.heard().iter().map(|request| request.query("cursor").map(str::to_owned)).collect();
    assert_eq!(asked, [None, Some("v1_2".to_owned()), Some("v1_4".to_owned())]);
}

#[tokio::test]
async fn deliveries_that_are_too_many_are_said_to_be() {
    let github = deliveries().await;
    let deliveries = app(&github).deliveries(Timestamp::UNIX_EPOCH, now()).await.unwrap();
    assert!(!deliveries.is_whole);
    assert_eq!((github.heard().len(), deliveries.lost.len()), (30, 40));
}

#[tokio::test]
async fn the_published_examples_of_deliveries_are_read() {
    let github = github().await;
    let app = app(&github);
    let deliveries = app.deliveries(Timestamp::UNIX_EPOCH, now()).await.unwrap();
    assert!(deliveries.is_whole && deliveries.lost.is_empty(), "both arrived: {deliveries:?}");
    app.redeliver(12_345_678, now()).await.unwrap();
    assert_eq!(github.lines()[1], "POST /app/hook/deliveries/12345678/attempts");
    assert_eq!(app.hook_url(now()).await.unwrap().as_deref(), Some("https://example.com/webhook"));
}
