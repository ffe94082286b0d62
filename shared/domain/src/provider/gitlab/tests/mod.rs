//! The payloads of `events/gitlab`, what follows from their members, and payloads that are broken at any place.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use super::*;
use crate::limits;
use crate::provider::broken::{breaks, broken, holds};

mod happened;
mod trust;

fn own() -> Own {
    Own { logins: vec!["ozma".to_owned(), "77".to_owned()], app_ids: Vec::new(), mention: Some("@oz".to_owned()) }
}

/// The files, which are named by their kind and what is special about them.
static FILES: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/gitlab");
    let names = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".json")).collect();
    names.sort();
    let file = |name: String| {
        let text = std::fs::read_to_string(folder.join(&name)).unwrap();
        (name.trim_end_matches(".json").to_owned(), serde_json::from_str(&text).unwrap())
    };
    names.into_iter().map(file).collect()
});

fn header(name: &str) -> &'static str {
    match name.split('-').next().unwrap_or_default() {
        "issue" => "Issue Hook",
        "merge_request" => "Merge Request Hook",
        "note" => "Note Hook",
        "push" => "Push Hook",
        "tag_push" => "Tag Push Hook",
        "pipeline" => "Pipeline Hook",
        "release" => "Release Hook",
        "system" => "System Hook",
        "build" => "Job Hook",
        _ => "Other Hook",
    }
}

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
    match Provider::Gitlab.decode(header(name), &payload(name, changes), &own()) {
        Ok(Decoded::Used(occurrence)) => *occurrence,
        other => panic!("{name}: {other:?}"),
    }
}

#[track_caller]
fn left(event: &str, payload: &Value) -> String {
    match Provider::Gitlab.decode(event, payload, &own()) {
        Ok(Decoded::NotUsed { name, why }) => format!("{name}: {why}"),
        other => panic!("{other:?}"),
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
    let email = actor.email.as_ref().map(|email| format!(" <{email}>")).unwrap_or_default();
    let wrote = if author.is_some() { ", its author" } else { "" };
    write!(line, " | {} {:?}{email}{wrote}", actor.login, actor.kind).unwrap();
    let right = occurrence.right.map_or("no right".to_owned(), |right| format!("{right:?}").to_lowercase());
    write!(line, " | {:?} {:?}, {right}", occurrence.cause, occurrence.code).unwrap();
    if let Some(detail) = &occurrence.detail {
        write!(line, " | {detail}").unwrap();
    }
    line
}

#[test]
fn every_file_is_used_or_left_by_name() {
    let lines = FILES.iter().map(|(name, payload)| {
        let told = match Provider::Gitlab.decode(header(name), payload, &own()) {
            Ok(Decoded::Used(occurrence)) => line(&occurrence),
            Ok(Decoded::NotUsed { name, why }) => format!("- {name}: {why}"),
            Err(err) => panic!("{name}: {err}"),
        };
        format!("{name}: {told}")
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

/// Names, whose code, what right, and what it is counted by.
#[track_caller]
fn check(name: &str, changes: Value, expected: &str) {
    let occurrence = changed(name, changes);
    let right = occurrence.right.map_or("-".to_owned(), |right| format!("{right:?}"));
    let told = format!("{} | {:?} {right} | {}", occurrence.names.join(" "), occurrence.code, occurrence.keys.object);
    assert_eq!(told, expected);
}

#[test]
fn a_push_is_told_by_its_last_commit() {
    let head = "da1560886d4f094c3e6c9ef40349f7d38b5d27d7";
    let told = |name: &str, changes: Value| {
        let Occurrence { subject, text, .. } = changed(name, changes);
        (subject.head_sha, subject.title, text, subject.url)
    };
    let some = |text: &str| Some(text.to_owned());
    let url = format!("http://example.com/mike/diaspora/commit/{head}");
    assert_eq!(told("push", json!({})), (some(head), some("fixed readme"), some("fixed readme\n"), Some(url)));
    // Of what is not there nothing is told.
    let other = json!([{"id": "a".repeat(40), "message": "Another", "url": "https://acme.example"}]);
    assert_eq!(told("push", json!({"/commits": other})), (some(head), None, None, None));
    assert_eq!(told("push", json!({"/commits": []})), (some(head), None, None, None));
    // An annotated tag is an object of its own, with a message.
    let tagged = json!({"/after": "b".repeat(40), "/message": "Release 1\n\nWith fixes."});
    let commit = "82b3d5ae55f7080f1e6022629cdb57bfae7cccc7";
    assert_eq!(told("tag_push", tagged), (some(commit), some("Release 1"), some("Release 1\n\nWith fixes."), None));
    let bare = json!({"/after": "b".repeat(40), "/checkout_sha": null});
    assert_eq!(told("tag_push", bare).0, Some("b".repeat(40)));
}

#[test]
fn a_merge_request_says_if_it_is_a_draft() {
    let draft =
        |member: &str| changed("merge_request-open", json!({(format!("/object_attributes/{member}")): true})).draft;
    assert!(draft("draft") && draft("work_in_progress") && !draft("first_contribution"));
    // Its branch may be gone.
    let gone = changed("merge_request-open", json!({"/object_attributes/last_commit": null}));
    assert_eq!((gone.subject.head_sha, gone.keys.commit), (None, None));
}

#[test]
fn texts_and_names_are_kept_short() {
    let long = json!({"/object_attributes/note": "ä\0".repeat(70_000), "/issue/title": "x\n".repeat(1_000)});
    let occurrence = changed("note-Issue", long);
    let text = occurrence.text.unwrap();
    assert!(text.len() <= limits::EVENT_TEXT_BYTES && text.starts_with("ää") && !text.contains('\0'));
    assert_eq!(occurrence.subject.title.unwrap().chars().count(), limits::TITLE_CHARS);
    assert_eq!(changed("issue-open", json!({"/object_attributes/url": "javascript:x"})).subject.url, None);
    // Deep groups have long paths, of which keys take the beginning.
    let deep = |end: &str| {
        let path = format!("{}/{end}", vec!["group"; 40].join("/"));
        let branch = format!("refs/heads/{}", "ä".repeat(120));
        changed("push", json!({"/project/path_with_namespace": path, "/ref": branch}))
    };
    let (one, two) = (deep("one"), deep("two"));
    assert!(one.keys.object != two.keys.object && one.keys.object.len() <= limits::CONCURRENCY_KEY_BYTES);
    assert!(one.subject.repository.unwrap().ends_with("group/one"));
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let refused = |name: &str, pointer: &str, value: Value| {
        let payload = payload(name, json!({(pointer): value}));
        Provider::Gitlab.decode(header(name), &payload, &own()).unwrap_err().to_string()
    };
    let missing = |member: &str| format!("{member}: missing; the provider sends it with each event of this kind");
    assert_eq!(refused("issue-open", "/object_attributes/iid", Value::Null), missing("object_attributes.iid"));
    assert_eq!(refused("issue-open", "/user", Value::Null), missing("user.username"));
    assert_eq!(refused("issue-open", "/user/id", json!("1")), "user.id: not a whole number from 0");
    assert_eq!(refused("issue-open", "/object_kind", json!(1)), "object_kind: not a text");
    assert_eq!(refused("issue-open", "/project/id", Value::Null), missing("project.id"));
    assert_eq!(refused("issue-open", "/labels", json!({})), "labels: not a list");
    assert_eq!(refused("note-Issue", "/issue", Value::Null), missing("issue.iid"));
    assert_eq!(refused("push", "/user_username", Value::Null), missing("user_username"));
    assert_eq!(refused("push", "/user_username", json!("a b")), "user_username: not a login");
    assert_eq!(refused("push", "/ref", json!("refs/notes/x")), "ref: neither refs/heads/… nor refs/tags/…");
    assert_eq!(
        refused("merge_request-open", "/object_attributes/source_branch", json!("--upload-pack=x")),
        "object_attributes.source_branch: not the name of a branch or tag"
    );
    for path in ["group", "group//project", "group/../project", "/project", "group/pro ject", &"a/".repeat(200)] {
        assert_eq!(
            refused("issue-open", "/project/path_with_namespace", json!(path)),
            "project.path_with_namespace: not the path of a project: group/project"
        );
    }
    let update = json!({"/object_attributes/action": "update", "/changes": {"labels": {"current": [{"title": 1}]}}});
    let refused = Provider::Gitlab.decode("", &payload("issue-open", update), &own()).unwrap_err();
    assert_eq!(refused.to_string(), "changes.labels.current[0].title: not a text");
}

#[test]
fn each_name_is_there_once() {
    let names = Provider::Gitlab.events();
    assert!(names.iter().all(|name| name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_' | b'.'))));
    let rows: std::collections::BTreeSet<_> =
        USED.iter().map(|used| (used.kind, used.about, used.act, used.name)).collect();
    assert_eq!(rows.len(), USED.len());
    // Merging closes too, two kinds are pushes, and four states complete a pipeline.
    assert_eq!(names.len(), USED.len() - 1 - 1 - 3 + MENTIONED.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn broken_payloads_are_decoded_or_refused_by_member(file in any::<Index>(), breaks in breaks()) {
        let used: Vec<_> = FILES.iter().filter(|(name, _)| is_used(header(name))).collect();
        let (name, payload) = used[file.index(used.len())];
        holds(Provider::Gitlab, header(name), &broken(payload, breaks), &own())?;
    }
}
