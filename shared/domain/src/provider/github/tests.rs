//! GitHub's own payloads, what follows from their members, and payloads that are broken at any place.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::sync::LazyLock;

use flate2::read::GzDecoder;
use proptest::prelude::*;
use proptest::sample::Index;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::limits;
use crate::provider::broken::{breaks, broken, holds};
use crate::provider::{Keys, Origin, OwnSign, SubjectKind};

#[derive(Deserialize)]
struct Example {
    event: String,
    servers: Vec<String>,
    payload: Value,
}

static EXAMPLES: LazyLock<Vec<Example>> = LazyLock::new(|| {
    let packed = include_bytes!("../../../../../events/github/octokit-webhooks-examples.json.gz");
    let mut text = String::new();
    GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
});

fn own() -> Own {
    Own { logins: vec!["ozma[bot]".to_owned()], app_ids: vec![7], mention: Some("@oz".to_owned()) }
}

#[track_caller]
fn decoded(event: &str, payload: &Value) -> Occurrence {
    match Provider::Github.decode(event, payload, &own()) {
        Ok(Decoded::Used(occurrence)) => *occurrence,
        other => panic!("{event}: {other:?}"),
    }
}

/// One line: names, subject, who, and how far it is to be trusted.
fn line(occurrence: &Occurrence) -> String {
    let Occurrence { names, subject, actor, author, .. } = occurrence;
    let mut line = format!("{} | {:?} {}", names.join("+"), subject.kind, occurrence.keys.object);
    let commit = subject.head_sha.as_ref().map(|sha| format!("@{}", &sha[..7]));
    let branch = subject.head_branch.as_ref().map(|branch| format!(" {}", branch.as_str()));
    let base = subject.base_branch.as_ref().map(|branch| format!(" into {}", branch.as_str()));
    for part in [commit, branch, base].into_iter().flatten() {
        line += &part;
    }
    write!(line, " | {} {:?}", actor.login, actor.kind).unwrap();
    match author.as_ref().filter(|author| author.login != actor.login) {
        Some(author) => write!(line, ", by {}", author.login).unwrap(),
        None => write!(line, " {}", actor.association.map_or("-".to_owned(), |of| of.to_string())).unwrap(),
    }
    let right = occurrence.right.map_or("no right".to_owned(), |right| format!("{right:?}").to_lowercase());
    write!(line, " | {:?} {:?}, {right}", occurrence.cause, occurrence.code).unwrap();
    if occurrence.draft {
        line += ", draft";
    }
    if let Some(detail) = &occurrence.detail {
        write!(line, " | {detail}").unwrap();
    }
    line
}

#[test]
fn every_example_is_used_or_left_by_name() {
    let (mut lines, mut counts) = (Vec::new(), BTreeMap::new());
    for Example { event, servers, payload } in EXAMPLES.iter() {
        let action = payload["action"].as_str().map(|action| format!(".{action}")).unwrap_or_default();
        let (told, kind) = match Provider::Github.decode(event, payload, &own()) {
            Ok(Decoded::Used(occurrence)) => (line(&occurrence), "used"),
            Ok(Decoded::NotUsed { name, why }) => {
                assert!(name.starts_with(event.as_str()) && !why.is_empty(), "{name}: {why}");
                ("-".to_owned(), "not used")
            }
            Err(err) => panic!("{event}{action}: {err}"),
        };
        *counts.entry(kind).or_insert(0) += 1;
        lines.push(format!("{}: {event}{action}: {told}", servers[0]));
    }
    assert_eq!(format!("{counts:?}"), r#"{"not used": 274, "used": 130}"#);
    insta::assert_snapshot!(lines.join("\n"));
}

/// The single files, which are named by their event and action.
fn files() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/github");
    let names = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".json")).collect();
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let text = std::fs::read_to_string(folder.join(&name)).unwrap();
            (name.trim_end_matches(".json").to_owned(), serde_json::from_str(&text).unwrap())
        })
        .collect()
}

#[test]
fn each_single_file_is_what_its_name_says() {
    let mut lines = Vec::new();
    for (name, payload) in files() {
        let (event, action) = name.split_once('-').unwrap_or((&name, ""));
        assert!(
            payload["action"].as_str().unwrap_or_default().starts_with(action.split('-').next().unwrap()),
            "{name}"
        );
        match Provider::Github.decode(event, &payload, &own()).unwrap() {
            Decoded::Used(occurrence) => lines.push(format!("{name}: {}", line(&occurrence))),
            Decoded::NotUsed { why, .. } => lines.push(format!("{name}: {why}")),
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

fn file(name: &str) -> Value {
    files().into_iter().find(|(of, _)| of == name).unwrap_or_else(|| panic!("{name}")).1
}

/// The file with `changes`: pointers, and what is there instead.
fn changed(name: &str, changes: Value) -> Occurrence {
    let mut payload = file(name);
    let Value::Object(changes) = changes else { panic!("{changes}") };
    for (pointer, value) in changes {
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        let parent = payload.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"));
        parent[member] = value;
    }
    decoded(name.split_once('-').map_or(name, |(event, _)| event), &payload)
}

#[track_caller]
fn check(name: &str, changes: Value, expected: &str) {
    let occurrence = changed(name, changes);
    let right = occurrence.right.map_or("-".to_owned(), |right| format!("{right:?}"));
    let told = format!("{} | {:?} {right} | {}", occurrence.names.join(" "), occurrence.code, occurrence.keys.object);
    assert_eq!(told, expected);
}

#[test]
fn who_is_mentioned_makes_a_name_of_its_own() {
    let names = |name: &str, changes: Value| changed(name, changes).names;
    let said = json!({"/comment/body": "hey @OZ, fix this"});
    let of_issue = ["issue_comment.created", "issue.mentioned"];
    assert_eq!(names("issue_comment-created", said.clone()), of_issue);
    assert_eq!(
        names("issue_comment-created-pull_request", json!({})),
        ["issue_comment.created", "pull_request.mentioned"]
    );
    let of_review = ["pull_request_review_comment.created", "pull_request.mentioned"];
    assert_eq!(names("pull_request_review_comment-created", said), of_review);
    assert_eq!(names("issues-opened", json!({"/issue/body": "@oz"})), ["issue.opened", "issue.mentioned"]);
    assert_eq!(names("pull_request-opened", json!({"/pull_request/body": "@oz"}))[1], "pull_request.mentioned");
    assert_eq!(names("pull_request_review-submitted", json!({"/review/body": "@oz"}))[1], "pull_request.mentioned");
    assert_eq!(names("discussion-created", json!({"/discussion/body": "@oz"}))[1], "discussion.mentioned");
    // Nobody said it just now.
    assert_eq!(names("issues-labeled", json!({"/issue/body": "@oz"})), ["issue.labeled"]);
    assert_eq!(names("issue_comment-created", json!({"/issue/body": "@oz"})), ["issue_comment.created"]);
    assert_eq!(
        names("issue_comment-created", json!({"/comment/body": "`@oz`, @ozzy, me@oz.dev"})),
        ["issue_comment.created"]
    );
}

#[test]
fn an_edit_mentions_whom_the_text_did_not_mention_before() {
    let names = |changes: Value| {
        let edit = json!({"/action": "edited", "/comment/body": "@oz again", "/changes": changes});
        changed("issue_comment-created", edit).names
    };
    assert_eq!(names(json!({"body": {"from": "again"}})), ["issue_comment.edited", "issue.mentioned"]);
    assert_eq!(names(json!({"body": {"from": "@oz"}})), ["issue_comment.edited"]);
    assert_eq!(names(json!({"title": {"from": "x"}})), ["issue_comment.edited"]);
}

#[test]
fn code_of_a_pull_request_is_the_repositorys_or_a_forks() {
    let opened = "pull_request-opened";
    let of = "github:Codertocat/Hello-World#2";
    check(opened, json!({}), &format!("pull_request.opened | Repository Write | {of}"));
    let fork = json!({"/pull_request/head/repo/id": 1, "/pull_request/head/repo/full_name": "eve/Hello-World"});
    check(opened, fork.clone(), &format!("pull_request.opened | Fork - | {of}"));
    check(opened, json!({"/pull_request/head/repo": null}), &format!("pull_request.opened | Fork - | {of}"));
    assert_eq!(changed(opened, fork).keys.branch.as_deref(), Some("eve/Hello-World:changes"));
    assert_eq!(changed(opened, json!({"/pull_request/head/repo": null})).keys.branch, None);
    assert_eq!(changed(opened, json!({})).keys.branch.as_deref(), Some("Codertocat/Hello-World:changes"));
    // As an issue it does not say.
    let comment = changed("issue_comment-created-pull_request", json!({}));
    assert_eq!((comment.code, comment.subject.kind), (Code::Unknown, SubjectKind::PullRequest));
}

#[test]
fn what_github_says_of_a_pull_request_is_what_its_own_events_say() {
    let check = |code, repository: Option<&str>, branch: Option<&str>| {
        let (repository, branch_of) = (repository.map(str::to_owned), Some("changes".parse().unwrap()));
        let origin = Origin { code, repository, branch: branch_of };
        let mut comment = changed("issue_comment-created-pull_request", json!({}));
        let before = comment.keys.clone();
        assert_eq!(before.branch, None);
        comment.comes_from(&origin);
        assert_eq!((comment.code, comment.of_unknown_origin()), (code, None));
        assert_eq!(comment.keys, Keys { branch: branch.map(str::to_owned), ..before });
    };
    let own = changed("issue_comment-created-pull_request", json!({})).subject.repository.unwrap();
    check(Code::Repository, Some(&own), Some(&format!("{own}:changes")));
    check(Code::Fork, Some("eve/Hello-World"), Some("eve/Hello-World:changes"));
    check(Code::Fork, None, None);
    // What the payload says counts.
    let fork = changed("pull_request-opened", json!({"/pull_request/head/repo": null}));
    let mut same = fork.clone();
    same.comes_from(&Origin { code: Code::Repository, repository: None, branch: None });
    assert_eq!(same, fork);
}

#[test]
fn acts_show_what_their_actors_may_do() {
    let right = |name: &str, changes: Value| changed(name, changes).right;
    let other = |pointer: &str| json!({(pointer): 1});
    assert_eq!(right("issues-labeled", json!({})), None);
    assert_eq!(right("issues-labeled", other("/issue/user/id")), Some(Right::Triage));
    assert_eq!(right("issue_comment-created", other("/comment/user/id")), None);
    let closed = "pull_request-closed-merged";
    let (fork, other) = ("/pull_request/head/repo/id", "/pull_request/user/id");
    assert_eq!(right(closed, json!({(fork): 1})), Some(Right::Write));
    assert_eq!(right(closed, json!({"/pull_request/merged": false, (other): 1})), Some(Right::Triage));
    assert_eq!(right(closed, json!({"/pull_request/merged": false, (other): 1, (fork): 1})), None);
    assert_eq!(right(closed, json!({"/pull_request/merged": false})), None);
    assert_eq!(changed(closed, json!({"/pull_request/merged": false})).names, ["pull_request.closed"]);
    let pushed = "pull_request-synchronize";
    assert_eq!(right(pushed, json!({(other): 1})), Some(Right::Write));
    assert_eq!(right(pushed, json!({(other): 1, (fork): 1})), None);
    assert_eq!(right("push", json!({})), Some(Right::Write));
}

#[test]
fn checks_show_a_right_only_over_code_of_the_repository() {
    let suite = "check_suite-completed";
    let name = "check_suite.completed";
    let pull = "/check_suite/pull_requests/0";
    check(suite, json!({}), &format!("{name} | Repository Write | github:Codertocat/Hello-World#2"));
    let unknown =
        format!("{name} | Unknown - | github:Codertocat/Hello-World@ec26c3e57ca3a959ca5aad62de7213c562f8c821");
    check(suite, json!({"/check_suite/pull_requests": []}), &unknown);
    check(suite, json!({(format!("{pull}/head/repo/id")): 1}), &unknown);
    check(suite, json!({(format!("{pull}/head/sha")): "a".repeat(40)}), &unknown);
    // A pull request that is offered to somebody else has a number there.
    let upstream = json!({(format!("{pull}/base/repo/id")): 1});
    check(suite, upstream, &format!("{name} | Repository Write | github:Codertocat/Hello-World:changes"));

    let run = "workflow_run-completed";
    let name = "workflow_run.completed";
    let of = "github:octo-org/octo-repo";
    check(run, json!({}), &format!("{name} | Repository Write | {of}:master"));
    check(run, json!({"/workflow_run/event": "deployment"}), &format!("{name} | Repository - | {of}:master"));
    check(run, json!({"/workflow_run/event": "issue_comment"}), &format!("{name} | Repository - | {of}:master"));
    check(run, json!({"/workflow_run/event": "pull_request_target"}), &format!("{name} | Repository - | {of}:master"));
    let sha = "3484a3fb816e0859fd6e1cea078d76385ff50625";
    check(run, json!({"/workflow_run/head_repository": null}), &format!("{name} | Unknown - | {of}@{sha}"));
    let fork = json!({"/workflow_run/head_repository/id": 1, "/workflow_run/event": "pull_request"});
    check(run, fork, &format!("{name} | Fork - | {of}@{sha}"));

    let status = "deployment_status-created";
    let right = |changes: Value| changed(status, changes).right;
    assert_eq!(right(json!({"/workflow_run": {"event": "push"}})), None);
    let (same, other) = (json!({"id": file(status)["repository"]["id"]}), json!({"id": 1}));
    assert_eq!(right(json!({"/workflow_run": {"event": "push", "head_repository": same}})), Some(Right::Write));
    assert_eq!(right(json!({"/workflow_run": {"event": "push", "head_repository": other}})), None);
    // Somebody's own, without a workflow.
    let sender = &file(status)["sender"];
    let made = |kind: &str, creator: &Value| {
        right(json!({"/workflow_run": null, "/sender/type": kind, "/deployment/creator": creator}))
    };
    assert_eq!(made("User", sender), Some(Right::Write));
    assert_eq!(made("Bot", sender), None);
    assert_eq!(made("User", &json!({"login": "eve", "id": 1, "type": "User"})), None);
    assert_eq!(made("User", &Value::Null), None);
}

#[test]
fn what_we_did_ourselves_is_known_by_account_app_or_mark() {
    let sign = |name: &str, changes: Value| changed(name, changes).own;
    let (comment, app) = ("issue_comment-created", "/comment/performed_via_github_app");
    assert_eq!(sign(comment, json!({})), None);
    assert_eq!(sign(comment, json!({"/sender/login": "Ozma[bot]"})), Some(OwnSign::Actor));
    assert_eq!(sign(comment, json!({(app): {"id": 7}})), Some(OwnSign::App));
    assert_eq!(sign(comment, json!({(app): {"id": 8}})), None);
    let mark = Own::marker("019ab0c0-7a3e-7000-8000-000000000001".parse().unwrap());
    assert_eq!(sign(comment, json!({"/comment/body": format!("done\n{mark}")})), Some(OwnSign::Marker));
    assert_eq!(
        sign(comment, json!({"/comment/body": format!("{}{mark}", "x".repeat(100_000))})),
        Some(OwnSign::Marker)
    );
    assert_eq!(sign(comment, json!({"/comment/body": format!("> done\n> {mark}\n\nno, @oz")})), None);
    // What others do with what we wrote is theirs.
    assert_eq!(
        sign("issues-labeled", json!({"/issue/body": mark, "/issue/performed_via_github_app": {"id": 7}})),
        None
    );
    assert_eq!(sign("check_suite-completed", json!({"/check_suite/app/id": 7})), Some(OwnSign::App));
    assert_eq!(sign("check_run-rerequested", json!({"/check_run/app/id": 7})), None);
    assert_eq!(sign("push", json!({"/head_commit/message": format!("Fix\n\n{mark}")})), Some(OwnSign::Marker));
}

#[test]
fn details_are_what_names_leave_open() {
    let detail = |name: &str| changed(name, json!({})).detail.unwrap_or_default();
    assert_eq!(detail("issues-labeled"), "bug");
    assert_eq!(detail("issues-assigned"), "Codertocat");
    assert_eq!(detail("pull_request-review_requested"), "octocat");
    assert_eq!(detail("pull_request_review-submitted"), "commented");
    assert_eq!(detail("check_suite-completed"), "success");
    assert_eq!(detail("deployment_status-created"), "in_progress");
}

#[test]
fn texts_and_names_are_kept_short() {
    let long = json!({"/comment/body": "ä\0".repeat(70_000), "/issue/title": "x\n".repeat(1_000)});
    let occurrence = changed("issue_comment-created", long);
    let text = occurrence.text.unwrap();
    assert!(text.len() <= limits::EVENT_TEXT_BYTES && text.starts_with("ää") && !text.contains('\0'));
    assert_eq!(occurrence.subject.title.unwrap().chars().count(), limits::TITLE_CHARS);

    assert_eq!(changed("issues-opened", json!({"/issue/html_url": "javascript:x"})).subject.url, None);

    let branch = |end: &str| changed("push", json!({"/ref": format!("refs/heads/{}{end}", "ä".repeat(120))}));
    let (one, two) = (branch("1").keys, branch("2").keys);
    assert!(one.object != two.object && one.object.len() <= limits::CONCURRENCY_KEY_BYTES);
    assert_eq!(one.object, format!("github:{}", one.branch.unwrap()));
}

#[test]
fn what_is_left_is_told_by_name() {
    let left = |event: &str, payload: Value| match Provider::Github.decode(event, &payload, &own()) {
        Ok(Decoded::NotUsed { name, why }) => format!("{name}: {why}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(left("ping", json!({})), "ping: it says that the webhook is set up");
    assert_eq!(left("star", json!({"action": "created"})), "star.created: events of this kind start nothing");
    assert_eq!(left("fork", json!([])), "fork: events of this kind start nothing");
    let actions = "of these events the actions that can start something are created, edited";
    assert_eq!(left("issue_comment", json!({"action": "deleted"})), format!("issue_comment.deleted: {actions}"));
    assert_eq!(left("push", json!({"ref": "refs/heads/x", "deleted": true}))[..12], *"push: the pu");
    let name = left("x\n", json!({"action": "y".repeat(1_000)}));
    assert!(name.starts_with("x.yyy") && name.len() < 200, "{name}");
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let refused = |name: &str, pointer: &str, value: Value| {
        let mut payload = file(name);
        *payload.pointer_mut(pointer).unwrap() = value;
        let event = name.split_once('-').map_or(name, |(event, _)| event);
        Provider::Github.decode(event, &payload, &own()).unwrap_err().to_string()
    };
    let missing = |member: &str| format!("{member}: missing; the provider sends it with each event of this kind");
    assert_eq!(refused("issues-opened", "/action", Value::Null), missing("action"));
    assert_eq!(refused("issues-opened", "/issue", Value::Null), missing("issue.number"));
    assert_eq!(refused("issues-opened", "/sender", Value::Null), missing("sender"));
    assert_eq!(refused("issues-opened", "/sender/id", json!("1")), "sender.id: not a whole number from 0");
    assert_eq!(refused("issues-opened", "/issue/user", json!(1)), "issue.user: not an object");
    assert_eq!(refused("pull_request-opened", "/pull_request/head", Value::Null), missing("pull_request.head.sha"));
    let not_a_commit = "40 or 64 hexadecimal digits in lower case";
    let of = |member: &str| format!("{member}: not a commit: {not_a_commit}");
    assert_eq!(refused("pull_request-opened", "/pull_request/head/sha", json!("HEAD")), of("pull_request.head.sha"));
    assert_eq!(
        refused("pull_request-opened", "/pull_request/head/ref", json!("--upload-pack=x")),
        "pull_request.head.ref: not the name of a branch or tag"
    );
    assert_eq!(
        refused("issues-opened", "/repository/full_name", json!("acme/web/x#1")),
        "repository.full_name: not a repository: owner/name"
    );
    assert_eq!(refused("push", "/ref", json!("refs/notes/x")), "ref: neither refs/heads/… nor refs/tags/…");
    assert_eq!(
        refused("check_suite-completed", "/check_suite/pull_requests/0/head/repo/id", json!(true)),
        "check_suite.pull_requests[0].head.repo.id: not a whole number from 0"
    );
}

#[test]
fn each_name_is_there_once() {
    let names = Provider::Github.events();
    assert!(names.iter().all(|name| name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_' | b'.'))));
    let pairs: std::collections::BTreeSet<_> = USED.iter().map(|used| (used.event, used.action)).collect();
    assert_eq!((pairs.len(), names.len()), (USED.len(), USED.len() - 1 + MENTIONED.len() + 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn broken_payloads_are_decoded_or_refused_by_member(example in any::<Index>(), breaks in breaks()) {
        let used: Vec<_> = EXAMPLES.iter().filter(|example| USED.iter().any(|used| used.event == example.event)).collect();
        let Example { event, payload, .. } = used[example.index(used.len())];
        let payload = broken(payload, breaks);
        holds(Provider::Github, event, &payload, &own())?;
        if let Ok(Decoded::NotUsed { name, .. }) = Provider::Github.decode(event, &payload, &own()) {
            prop_assert!(name.starts_with(event.as_str()));
        }
    }
}
