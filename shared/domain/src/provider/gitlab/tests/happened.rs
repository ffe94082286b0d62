//! What an event is called.

use super::*;

/// The names and detail of an update with these changes.
#[track_caller]
fn check_update(name: &str, changes: Value, expected: &str) {
    let mut update = json!({"/object_attributes/action": "update", "/object_attributes/oldrev": null});
    update["/changes"] = changes;
    let Occurrence { names, detail, .. } = changed(name, update);
    assert_eq!(format!("{} {}", names.join(" "), detail.unwrap_or_default()).trim(), expected);
}

#[test]
fn an_update_is_what_it_changed() {
    let label = |title: &str| json!({"id": 1, "title": title});
    let labels = |before: Value, after: Value| json!({"labels": {"previous": before, "current": after}});
    for (file, kind) in [("issue-open", "issue"), ("merge_request-open", "merge_request")] {
        let added = labels(json!([label("api")]), json!([label("api"), label("agent"), label("bug")]));
        check_update(file, added, &format!("{kind}.labeled agent"));
        let swapped = labels(json!([label("api")]), json!([label("agent")]));
        check_update(file, swapped, &format!("{kind}.labeled {kind}.unlabeled agent"));
        check_update(file, labels(json!([label("api")]), json!([])), &format!("{kind}.unlabeled api"));
        let user = |name: &str| json!({"id": 1, "username": name});
        let assigned = json!({"assignees": {"previous": [user("ann")], "current": [user("ann"), user("oz")]}});
        check_update(file, assigned, &format!("{kind}.assigned oz"));
        let title = json!({"title": {"previous": "a", "current": "b"}});
        check_update(file, title, &format!("{kind}.edited"));
        let text = json!({"description": {"previous": "a", "current": "b"}, "updated_at": {"previous": 1}});
        check_update(file, text, &format!("{kind}.edited"));
        let all = json!({
            "title": {"previous": "a", "current": "b"},
            "labels": {"previous": [], "current": [label("agent")]},
            "assignees": {"previous": [], "current": [user("oz")]},
        });
        check_update(file, all, &format!("{kind}.labeled {kind}.assigned {kind}.edited agent"));
    }
    let merge = "merge_request-open";
    let reviewers = |after: Value| json!({"reviewers": {"previous": [{"username": "oz"}], "current": after}});
    let (again, another) = (json!([{"username": "oz", "re_requested": true}]), json!([{"username": "ann"}]));
    check_update(merge, reviewers(another), "merge_request.review_requested ann");
    check_update(merge, reviewers(again), "merge_request.review_requested oz");
    let draft = |was: bool| json!({"draft": {"previous": was, "current": !was}});
    check_update(merge, draft(true), "merge_request.ready_for_review");
    check_update(merge, draft(false), "merge_request.converted_to_draft");
    let pushed = changed("merge_request-update", json!({"/changes": draft(true)}));
    assert_eq!(pushed.names, ["merge_request.synchronized", "merge_request.ready_for_review"]);
}

#[test]
fn what_changes_nothing_of_use_is_left() {
    let kinds = "open, reopen, close, edited, labeled, unlabeled, assigned";
    let nothing = json!({"/object_attributes/action": "update", "/changes": {"weight": {"previous": 1, "current": 2}}});
    assert_eq!(
        left("Issue Hook", &payload("issue-open", nothing)),
        format!("issue.update: of these events what can start something is {kinds}")
    );
    let same = json!([{"username": "oz"}]);
    let reviewed =
        json!({"/object_attributes/oldrev": null, "/changes": {"reviewers": {"previous": same, "current": same}}});
    assert!(
        left("Merge Request Hook", &payload("merge_request-update", reviewed)).starts_with("merge_request.update: ")
    );
    let action = |action: Value| json!({"/object_attributes/action": action});
    let unapproved = payload("merge_request-open", action(json!("unapproved")));
    assert!(left("Merge Request Hook", &unapproved).starts_with("merge_request.unapproved: of these events"));
    let test = payload("issue-open", action(Value::Null));
    assert_eq!(left("Issue Hook", &test), "issue: it says of nothing that it happened, as when a webhook is tested");
    let deleted = payload("push", json!({"/after": "0".repeat(40), "/checkout_sha": null}));
    assert!(left("Push Hook", &deleted).starts_with("push: the push deletes its branch or tag"));
    let system = payload("note-Issue", json!({"/object_attributes/system": true}));
    assert!(left("Note Hook", &system).starts_with("note.Issue.create: GitLab wrote it"));
    let running = payload("pipeline-success", json!({"/object_attributes/status": "running"}));
    assert_eq!(
        left("Pipeline Hook", &running),
        "pipeline.running: of these events what can start something is success, failed, canceled, skipped"
    );
    let long = left("Issue Hook", &payload("issue-open", action(json!("y\n".repeat(1_000)))));
    assert!(long.starts_with("issue.y y") && long.len() < 250, "{long}");
}

#[test]
fn the_payload_says_what_it_is_but_for_system_hooks() {
    let issue = payload("issue-open", json!({}));
    for header in ["Issue Hook", "Confidential Issue Hook", "Service Hook", "Push Hook", ""] {
        let decoded = Provider::Gitlab.decode(header, &issue, &own()).unwrap();
        assert!(matches!(decoded, Decoded::Used(occurrence) if occurrence.is("issue.opened")), "{header}");
    }
    assert!(left("System Hook", &issue).starts_with("system_hook.issue: it tells of the whole installation"));
    // Only where it says nothing the header tells what is missing.
    let silent = payload("issue-open", json!({"/object_kind": null}));
    for header in ["Issue Hook", "Confidential Issue Hook", "Tag Push Hook"] {
        let refused = Provider::Gitlab.decode(header, &silent, &own()).unwrap_err();
        assert_eq!(refused.field, "object_kind", "{header}");
    }
    assert_eq!(left("Member Hook", &json!({"event_name": "user_add_to_group"}))[..17], *"user_add_to_group");
    assert_eq!(left("Emoji Hook", &json!({})), "Emoji Hook: events of this kind start nothing");
}

#[test]
fn what_an_item_is_opened_with_is_told_with_it() {
    let none = json!({"/labels": [], "/assignees": []});
    let (issue, merge) = ("issue-open", "merge_request-open");
    check(issue, none, "issue.opened | Repository - | gitlab:gitlabhq/gitlab-test#23");
    let labels = json!({"/assignees": [], "/labels": [{"title": "agent"}, {"title": "bug"}]});
    // A template labels for a stranger.
    check(issue, labels.clone(), "issue.opened issue.labeled | Repository - | gitlab:gitlabhq/gitlab-test#23");
    assert_eq!(changed(issue, labels).detail.as_deref(), Some("agent"));
    let reviewed = json!({"/labels": [], "/assignees": [], "/reviewers": [{"id": 1, "username": "oz"}]});
    let of = "gitlab:gitlabhq/gitlab-test!1";
    check(merge, reviewed, &format!("merge_request.opened merge_request.review_requested | Repository Write | {of}"));
}

#[test]
fn who_is_mentioned_makes_a_name_of_its_own() {
    let names = |name: &str, changes: Value| changed(name, changes).names;
    let said =
        |action: Value| json!({"/object_attributes/note": "hey @OZ, fix this", "/object_attributes/action": action});
    for (file, of, mentioned) in [
        ("note-Issue", "issue_comment", "issue.mentioned"),
        ("note-MergeRequest", "merge_request_comment", "merge_request.mentioned"),
        ("note-Commit", "commit_comment", "commit.mentioned"),
    ] {
        for action in [Value::Null, json!("create")] {
            assert_eq!(names(file, said(action)), [format!("{of}.created"), mentioned.to_owned()]);
        }
        assert_eq!(names(file, said(json!("update"))), [format!("{of}.edited")]);
        assert_eq!(names(file, json!({"/object_attributes/note": "`@oz` me@oz.dev"})), [format!("{of}.created")]);
    }
    let opened = json!({"/object_attributes/description": "@oz", "/labels": [], "/assignees": []});
    assert_eq!(names("issue-open", opened), ["issue.opened", "issue.mentioned"]);
    let edited = |before: Value| {
        let changes = json!({"description": {"previous": before, "current": "@oz"}});
        let update = json!({"/object_attributes/action": "update", "/object_attributes/description": "@oz", "/changes": changes});
        names("issue-open", update)
    };
    assert_eq!(edited(json!("")), ["issue.edited", "issue.mentioned"]);
    assert_eq!(edited(Value::Null), ["issue.edited", "issue.mentioned"]);
    assert_eq!(edited(json!("@oz")), ["issue.edited"]);
    // Nobody said it just now.
    let closed = json!({"/object_attributes/action": "close", "/object_attributes/description": "@oz"});
    assert_eq!(names("issue-open", closed), ["issue.closed"]);
}
