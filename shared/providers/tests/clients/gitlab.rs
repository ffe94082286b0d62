//! GitLab. Its API's description is in no package; paths and members are those of its documentation.

use ozma_domain::id::RunId;
use ozma_domain::provider::{Code, GitlabKind, Own, Right};
use ozma_providers::{Error, Gitlab, Item};
use serde_json::{Value, json};

use crate::stand_in::{Reply, StandIn};
use crate::{http, run};

fn gitlab(host: &StandIn) -> Gitlab {
    Gitlab::new(http(), host.base.clone(), "glpat-token".into())
}

fn item(kind: GitlabKind, discussion: Option<&str>) -> Item<'_> {
    Item { project: 3, kind, iid: 12, discussion }
}

#[tokio::test]
async fn notes_are_made_and_edited_where_they_belong() {
    let check = async |item: Item<'_>, below: &str| {
        let host = StandIn::saying(json!({"id": 5})).await;
        let gitlab = gitlab(&host);
        assert_eq!(gitlab.create_note(item, "on it").await, Ok(5));
        gitlab.update_note(item, 5, "done").await.unwrap();
        let path = format!("/api/v4/projects/3/{below}/notes");
        assert_eq!(host.lines(), [format!("POST {path}"), format!("PUT {path}/5")]);
        let heard = host.heard();
        assert_eq!(heard[0].body, json!({"body": "on it"}));
        assert_eq!(heard[1].body, json!({"body": "done"}));
        for request in heard {
            assert_eq!(request.header("private-token"), Some("glpat-token"));
            assert_eq!(request.header("authorization"), None);
            assert_eq!(request.header("user-agent"), Some("ozma"));
        }
    };
    check(item(GitlabKind::Issue, None), "issues/12").await;
    check(item(GitlabKind::MergeRequest, None), "merge_requests/12").await;
    check(item(GitlabKind::Issue, Some("6a9c")), "issues/12/discussions/6a9c").await;
    check(item(GitlabKind::MergeRequest, Some("6a9c")), "merge_requests/12/discussions/6a9c").await;
}

fn note(id: u64, author: u64, body: &str) -> Value {
    json!({"id": id, "body": body, "author": {"id": author}, "system": false})
}

#[tokio::test]
async fn a_note_whose_answer_is_lost_is_found_and_not_doubled() {
    for discussion in [None, Some("6a9c")] {
        let mut notes = vec![note(1, 9, "@oz fix")];
        let host = StandIn::new(move |request| {
            if request.method == "POST" {
                notes.push(note(2, 7, request.body["body"].as_str().unwrap()));
                return Reply::Lost;
            }
            Reply::Json(if discussion.is_some() { json!({"id": "6a9c", "notes": notes}) } else { notes.clone().into() })
        })
        .await;
        let (gitlab, marker) = (gitlab(&host), Own::marker(run()));
        let item = item(GitlabKind::Issue, discussion);
        assert_eq!(gitlab.find_note(item, &marker, 7).await, Ok(None));
        let lost = gitlab.create_note(item, &format!("{marker}\non it")).await;
        assert!(matches!(lost, Err(Error::Unreachable { .. })), "{lost:?}");
        assert_eq!(gitlab.find_note(item, &marker, 7).await, Ok(Some(2)));
        // Whoever copies the mark is not us, and another run has another.
        assert_eq!(gitlab.find_note(item, &marker, 9).await, Ok(None));
        let other: RunId = "019ab0c0-7a3e-7000-8000-000000000002".parse().unwrap();
        assert_eq!(gitlab.find_note(item, &Own::marker(other), 7).await, Ok(None));
        let below = if discussion.is_some() { "discussions/6a9c" } else { "notes" };
        assert_eq!(host.lines()[0], format!("GET /api/v4/projects/3/issues/12/{below}"));
    }
}

#[tokio::test]
async fn pages_are_followed_but_not_for_ever() {
    let pages = |last: u64| {
        StandIn::new(move |request| {
            let page: u64 = request.query("page").unwrap().parse().unwrap();
            let next = if page == last { String::new() } else { (page + 1).to_string() };
            let notes = json!([note(page, 9, "hello")]).to_string().into_bytes();
            Reply::Status(200, vec![("x-next-page", next)], notes)
        })
    };
    let host = pages(3).await;
    assert_eq!(gitlab(&host).find_note(item(GitlabKind::Issue, None), "x", 7).await, Ok(None));
    let heard = host.heard();
    assert_eq!(heard.len(), 3);
    let asked = ["order_by", "sort", "per_page", "page"].map(|name| heard[2].query(name).unwrap());
    assert_eq!(asked, ["created_at", "desc", "100", "3"]);
    let endless = pages(u64::MAX).await;
    let refused = gitlab(&endless).find_note(item(GitlabKind::Issue, None), "x", 7).await.unwrap_err();
    assert!(refused.to_string().contains("more than 10 pages"), "{refused}");
    assert_eq!(endless.heard().len(), 10);
}

#[tokio::test]
async fn what_a_member_may_is_told_by_the_level() {
    let check = async |level: u64, state: &str, expected: Option<Right>| {
        let host = StandIn::saying(json!({"id": 9, "access_level": level, "state": state})).await;
        assert_eq!(gitlab(&host).member_access(3, 9).await, Ok(expected), "{level} {state}");
        assert_eq!(host.only().line(), "GET /api/v4/projects/3/members/all/9");
    };
    for (level, expected) in [
        (0, None),
        (5, None),
        (10, None),
        (15, None),
        (20, Some(Right::Triage)),
        (25, Some(Right::Triage)),
        (30, Some(Right::Write)),
        (40, Some(Right::Write)),
        (50, Some(Right::Write)),
    ] {
        check(level, "active", expected).await;
    }
    check(50, "blocked", None).await;
    check(50, "awaiting", None).await;
    let host = StandIn::new(|_| Reply::status(404, &json!({"message": "404 Not found"}))).await;
    assert_eq!(gitlab(&host).member_access(3, 9).await, Ok(None));
    let host = StandIn::new(|_| Reply::status(403, &json!({"message": "403 Forbidden"}))).await;
    assert!(gitlab(&host).member_access(3, 9).await.is_err());
}

#[tokio::test]
async fn a_merge_request_says_whose_code_it_brings() {
    for (source, expected) in [(json!(3), Code::Repository), (json!(4), Code::Fork), (Value::Null, Code::Fork)] {
        let host = StandIn::saying(json!({
            "state": "opened", "draft": true, "sha": "0123abcd", "source_branch": "patch", "source_project_id": source,
            "target_branch": "main", "target_project_id": 3,
        }))
        .await;
        let request = gitlab(&host).merge_request(3, 12).await.unwrap();
        assert_eq!(host.only().line(), "GET /api/v4/projects/3/merge_requests/12");
        assert_eq!((request.code(), request.sha.as_str(), request.draft), (expected, "0123abcd", true));
    }
}

#[tokio::test]
async fn the_user_is_known_by_its_token() {
    let host = StandIn::saying(json!({"id": 7, "username": "ozma"})).await;
    assert_eq!(gitlab(&host).user().await, Ok(7));
    assert_eq!(host.only().line(), "GET /api/v4/user");
}

#[tokio::test]
async fn an_instance_below_a_path_is_called_there() {
    let host = StandIn::saying(json!({"id": 7})).await;
    for base in ["gitlab", "gitlab/"] {
        let base = format!("{}{base}", host.base).parse().unwrap();
        assert_eq!(Gitlab::new(http(), base, "glpat-token".into()).user().await, Ok(7));
    }
    assert_eq!(host.lines(), ["GET /gitlab/api/v4/user"; 2]);
}
