//! Whose code it is, what the actor is shown to be, and who sees the answer.

use super::*;
use crate::provider::{ActorKind, GitlabKind, Place};

#[test]
fn code_of_a_merge_request_is_the_projects_or_a_forks() {
    let (open, of) = ("merge_request-open", "gitlab:gitlabhq/gitlab-test!1");
    let bare = |more: Value| {
        let mut changes = json!({"/labels": [], "/assignees": []});
        changes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        changes
    };
    let source = "/object_attributes/source_project_id";
    check(open, bare(json!({})), &format!("merge_request.opened | Repository Write | {of}"));
    check(open, bare(json!({(source): 99})), &format!("merge_request.opened | Fork - | {of}"));
    check(open, bare(json!({(source): null})), &format!("merge_request.opened | Fork - | {of}"));
    let unknown = bare(json!({(source): null, "/object_attributes/target_project_id": null}));
    check(open, unknown, &format!("merge_request.opened | Unknown - | {of}"));
    let branch = |changes: Value| changed(open, changes).keys.branch;
    assert_eq!(branch(bare(json!({}))).as_deref(), Some("gitlabhq/gitlab-test:ms-viewport"));
    let fork = |path: Value| bare(json!({(source): 99, "/object_attributes/source/path_with_namespace": path}));
    assert_eq!(branch(fork(json!("eve/deep/er/test"))).as_deref(), Some("eve/deep/er/test:ms-viewport"));
    assert_eq!(branch(fork(Value::Null)), None);
    let note = |source: Value| changed("note-MergeRequest", json!({"/merge_request/source_project_id": source})).code;
    assert_eq!((note(json!(5)), note(json!(6))), (Code::Repository, Code::Fork));
}

#[test]
fn acts_show_what_their_actors_may_do() {
    let by = |name: &str, author: u64, assigned: u64, act: Value| {
        let mut changes = json!({
            "/object_attributes/author_id": author, "/object_attributes/assignee_ids": [assigned],
            "/object_attributes/assignee_id": null, "/assignees": [], "/object_attributes/oldrev": null,
        });
        changes.as_object_mut().unwrap().extend(act.as_object().unwrap().clone());
        changed(name, changes).right
    };
    // The actor of both is 42.
    let action = |action: &str| json!({"/object_attributes/action": action});
    let labels = json!({"labels": {"previous": [], "current": [{"title": "agent"}]}});
    let label = json!({"/object_attributes/action": "update", "/changes": labels});
    let edit = json!({"/object_attributes/action": "update", "/changes": {"title": {"previous": "a"}}});
    let triage = Some(Right::Triage);
    for (act, of_author, of_assigned, of_others) in [
        (label.clone(), None, triage, triage),
        (edit.clone(), None, None, triage),
        (action("close"), None, None, triage),
        (action("reopen"), None, None, triage),
    ] {
        let shown =
            [by("issue-open", 42, 1, act.clone()), by("issue-open", 1, 42, act.clone()), by("issue-open", 1, 1, act)];
        assert_eq!(shown, [of_author, of_assigned, of_others]);
    }
    let merge = "merge_request-open";
    let approved = action("approved");
    for act in [label, edit, action("close"), action("reopen"), approved] {
        assert_eq!([by(merge, 42, 1, act.clone()), by(merge, 1, 42, act.clone())], [None, None]);
        assert_eq!(by(merge, 1, 1, act), triage);
    }
    assert_eq!(by(merge, 42, 42, action("merge")), Some(Right::Write));
    // Who was assigned until now may have had their right from that.
    let unassigned = json!({"/object_attributes/action": "update", "/changes": {
        "title": {"previous": "a"}, "assignees": {"previous": [{"id": 42, "username": "user1"}], "current": []}}});
    assert_eq!(by("issue-open", 1, 1, unassigned), None);
    let fork = json!({"/object_attributes/action": "close", "/object_attributes/source_project_id": 9});
    assert_eq!(by(merge, 1, 1, fork), None);
    let nobody = json!({"/object_attributes/action": "close", "/object_attributes/author_id": null});
    assert_eq!(by("issue-open", 1, 1, nobody), None);

    let right = |name: &str, changes: Value| changed(name, changes).right;
    let pushed = "merge_request-update";
    assert_eq!(right(pushed, json!({})), Some(Right::Write));
    assert_eq!(right(pushed, json!({"/object_attributes/source_project_id": 9})), None);
    assert_eq!(right("note-Issue", json!({"/object_attributes/author_id": 7})), None);
    for name in ["push", "tag_push", "release-create"] {
        assert_eq!(right(name, json!({})), Some(Right::Write), "{name}");
    }
}

#[test]
fn pipelines_show_a_right_only_over_code_of_the_project() {
    let run = |changes: Value, expected: &str| {
        check("pipeline-success", changes, &format!("pipeline.completed | {expected}"));
    };
    let of = "gitlab:gitlab-org/gitlab-test";
    let sha = "bcbb5ec396a2c0f828686f14fac9b80b780504f2";
    run(json!({}), &format!("Repository Write | {of}!1"));
    run(json!({"/merge_request/source_project_id": 9}), &format!("Fork - | {of}!1"));
    run(json!({"/merge_request/source_project_id": null}), &format!("Fork - | {of}!1"));
    let of_source = |source: &str| json!({"/merge_request": null, "/object_attributes/source": source});
    for source in ["push", "web", "schedule", "api", "trigger", "webide"] {
        run(of_source(source), &format!("Repository Write | {of}:master"));
    }
    for source in ["external_pull_request_event", "external", "chat", "pipeline", "merge_request_event", "x"] {
        run(of_source(source), &format!("Unknown - | {of}@{sha}"));
    }
    let chat = json!({"/object_attributes/source": "chat"});
    run(chat, &format!("Repository - | {of}!1"));
    // Of a merge request that is offered to another project the number is one there.
    run(json!({"/merge_request/target_project_id": 9}), &format!("Repository Write | {of}:test"));
    let hidden = json!({"/merge_request": null, "/object_attributes/source": "push",
        "/object_attributes/ref": "refs/merge-requests/1/head"});
    run(hidden, &format!("Repository Write | {of}@{sha}"));
    let tag = json!({"/merge_request": null, "/object_attributes/source": "push", "/object_attributes/tag": true});
    run(tag, &format!("Repository Write | {of}:refs/tags/master"));
    for status in ["success", "failed", "canceled", "skipped"] {
        let occurrence = changed("pipeline-success", json!({"/object_attributes/status": status}));
        assert_eq!((occurrence.detail.as_deref(), occurrence.cause), (Some(status), Cause::Checks));
    }
    let gone = changed("pipeline-success", json!({"/user": null}));
    assert_eq!((gone.actor.login.as_str(), gone.right), ("-", Some(Right::Write)));
}

#[test]
fn who_acts_is_told_by_their_account() {
    let actor = |changes: Value| changed("note-Issue", changes).actor;
    let kind = |name: &str| actor(json!({"/user/username": name})).kind;
    for name in ["project_12_bot_6f2c", "group_1_bot", "service_account_group_9_ab", "support-bot", "alert-bot1"] {
        assert_eq!(kind(name), ActorKind::Bot, "{name}");
    }
    for name in ["ann", "project_bot", "project_x_bot", "project_12_robot", "groupie", "ghostwriter", "my-support-bot"]
    {
        assert_eq!(kind(name), ActorKind::User, "{name}");
    }
    assert_eq!((kind("ghost"), kind("ghost1")), (ActorKind::Other, ActorKind::Other));
    let email = |text: &str| actor(json!({"/user/email": text})).email;
    assert_eq!(email("ann@acme.example").as_deref(), Some("ann@acme.example"));
    assert_eq!(changed("push", json!({})).actor.email.as_deref(), Some("john@example.com"));
    for text in ["[REDACTED]", "", "@", "ann", "ann@", "ann@x y", "Ann <ann@x>", &format!("a@{}", "x".repeat(255))] {
        assert_eq!(email(text), None, "{text}");
    }
    let author = |id: u64| changed("note-Issue", json!({"/object_attributes/author_id": id})).author;
    assert_eq!(author(42).map(|author| author.login), Some("user1".to_owned()));
    assert_eq!(author(1), None);
}

#[test]
fn what_we_did_ourselves_is_known_by_account_or_mark() {
    let sign = |name: &str, changes: Value| changed(name, changes).own;
    assert_eq!(sign("note-Issue", json!({})), None);
    assert_eq!(sign("note-Issue", json!({"/user/username": "Ozma"})), Some(OwnSign::Actor));
    assert_eq!(sign("note-Issue", json!({"/user/id": 77})), Some(OwnSign::Actor));
    let mark = Own::marker("019ab0c0-7a3e-7000-8000-000000000001".parse().unwrap());
    assert_eq!(sign("note-Issue", json!({"/object_attributes/note": mark})), Some(OwnSign::Marker));
    assert_eq!(sign("note-Issue", json!({"/object_attributes/note": format!("> {mark}\n\nno")})), None);
    assert_eq!(sign("merge_request-open", json!({"/object_attributes/description": mark})), Some(OwnSign::Marker));
    // What others do with what we wrote is theirs.
    let closed = json!({"/object_attributes/action": "close", "/object_attributes/description": mark});
    assert_eq!(sign("merge_request-open", closed), None);
    let head = "da1560886d4f094c3e6c9ef40349f7d38b5d27d7";
    let pushed = json!({"/commits": [{"id": head, "message": format!("Fix\n\n{mark}")}]});
    assert_eq!(sign("push", pushed), Some(OwnSign::Marker));
    assert_eq!(sign("release-create", json!({"/description": mark})), Some(OwnSign::Marker));
}

#[test]
fn answers_go_where_everybody_sees_them_who_saw_the_question() {
    let place = |name: &str, changes: Value| changed(name, changes).place;
    let item = |project, kind, iid, discussion: Option<&str>| {
        Some(Place::GitlabItem { project, kind, iid, discussion: discussion.map(str::to_owned) })
    };
    assert_eq!(place("issue-open", json!({})), item(1, GitlabKind::Issue, 23, None));
    // Some versions tell the project's number beside it.
    assert_eq!(place("note-Issue", json!({"/project/id": null})), item(5, GitlabKind::Issue, 17, None));
    assert_eq!(place("merge_request-open", json!({})), item(1, GitlabKind::MergeRequest, 1, None));
    assert_eq!(place("pipeline-success", json!({})), item(1, GitlabKind::MergeRequest, 1, None));
    for name in ["note-Commit", "push", "release-create"] {
        assert_eq!(place(name, json!({})), None, "{name}");
    }
    let thread = "a".repeat(40);
    let discussed = json!({"/object_attributes/discussion_id": thread});
    assert_eq!(place("note-Issue", discussed.clone()), item(5, GitlabKind::Issue, 17, Some(&thread)));
    assert_eq!(place("note-MergeRequest", discussed), item(5, GitlabKind::MergeRequest, 1, Some(&thread)));
    // What is confidential as a whole is answered there. An internal comment only among its like.
    let confidential = json!({"/event_type": "confidential_note", "/issue/confidential": true});
    assert_eq!(place("note-Issue", confidential), item(5, GitlabKind::Issue, 17, None));
    for internal in [
        json!({"/event_type": "confidential_note"}),
        json!({"/object_attributes/internal": true}),
        json!({"/object_attributes/confidential": true}),
    ] {
        assert_eq!(place("note-Issue", internal.clone()), None, "{internal}");
        let mut discussed = internal;
        discussed["/object_attributes/discussion_id"] = json!(thread);
        assert_eq!(place("note-Issue", discussed), item(5, GitlabKind::Issue, 17, Some(&thread)));
    }
}

proptest! {
    /// Whatever the act is, an author and an assignee of a fork's merge request are shown to have no right by it, but by
    /// merging.
    #[test]
    fn who_is_involved_in_a_forks_merge_request_proves_nothing(
        action in prop::sample::select(vec!["open", "reopen", "close", "approved", "update"]),
        is_author: bool,
        labels in prop::collection::vec("[a-c]", 0..3), title: bool, draft: bool, pushed: bool,
    ) {
        let labels: Vec<_> = labels.into_iter().map(|title| json!({"title": title})).collect();
        let mut changes = json!({"labels": {"previous": [], "current": labels}});
        if title {
            changes["title"] = json!({"previous": "a", "current": "b"});
        }
        changes["draft"] = json!({"previous": draft, "current": !draft});
        let (author, assigned) = if is_author { (42, 1) } else { (1, 42) };
        let payload = payload("merge_request-open", json!({
            "/object_attributes/action": action, "/object_attributes/author_id": author,
            "/object_attributes/assignee_id": assigned, "/object_attributes/source_project_id": 9,
            "/object_attributes/oldrev": pushed.then(|| "a".repeat(40)), "/changes": changes,
        }));
        let decoded = Provider::Gitlab.decode("Merge Request Hook", &payload, &own()).unwrap();
        let Decoded::Used(occurrence) = decoded else { panic!("{decoded:?}") };
        prop_assert_eq!((occurrence.right, occurrence.code), (None, Code::Fork));
    }
}
