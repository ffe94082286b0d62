//! Payloads as Linear sends them, what follows from their members, and payloads that are broken at any place.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use super::*;
use crate::provider::broken;
use crate::provider::{
    ActorKind, Allow, Association, Control, OwnSign, Place, Provider, Refused, SubjectKind, may_start, payloads,
};

const ANN: &str = "c4678d48-c096-480c-9080-0a520e8051e8";
const BEN: &str = "11c5ce7d-229b-4487-b23b-f404e4a8c85d";
const APP_USER: &str = "6ee0d291-1111-4a40-b02c-2381ccb6eaf8";

fn own() -> Own {
    Own { logins: vec![APP_USER.to_owned()], mention: Some("@oz".to_owned()), ..Own::default() }
}

static FILES: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| payloads::files("linear"));

fn file(name: &str) -> Value {
    FILES.iter().find(|(of, _)| of == name).unwrap_or_else(|| panic!("{name}")).1.clone()
}

fn decode(payload: &Value) -> Result<Decoded, InvalidField> {
    Provider::Linear.decode("", payload, &own())
}

#[track_caller]
fn changed(name: &str, changes: Value) -> Occurrence {
    match decode(&payloads::with(file(name), changes)) {
        Ok(Decoded::Used(occurrence)) => *occurrence,
        other => panic!("{name}: {other:?}"),
    }
}

#[track_caller]
fn left(name: &str, changes: Value) -> String {
    match decode(&payloads::with(file(name), changes)) {
        Ok(Decoded::NotUsed { name, why }) => format!("{name}: {why}"),
        other => panic!("{other:?}"),
    }
}

/// One line: names, keys, who, and what is said.
fn line(occurrence: &Occurrence) -> String {
    let Occurrence { names, keys, subject, actor, own, .. } = occurrence;
    let association = actor.association.map_or("-".to_owned(), |of| of.to_string());
    let mut line = format!("{} | {:?} {} | ", names.join("+"), subject.kind, keys.object);
    line += &format!("{} {:?} {association}", &actor.login[..8], actor.kind);
    let author = occurrence.author.as_ref().filter(|author| author.id != actor.id);
    let parts = [
        author.map(|author| format!("by {}", &author.login[..8])),
        own.map(|own| format!("own: {own}")),
        occurrence.detail.clone(),
        keys.thread.clone(),
        occurrence.control.as_ref().map(|control| format!("{control:?}")),
        occurrence.text.as_ref().map(|text| format!("{text:?}")),
    ];
    for part in parts.into_iter().flatten() {
        line += &format!(" | {part}");
    }
    line
}

#[test]
fn each_file_is_used_or_left_by_name() {
    let lines =
        FILES.iter().map(|(name, payload)| match decode(payload).unwrap_or_else(|err| panic!("{name}: {err}")) {
            Decoded::Used(occurrence) => format!("{name}: {}", line(&occurrence)),
            Decoded::NotUsed { name: event, why } => format!("{name}: - {event}: {why}"),
        });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_change_is_what_was_not_so_before() {
    let told = |name: &str, changes: Value| {
        let occurrence = changed(name, changes);
        format!("{} {}", occurrence.names.join("+"), occurrence.detail.unwrap_or_default())
    };
    let labeled = "Issue-update-labeled";
    assert_eq!(told(labeled, json!({})), "issue.labeled oz, login");
    assert_eq!(told(labeled, json!({"/updatedFrom/labelIds": []})), "issue.labeled bug, oz, login");
    assert_eq!(told(labeled, json!({"/updatedFrom/labelIds": null})), "issue.labeled bug, oz, login");
    let all: Vec<_> = file(labeled)["data"]["labelIds"].as_array().unwrap().clone();
    let none = "Issue.update: of what changes, labels that are new, an assignee and the state can start something";
    assert_eq!(left(labeled, json!({"/updatedFrom/labelIds": all})), none);
    for name in ["Issue-update-unlabeled", "Issue-update-title"] {
        assert_eq!(left(name, json!({})), none);
    }
    let assigned = "Issue-update-assigned";
    assert_eq!(told(assigned, json!({})), format!("issue.assigned {BEN}"));
    assert_eq!(told(assigned, json!({"/updatedFrom/assigneeId": ANN})), format!("issue.assigned {BEN}"));
    assert_eq!(left(assigned, json!({"/updatedFrom/assigneeId": BEN})), none);
    assert_eq!(left(assigned, json!({"/data/assigneeId": null, "/updatedFrom/assigneeId": ANN})), none);
    // Old webhooks list as null whatever was and is not there.
    assert_eq!(left(assigned, json!({"/data/assigneeId": null})), none);
    let state = "Issue-update-state";
    assert_eq!(told(state, json!({})), "issue.state_changed In Progress");
    // Several at once.
    let assigned = json!({"/updatedFrom/assigneeId": null, "/data/assigneeId": BEN});
    assert_eq!(told(state, assigned), format!("issue.assigned+issue.state_changed {BEN}"));
    let labeled = json!({"/updatedFrom/labelIds": [], "/data/labels": [{"id": "l", "name": "oz"}]});
    assert_eq!(told(state, labeled), "issue.labeled+issue.state_changed oz");
}

#[test]
fn an_issue_may_be_labeled_and_assigned_from_the_start() {
    let created = changed("Issue-create-labeled", json!({}));
    assert_eq!(created.names, ["issue.created", "issue.labeled", "issue.assigned"]);
    assert_eq!(created.detail.as_deref(), Some("bug, oz"));
    let assigned = changed("Issue-create-labeled", json!({"/data/labels": []}));
    assert_eq!((assigned.names.len(), assigned.detail.as_deref()), (2, Some(BEN)));
    let plain = changed("Issue-create", json!({"/data/description": "@oz fix it"}));
    assert_eq!((plain.names, plain.detail), (vec!["issue.created".to_owned(), "issue.mentioned".to_owned()], None));
    // Nobody said it just now.
    assert_eq!(changed("Issue-update-state", json!({"/data/description": "@oz fix it"})).names.len(), 1);
}

#[test]
fn an_issue_is_known_by_its_identifier_and_answered_by_its_id() {
    let created = changed("Issue-create", json!({}));
    assert_eq!((created.keys.object.as_str(), created.keys.item.as_deref()), ("linear:ENG-12", Some("ENG-12")));
    assert_eq!(created.place, Some(Place::LinearIssue { issue: "d62a755d-5389-4dbd-98bb-3db03f239d9d".to_owned() }));
    assert_eq!((created.subject.number, created.subject.kind), (Some(12), SubjectKind::Issue));
    assert_eq!(created.subject.url.as_deref(), Some("https://linear.app/acme/issue/ENG-12/login-is-broken"));
    assert_eq!(created.installation.as_deref(), Some("5f1c2a30-7b1e-4c7a-9a41-2f6f0f2c9a10"));
    let comment = changed("Comment-create", json!({}));
    assert!(comment.subject.url.unwrap().ends_with("#comment-00d56bdc"));
}

#[test]
fn who_acts_is_a_member_an_app_or_nobody() {
    let who = |actor: Value| {
        let actor = changed("Issue-update-state", json!({"/actor": actor})).actor;
        (actor.login, actor.kind, actor.association)
    };
    let id = |id: &str| id.to_owned();
    assert_eq!(who(json!({"id": "u", "type": "user"})), (id("u"), ActorKind::User, Some(Association::Member)));
    assert_eq!(who(json!({"id": "u", "type": "User", "email": "ann@example.com"})).1, ActorKind::User);
    assert_eq!(
        who(json!({"id": "u", "type": "user", "email": "x@oauthapp.linear.app"})),
        (id("u"), ActorKind::Bot, None)
    );
    assert_eq!(who(json!({"id": "u", "type": "oauthClient", "name": "Claude"})), (id("u"), ActorKind::Bot, None));
    assert_eq!(who(json!({"id": "u", "type": "integration", "service": "github"})).1, ActorKind::Bot);
    // Outside of the workspace an address is what somebody says it is.
    let outside = json!({"id": "u", "type": "externalUser", "email": "ann@example.com"});
    assert_eq!(who(outside), (id("u"), ActorKind::Other, None));
    assert_eq!(who(Value::Null), (id("automation"), ActorKind::Other, None));
}

#[test]
fn members_may_start_and_nobody_else() {
    let may = |name: &str, changes: Value, allow: &Allow| {
        may_start(&changed(name, changes), allow).map(|start| start.secrets)
    };
    let default = Allow::default();
    for name in
        ["Issue-create", "Comment-create-mention", "AgentSessionEvent-created-mention", "AgentSessionEvent-prompted"]
    {
        assert_eq!(may(name, json!({}), &default), Ok(true), "{name}");
    }
    let automation = "AgentSessionEvent-created-automation";
    let refused = Refused::NotAPerson { login: "automation".to_owned() };
    assert_eq!(may(automation, json!({}), &default), Err(refused));
    let listed = Allow { logins: ["automation".to_owned()].into(), ..Allow::default() };
    assert_eq!(may(automation, json!({}), &listed), Ok(true));
    // An agent that mentions us, and one for which somebody answers.
    let agent = json!({"/agentSession/comment/body": "@oz look", "/agentSession/comment/userId": "agent"});
    assert_eq!(may(automation, agent.clone(), &default), Err(Refused::NotAPerson { login: "agent".to_owned() }));
    let answered = changed("AgentSessionEvent-created-mention", agent);
    assert_eq!((answered.actor.id.as_str(), answered.author.unwrap().id.as_str()), (ANN, "agent"));
    assert!(may("Issue-update-integration", json!({}), &default).is_err());
}

#[test]
fn what_we_did_ourselves_is_known_by_account_or_mark() {
    let sign = |name: &str, changes: Value| changed(name, changes).own;
    assert_eq!(sign("Comment-create", json!({})), None);
    assert_eq!(sign("Comment-create-own", json!({})), Some(OwnSign::Actor));
    let mark = Own::marker("019ab0c0-7a3e-7000-8000-000000000001".parse().unwrap());
    assert_eq!(sign("Comment-create", json!({"/data/body": format!("done\n{mark}")})), Some(OwnSign::Marker));
    assert_eq!(sign("Comment-create", json!({"/data/body": format!("> {mark}\nno")})), None);
    assert_eq!(sign("Issue-create", json!({"/data/description": mark})), Some(OwnSign::Marker));
    // What others do with what we wrote is theirs.
    assert_eq!(sign("Issue-update-state", json!({"/data/description": mark})), None);
    assert_eq!(sign("AgentSessionEvent-created-delegation", json!({"/agentSession/issue/description": mark})), None);
    // Linear says who we are, whoever we think we are.
    let other = json!({"/appUserId": "other", "/agentActivity/user/id": "other"});
    assert_eq!(sign("AgentSessionEvent-prompted", other), Some(OwnSign::Actor));
}

#[test]
fn a_session_is_a_conversation_about_an_issue() {
    let session = "linear:session:4d23d4ad-b4bb-4ef1-853f-c9c03439d37d";
    let created = changed("AgentSessionEvent-created-mention", json!({}));
    let prompted = changed("AgentSessionEvent-prompted", json!({}));
    for occurrence in [&created, &prompted] {
        assert_eq!(occurrence.keys.thread.as_deref(), Some(session));
        assert_eq!(
            (occurrence.keys.object.as_str(), occurrence.keys.item.as_deref()),
            ("linear:ENG-12", Some("ENG-12"))
        );
        let place = Place::LinearSession { session: "4d23d4ad-b4bb-4ef1-853f-c9c03439d37d".to_owned() };
        assert_eq!(occurrence.place, Some(place));
    }
    assert_eq!((created.text.as_deref(), created.actor.id.as_str()), (Some("@oz is it the cookie?"), ANN));
    // Who goes on need not be who began.
    assert_eq!((prompted.text.as_deref(), prompted.actor.id.as_str()), (Some("and the logout, please"), BEN));
    let delegated = changed("AgentSessionEvent-created-delegation", json!({}));
    assert_eq!(delegated.text.as_deref(), Some("It says 500 since this morning."));
    let elsewhere = changed("AgentSessionEvent-prompted", json!({"/agentSession/issue": null}));
    assert_eq!((elsewhere.keys.object.as_str(), elsewhere.subject.kind), (session, SubjectKind::Conversation));
    // Of whom nothing but the id is told.
    let unknown = changed("AgentSessionEvent-prompted", json!({"/agentActivity/user": null}));
    assert_eq!((unknown.actor.id.as_str(), unknown.actor.kind), (BEN, ActorKind::Other));
}

#[track_caller]
fn says(name: &str, place: &str, text: &str, expected: Option<&Control>) {
    let occurrence = changed(name, json!({(place): text}));
    assert_eq!(occurrence.control.as_ref(), expected, "{text}");
    assert_eq!(occurrence.text.is_some(), expected.is_none(), "{text}");
}

#[test]
fn a_word_alone_is_for_us_where_it_can_be_meant() {
    let (stop, status) = (Control::Stop { run: None }, Control::Status { run: None });
    assert_eq!(changed("AgentSessionEvent-prompted-stop", json!({})).control.as_ref(), Some(&stop));
    let signal = changed("AgentSessionEvent-prompted-stop", json!({"/agentActivity/content/body": "please wait"}));
    assert_eq!((signal.control.as_ref(), signal.text), (Some(&stop), None));
    let (prompted, said) = ("AgentSessionEvent-prompted", "/agentActivity/content/body");
    says(prompted, said, "Stop.", Some(&stop));
    says(prompted, said, "@oz cancel!", Some(&stop));
    says(prompted, said, "[@oz](https://linear.app/acme/profiles/oz), status", Some(&status));
    says(prompted, said, "stop the login from failing", None);
    let (mention, body) = ("AgentSessionEvent-created-mention", "/agentSession/comment/body");
    says(mention, body, "@oz help", Some(&Control::Help));
    says(mention, body, "stop @oz", Some(&stop));
    says(mention, body, "@oz stop @ann from merging", None);
    let body = "/data/body";
    says("Comment-create", body, "@oz: stop", Some(&stop));
    says("Comment-create", body, "stop", None);
    says("Comment-create", body, "@ann stop", None);
}

#[test]
fn what_is_left_is_told_by_name() {
    assert_eq!(
        left("Issue-remove", json!({})),
        "Issue.remove: of these the actions that can start something are create, update"
    );
    let comment = json!({"/action": "update"});
    assert_eq!(
        left("Comment-create", comment),
        "Comment.update: of these the actions that can start something are create"
    );
    assert_eq!(
        left("Comment-create-project", json!({})),
        "Comment.create: only comments at issues can start something"
    );
    assert_eq!(
        left("AppUserNotification-issueAssignedToYou", json!({})),
        "AppUserNotification.issueAssignedToYou: what it tells our app user comes as an issue, a comment or a session as well"
    );
    let other = |kind: &str| json!({"/type": kind, "/action": "x\ny"});
    assert_eq!(left("Issue-create", other("Project")), "Project.x y: webhooks of this kind start nothing");
    assert_eq!(left("Issue-create", other("OAuthApp")), "OAuthApp.x y: it says what our app may see");
    let name = left("Issue-create", json!({"/type": "y".repeat(1_000), "/action": null}));
    assert!(name.starts_with("yyy") && name.len() < 200, "{name}");
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let refused = |name: &str, changes: Value| decode(&payloads::with(file(name), changes)).unwrap_err().to_string();
    let missing = |member: &str| format!("{member}: missing; the provider sends it with each event of this kind");
    assert_eq!(refused("Issue-create", json!({"/type": null})), missing("type"));
    assert_eq!(refused("Issue-create", json!({"/action": null})), missing("action"));
    assert_eq!(refused("Issue-create", json!({"/data": null})), missing("data.identifier"));
    assert_eq!(refused("Issue-create", json!({"/actor/id": null})), missing("actor.id"));
    assert_eq!(refused("Issue-update-labeled", json!({"/data/labels/0/name": null})), missing("data.labels[0].name"));
    assert_eq!(refused("Issue-update-state", json!({"/data/state": null})), missing("data.state.name"));
    assert_eq!(refused("Comment-create", json!({"/data/body": null})), missing("data.body"));
    assert_eq!(refused("AgentSessionEvent-prompted", json!({"/agentSession": null})), missing("agentSession.id"));
    assert_eq!(refused("AgentSessionEvent-prompted", json!({"/agentActivity": null})), missing("agentActivity.userId"));
    for identifier in ["ENG", "ENG-", "-12", "ENG-x", "ENG-99999999999999999999"] {
        assert_eq!(
            refused("Issue-create", json!({"/data/identifier": identifier})),
            "data.identifier: not an issue: the key of a team, - and a number"
        );
    }
    assert_eq!(
        refused("Issue-update-labeled", json!({"/updatedFrom/labelIds": [1]})),
        "updatedFrom.labelIds[0]: not a text"
    );
}

#[test]
fn each_name_is_there_once() {
    let names = Provider::Linear.events();
    assert!(names.is_sorted() && names.windows(2).all(|pair| pair[0] != pair[1]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn broken_payloads_are_decoded_or_refused_by_member(example in any::<Index>(), breaks in broken::breaks()) {
        let (_, payload) = &FILES[example.index(FILES.len())];
        let payload = broken::broken(payload, breaks);
        broken::holds(Provider::Linear, "", &payload, &own())?;
    }

    /// However a word is said to us that is no work, nobody gets it as a prompt.
    #[test]
    fn control_words_are_never_prompts(
        word in "[Ss][Tt][Oo][Pp]|[Cc]ancel|CANCEL|[Ss]tatus|[Hh][Ee]lp",
        end in "[.!]{0,3}",
        mention in prop::sample::select(vec!["@oz ", "@OZ: ", "[@oz](https://linear.app/acme/profiles/oz)\n"]),
        signal in prop::sample::select(vec![json!(null), json!("continue"), json!("stop")]),
    ) {
        let text = format!("{mention}{word}{end}");
        for (name, place) in [
            ("AgentSessionEvent-created-mention", "/agentSession/comment/body"),
            ("AgentSessionEvent-prompted", "/agentActivity/content/body"),
            ("Comment-create", "/data/body"),
        ] {
            let mut changes = json!({(place): text});
            if name == "AgentSessionEvent-prompted" {
                changes["/agentActivity/signal"] = signal.clone();
            }
            let said = changed(name, changes);
            prop_assert!(said.control.is_some() && said.text.is_none(), "{:?} {:?}", text, said);
        }
    }

    /// A session's conversation is its own, whatever is said in it, and a stop of it is never lost.
    #[test]
    fn a_signal_stops_whatever_is_said(text in ".{0,40}") {
        let changes = json!({"/agentActivity/signal": "stop", "/agentActivity/content/body": text});
        let said = changed("AgentSessionEvent-prompted", changes);
        prop_assert_eq!((said.control, said.text), (Some(Control::Stop { run: None }), None));
    }
}
