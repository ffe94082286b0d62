//! The payloads of `events/jira`, what follows from their members, and payloads that are broken at any place.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use super::*;
use crate::limits;
use crate::provider::broken::{breaks, broken, holds};
use crate::provider::{Allow, OwnSign, Place, Refused, may_start};

const AGENT: &str = "712020:00000000-0000-4000-8000-00000000a9e7";

fn own() -> Own {
    Own { logins: vec![AGENT.to_owned()], app_ids: Vec::new(), mention: Some("@oz".to_owned()) }
}

/// The files, which are named by their event and what is special about them.
static FILES: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/jira");
    let names = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".json")).collect();
    names.sort();
    let file = |name: String| {
        let text = std::fs::read_to_string(folder.join(&name)).unwrap();
        (name.trim_end_matches(".json").to_owned(), serde_json::from_str(&text).unwrap())
    };
    names.into_iter().map(file).collect()
});

/// The file with `changes`: pointers, and what is there instead.
fn payload(name: &str, changes: Value) -> Value {
    let mut payload = FILES.iter().find(|(of, _)| of == name).unwrap_or_else(|| panic!("{name}")).1.clone();
    let Value::Object(changes) = changes else { panic!("{changes}") };
    for (pointer, value) in changes {
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        let parent = payload.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"));
        parent[member] = value;
    }
    payload
}

#[track_caller]
fn changed(name: &str, changes: Value) -> Occurrence {
    match Provider::Jira.decode("", &payload(name, changes), &own()) {
        Ok(Decoded::Used(occurrence)) => *occurrence,
        other => panic!("{name}: {other:?}"),
    }
}

/// One line: names, what it is counted by, who, and the detail and text.
fn line(occurrence: &Occurrence) -> String {
    let Occurrence { names, actor, author, text, own, .. } = occurrence;
    let email = actor.email.as_ref().map(|email| format!(" <{email}>")).unwrap_or_default();
    let by = match author {
        Some(author) if author == actor => ", its author".to_owned(),
        Some(author) => format!(", by {}", author.login),
        None => String::new(),
    };
    let mut line =
        format!("{} | {} | {} {:?}{email}{by}", names.join("+"), occurrence.keys.object, actor.login, actor.kind);
    let detail = occurrence.detail.as_ref().map(|detail| format!(" | {detail}"));
    let own = own.map(|own| format!(" | own, as {own}"));
    let text = text.as_ref().map(|text| format!(" | {text:?}"));
    for part in [detail, own, text].into_iter().flatten() {
        write!(line, "{part}").unwrap();
    }
    line
}

#[test]
fn every_file_is_used_or_left_by_name() {
    let lines = FILES.iter().map(|(name, payload)| {
        let told = match Provider::Jira.decode("", payload, &own()) {
            Ok(Decoded::Used(occurrence)) => line(&occurrence),
            Ok(Decoded::NotUsed { name, why }) => format!("- {name}: {why}"),
            Err(err) => panic!("{name}: {err}"),
        };
        format!("{name}: {told}")
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

/// The names and detail of an update with these items in its changelog: field, before, after.
#[track_caller]
fn check_update(items: &[(&str, &str, &str)], expected: &str) {
    let item = |(field, from, to): &(&str, &str, &str)| json!({"field": field, "fieldId": field, "fieldtype": "jira", "from": from, "fromString": from, "to": to, "toString": to});
    let items: Vec<_> = items.iter().map(item).collect();
    let Occurrence { names, detail, .. } = changed("issue_updated-status", json!({"/changelog/items": items}));
    assert_eq!(format!("{} | {}", names.join(" "), detail.unwrap_or_default()), expected);
}

#[test]
fn an_update_is_what_it_changed() {
    check_update(&[("labels", "", "agent")], "issue.labeled | agent");
    check_update(&[("labels", "bug", "bug agent cart")], "issue.labeled | agent");
    check_update(&[("labels", "bug agent", "bug")], "issue.unlabeled | agent");
    check_update(&[("labels", "agents", "agent")], "issue.labeled issue.unlabeled | agent");
    check_update(&[("status", "To Do", "Done")], "issue.status_changed | Done");
    check_update(&[("assignee", "a", "b")], "issue.assigned | b");
    check_update(&[("summary", "a", "b")], "issue.edited | ");
    let names = "issue.labeled issue.status_changed issue.assigned issue.edited";
    let all = [("description", "a", "b"), ("assignee", "a", "b"), ("status", "a", "c"), ("labels", "a", "a x")];
    check_update(&all, &format!("{names} | x"));
}

#[test]
fn what_changes_nothing_of_use_is_left() {
    let left = |name: &str, changes: Value| match Provider::Jira.decode("", &payload(name, changes), &own()) {
        Ok(Decoded::NotUsed { name, why }) => format!("{name}: {why}"),
        other => panic!("{other:?}"),
    };
    let nothing = "jira:issue_updated: nothing was changed that can start something: labels, status, assignee, summary";
    let file = "issue_updated-status";
    // As a new comment is told, too.
    assert!(left(file, json!({"/changelog": null})).starts_with(nothing));
    let item = |item: Value| left(file, json!({"/changelog/items": [item]}));
    assert!(item(json!({"field": "priority", "fromString": "a", "toString": "b"})).starts_with(nothing));
    assert!(item(json!({"field": "labels", "fromString": "a b", "toString": "b a"})).starts_with(nothing));
    assert!(item(json!({"field": "assignee", "from": "a", "fromString": "Ann", "to": null})).starts_with(nothing));
    // What people call like Jira's own is not that.
    assert!(item(json!({"field": "status", "fieldtype": "custom", "toString": "b"})).starts_with(nothing));
    assert!(item(json!({"field": "labels", "fieldId": "customfield_1", "toString": "b"})).starts_with(nothing));
    assert_eq!(left(file, json!({"/webhookEvent": ""})), "unnamed: events of this kind start nothing");
    let long = left(file, json!({"/webhookEvent": "y\n".repeat(1_000)}));
    assert!(long.starts_with("y y") && long.len() < 200, "{long}");
}

#[test]
fn what_an_issue_is_opened_with_is_told_with_it() {
    let opened = |labels: Value, assignee: Value| {
        let Occurrence { names, detail, .. } =
            changed("issue_created", json!({"/issue/fields/labels": labels, "/issue/fields/assignee": assignee}));
        format!("{} | {}", names.join(" "), detail.unwrap_or_default())
    };
    assert_eq!(opened(json!([]), Value::Null), "issue.created | ");
    assert_eq!(opened(Value::Null, Value::Null), "issue.created | ");
    assert_eq!(opened(json!(["agent", "bug"]), Value::Null), "issue.created issue.labeled | agent");
    let agent = json!({"accountId": AGENT});
    assert_eq!(opened(json!([]), agent.clone()), format!("issue.created issue.assigned | {AGENT}"));
    assert_eq!(opened(json!(["agent"]), agent), "issue.created issue.labeled issue.assigned | agent");
}

#[test]
fn who_is_mentioned_makes_a_name_of_its_own() {
    let mention = format!("[~accountid:{AGENT}]");
    let heard = |name: &str, changes: Value| changed(name, changes).is("issue.mentioned");
    let comment = |body: &str| heard("comment_created", json!({"/comment/body": body}));
    assert!(comment(&format!("hey {mention}, fix this")) && comment("hey @OZ, fix this"));
    assert!(
        !comment("fix this")
            && !comment(&format!("{{code}}{mention} @oz{{code}}"))
            && !comment("[~accountid:712020:0]")
    );
    let node = |id: &str| json!({"type": "doc", "content": [{"type": "mention", "attrs": {"id": id}}]});
    let document = |id: &str| heard("comment_created", json!({"/comment/body": node(id)}));
    assert!(document(AGENT) && !document("712020:0"));

    assert!(heard("issue_created", json!({"/issue/fields/description": mention})));
    assert!(heard("issue_created", json!({"/issue/fields/description": node(AGENT)})));
    let edited = |before: &str| heard("issue_updated-description", json!({"/changelog/items/0/fromString": before}));
    assert!(edited("") && !edited(&format!("x {mention}")) && !edited("@oz"));
    // Nobody said it just now.
    assert!(!heard("issue_updated-labels", json!({"/issue/fields/description": mention})));
}

#[test]
fn people_are_known_by_their_account() {
    let actor = |changes: Value| changed("issue_updated-status", changes).actor;
    let ann = actor(json!({}));
    assert_eq!((&ann.login, ann.email.as_deref(), ann.association), (&ann.id, Some("ann@acme.example"), None));
    let kind = |kind: Value| format!("{:?}", actor(json!({"/user/accountType": kind})).kind);
    for (given, expected) in [("atlassian", "User"), ("app", "Bot"), ("customer", "Other"), ("unknown", "Other")] {
        assert_eq!(kind(json!(given)), expected);
    }
    assert_eq!(kind(Value::Null), "Other");
    assert_eq!(actor(json!({"/user/emailAddress": "hidden"})).email, None);
    // Nothing in it says what anybody may do.
    let unproven = may_start(&changed("issue_updated-labels", json!({})), &Allow::default()).unwrap_err();
    assert!(matches!(unproven, Refused::Unproven { .. }), "{unproven}");
    let created = changed("issue_created", json!({"/issue/fields/creator": null}));
    assert_eq!(created.author, None);
}

#[test]
fn what_we_did_ourselves_is_known_by_account_or_mark() {
    let sign = |name: &str, changes: Value| changed(name, changes).own;
    assert_eq!(sign("comment_created", json!({})), None);
    assert_eq!(sign("comment_created", json!({"/comment/author/accountId": AGENT})), Some(OwnSign::Actor));
    assert_eq!(sign("issue_updated-labels", json!({"/user/accountId": AGENT})), Some(OwnSign::Actor));
    let mark = Own::marker("019ab0c0-7a3e-7000-8000-000000000001".parse().unwrap());
    assert_eq!(sign("comment_created", json!({"/comment/body": format!("done\n{mark}")})), Some(OwnSign::Marker));
    let paragraph = |text: &str| json!({"type": "paragraph", "content": [{"type": "text", "text": text}]});
    let document = json!({"type": "doc", "content": [paragraph(&"x".repeat(32_000)), paragraph(&mark)]});
    assert_eq!(sign("comment_created", json!({"/comment/body": document})), Some(OwnSign::Marker));
    // What others do with what we wrote is theirs.
    assert_eq!(sign("issue_updated-labels", json!({"/issue/fields/description": mark})), None);
}

#[test]
fn answers_go_where_everybody_sees_them_who_saw_the_question() {
    let place = |name: &str, changes: Value| changed(name, changes).place;
    let issue = Some(Place::JiraIssue { issue: "WEB-12".to_owned() });
    for name in ["issue_created", "issue_updated-labels", "comment_created"] {
        assert_eq!(place(name, json!({})), issue, "{name}");
    }
    assert_eq!(place("comment_created", json!({"/comment/jsdPublic": null})), issue);
    assert_eq!(place("comment_created", json!({"/comment/jsdPublic": false})), None);
    let restricted = json!({"type": "role", "value": "Administrators", "identifier": "Administrators"});
    assert_eq!(place("comment_created", json!({"/comment/visibility": restricted})), None);
}

#[test]
fn an_issue_is_known_by_its_key_and_seen_on_its_site() {
    let occurrence = changed("comment_created", json!({"/issue/key": "A_B2-7"}));
    assert_eq!((occurrence.keys.object.as_str(), occurrence.keys.item.as_deref()), ("jira:A_B2-7", Some("A_B2-7")));
    let url = |resource: &str| changed("comment_created", json!({"/issue/self": resource})).subject.url;
    let at = |url: &str| Some(url.to_owned());
    assert_eq!(url("https://acme.atlassian.net/rest/api/2/issue/1"), at("https://acme.atlassian.net/browse/WEB-12"));
    assert_eq!(url("https://acme.atlassian.net/rest/api/2/1"), at("https://acme.atlassian.net/browse/WEB-12"));
    assert_eq!(url("https://acme.example/jira/rest/api/2/1"), at("https://acme.example/jira/browse/WEB-12"));
    assert_eq!(url("https://api.atlassian.com/ex/jira/1-2/rest/api/3/issue/1"), None);
    assert_eq!(url("javascript:/rest/"), None);
    assert_eq!(url("https://acme.atlassian.net"), None);
}

#[test]
fn texts_are_kept_short() {
    let long = json!({"/comment/body": "ä\0".repeat(70_000), "/issue/fields/summary": "x\n".repeat(1_000)});
    let occurrence = changed("comment_created", long);
    let text = occurrence.text.unwrap();
    assert!(text.len() <= limits::EVENT_TEXT_BYTES && text.starts_with("ää") && !text.contains('\0'));
    assert_eq!(occurrence.subject.title.unwrap().chars().count(), limits::TITLE_CHARS);
    for empty in [json!(" \n"), json!({}), json!({"type": "doc", "content": []}), Value::Null] {
        assert_eq!(changed("comment_created", json!({"/comment/body": empty})).text, None);
    }
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let refused = |name: &str, pointer: &str, value: Value| {
        let payload = payload(name, json!({(pointer): value}));
        Provider::Jira.decode("", &payload, &own()).unwrap_err().to_string()
    };
    let missing = |member: &str| format!("{member}: missing; the provider sends it with each event of this kind");
    assert_eq!(refused("issue_created", "/webhookEvent", Value::Null), missing("webhookEvent"));
    assert_eq!(refused("issue_created", "/issue", Value::Null), missing("issue.key"));
    assert_eq!(refused("issue_created", "/user", Value::Null), missing("user.accountId"));
    // Of Jira Data Center, which knows people by name.
    assert_eq!(refused("issue_created", "/user", json!({"name": "ann"})), missing("user.accountId"));
    assert_eq!(refused("comment_created", "/comment/author", Value::Null), missing("comment.author.accountId"));
    assert_eq!(refused("comment_created", "/comment/body", json!(7)), "comment.body: not a text");
    assert_eq!(refused("issue_created", "/issue/fields/labels", json!([7])), "issue.fields.labels[0]: not a text");
    assert_eq!(
        refused("issue_updated-labels", "/changelog/items", json!([{"field": "labels", "toString": 7}])),
        "changelog.items[0].toString: not a text"
    );
    for key in ["", "WEB", "WEB-", "-1", "web-1", "WEB-1a", "W B-1", "WEB-1/..", &format!("{}-1", "A".repeat(200))] {
        assert_eq!(refused("issue_created", "/issue/key", json!(key)), "issue.key: not the key of an issue: PROJ-12");
    }
    assert_eq!(Provider::Jira.decode("", &json!([]), &own()).unwrap_err().to_string(), "payload: not an object");
}

#[test]
fn each_name_is_there_once() {
    let names = Provider::Jira.events();
    assert_eq!(
        names,
        [
            "comment.created",
            "issue.assigned",
            "issue.created",
            "issue.edited",
            "issue.labeled",
            "issue.mentioned",
            "issue.status_changed",
            "issue.unlabeled"
        ]
    );
    let rows: std::collections::BTreeSet<_> = USED.iter().map(|used| (used.event, used.act)).collect();
    assert_eq!(rows.len(), USED.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn broken_payloads_are_decoded_or_refused_by_member(file in any::<Index>(), breaks in breaks()) {
        let (_, payload) = &FILES[file.index(FILES.len())];
        holds(Provider::Jira, "", &broken(payload, breaks), &own())?;
    }

    /// The detail of added labels is one that was not there, and there is none exactly if nothing was added.
    #[test]
    fn a_label_is_added_if_it_was_not_there(
        before in prop::collection::vec("[a-c]{1,2}", 0..4), after in prop::collection::vec("[a-c]{1,2}", 0..4),
    ) {
        let item = json!({"field": "labels", "fromString": before.join(" "), "toString": after.join(" ")});
        let payload = payload("issue_updated-status", json!({"/changelog/items": [item]}));
        let first = after.iter().find(|label| !before.contains(label));
        match Provider::Jira.decode("", &payload, &own()).unwrap() {
            Decoded::Used(occurrence) if occurrence.is("issue.labeled") => {
                prop_assert_eq!(occurrence.detail.as_ref(), first);
            }
            Decoded::Used(_) | Decoded::NotUsed { .. } => prop_assert_eq!(first, None),
        }
    }
}
