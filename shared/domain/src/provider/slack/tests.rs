//! Slack's own payloads, what follows from their members, and payloads that are broken at any place.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use super::*;
use crate::provider::{ActorKind, Control, Occurrence, OwnSign, Place, Provider, broken, payloads};

const TEAM: &str = "T043DB835ML";
const BOT: &str = "U0442US8QGH";

fn own() -> Own {
    Own { logins: vec!["UOTHEROZ".to_owned(), "BOTHEROZ".to_owned(), "AOTHEROZ".to_owned()], ..Own::default() }
}

fn kind(name: &str) -> &'static str {
    if name.starts_with(SLASH_COMMAND) { SLASH_COMMAND } else { EVENTS_API }
}

static FILES: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| payloads::files("slack"));

fn file(name: &str) -> Value {
    FILES.iter().find(|(of, _)| of == name).unwrap_or_else(|| panic!("{name}")).1.clone()
}

#[track_caller]
fn decoded(event: &str, payload: &Value) -> Occurrence {
    match Provider::Slack.decode(event, payload, &own()) {
        Ok(Decoded::Used(occurrence)) => *occurrence,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn changed(name: &str, changes: Value) -> Occurrence {
    decoded(kind(name), &payloads::with(file(name), changes))
}

/// One line: names, keys, who, and what is said.
fn line(occurrence: &Occurrence) -> String {
    let Occurrence { names, keys, actor, own, .. } = occurrence;
    let mut line = format!("{} | {} | {} {:?}", names.join("+"), keys.object, actor.login, actor.kind);
    let own = own.map(|own| format!("own: {own}"));
    let said = occurrence.control.as_ref().map(|control| format!("{control:?}"));
    let message = occurrence.message.as_ref().map(|message| format!("message {message}"));
    let parts =
        [own, occurrence.detail.clone(), said, occurrence.text.as_ref().map(|text| format!("{text:?}")), message];
    for part in parts.into_iter().flatten() {
        line += &format!(" | {part}");
    }
    line
}

#[test]
fn each_file_is_used_or_left_by_name() {
    let lines = FILES.iter().map(|(name, payload)| {
        match Provider::Slack.decode(kind(name), payload, &own()).unwrap_or_else(|err| panic!("{name}: {err}")) {
            Decoded::Used(occurrence) => format!("{name}: {}", line(&occurrence)),
            Decoded::NotUsed { name: event, why } => format!("{name}: - {event}: {why}"),
        }
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_message_is_the_same_however_it_is_told() {
    let mention = decoded(EVENTS_API, &file("app_mention"));
    assert_eq!(mention, decoded(EVENTS_API, &file("message-mention")));
    assert_eq!(mention.names, ["app_mention"]);
    assert_eq!(mention.message.as_deref(), Some("T043DB835ML:C043YJGBY49:1785310201.104529"));
    assert_eq!(mention.text.as_deref(), Some("fix the login (https://github.com/acme/web/issues/12) & tell #general"));
    assert_eq!(mention.installation.as_deref(), Some(TEAM));
    let thread = mention.keys.thread.unwrap();
    assert_eq!(thread, mention.keys.object);
    // What is said in it later is in the same thread.
    for reply in ["app_mention-thread-stop", "message-thread_broadcast"] {
        let reply = decoded(EVENTS_API, &file(reply));
        assert_eq!((reply.keys.thread.as_ref(), &reply.place), (Some(&thread), &mention.place));
        assert_ne!(reply.message, mention.message);
    }
}

#[test]
fn names_say_where_and_whether_to_us() {
    let name = |name: &str, changes: Value| changed(name, changes).names.join(" ");
    let text = |text: &str| json!({"/event/text": text});
    assert_eq!(name("message-channel", json!({})), "message_posted");
    assert_eq!(name("message-channel", json!({"/event/channel_type": "group"})), "message_posted");
    assert_eq!(name("message-channel", text("hey <@UOTHEROZ|oz> look")), "app_mention");
    assert_eq!(name("message-channel", text("hey &lt;@UOTHEROZ&gt; <@UANN> <#UOTHEROZ>")), "message_posted");
    assert_eq!(name("message-mpim", json!({})), "message_mpim");
    assert_eq!(name("message-mpim", text("<@U0442US8QGH> ?")), "app_mention");
    assert_eq!(name("message-im", json!({})), "message_dm");
    assert_eq!(name("message-im", text("<@U0442US8QGH> ?")), "message_dm");
    assert_eq!(name("app_mention", json!({"/event/channel": "D1"})), "message_dm");
    // A token of a person, who is no bot of ours.
    let person = json!({"/authorizations/0/is_bot": false, "/event/text": "<@U0442US8QGH> ?"});
    assert_eq!(name("message-channel", person), "message_posted");
}

#[track_caller]
fn says(name: &str, text: &str, thread: bool, expected: Option<&Control>) {
    let thread = if thread { json!("1.2") } else { Value::Null };
    let occurrence = changed(name, json!({"/event/text": text, "/event/thread_ts": thread}));
    assert_eq!(occurrence.control.as_ref(), expected, "{text}");
    assert_eq!(occurrence.text.is_some(), expected.is_none(), "{text}");
}

#[test]
fn a_word_alone_is_for_us_where_it_can_be_meant() {
    let (stop, status) = (Control::Stop { run: None }, Control::Status { run: None });
    let stop = Some(&stop);
    says("app_mention", "<@U0442US8QGH> stop", false, stop);
    says("app_mention", "<@U0442US8QGH>: Cancel!", true, stop);
    says("app_mention", "stop <@U0442US8QGH>", true, stop);
    says("message-channel", "stop", true, stop);
    says("message-im", "STOP.", false, stop);
    says("message-im", "status", false, Some(&status));
    says("message-im", "<@U0442US8QGH> help", false, Some(&Control::Help));
    // To nobody, and more than a word.
    says("message-channel", "stop", false, None);
    says("message-mpim", "stop", false, None);
    says("app_mention", "<@U0442US8QGH> stop the login from failing", true, None);
    says("app_mention", "<@U0442US8QGH> stop <@UANN>", true, None);
}

#[test]
fn what_is_said_is_without_the_mention_that_it_begins_with() {
    let said = |text: &str| changed("app_mention", json!({"/event/text": text})).text;
    assert_eq!(said("<@U0442US8QGH>: stop &lt;b&gt; <@UANN>").as_deref(), Some("stop <b> @UANN"));
    assert_eq!(said("hey <@U0442US8QGH> fix").as_deref(), Some("hey @U0442US8QGH fix"));
    assert_eq!(said("<@U0442US8QGH>  "), None);
    assert_eq!(changed("app_mention", json!({"/event/text": null})).text, None);
    let long = said(&"ä\0".repeat(100_000)).unwrap();
    assert!(long.len() <= limits::EVENT_TEXT_BYTES && long.starts_with("ää"));
}

#[test]
fn strangers_and_bots_are_no_people() {
    let who = |name: &str, changes: Value| changed(name, changes).actor.kind;
    assert_eq!(who("message-channel", json!({})), ActorKind::User);
    assert_eq!(who("message-channel", json!({"/event/user": "USLACKBOT"})), ActorKind::Bot);
    assert_eq!(who("message-channel", json!({"/event/bot_id": "B1"})), ActorKind::Bot);
    assert_eq!(who("message-channel", json!({"/event/bot_profile": {"id": "B1"}})), ActorKind::Bot);
    assert_eq!(changed("message-channel", json!({"/event/user": null, "/event/bot_id": "B1"})).actor.id, "B1");
    // Of another workspace, by whichever member says it.
    assert_eq!(who("app_mention-slack_connect", json!({})), ActorKind::Other);
    for member in ["team", "user_team", "source_team"] {
        assert_eq!(who("message-channel", json!({(format!("/event/{member}")): "T1"})), ActorKind::Other, "{member}");
    }
    assert_eq!(who("message-channel", json!({"/event/user_profile": {"team": "T1"}})), ActorKind::Other);
    // The organisation is the workspace's own.
    let grid = json!({"/event/user_team": "E1", "/authorizations/0/enterprise_id": "E1"});
    assert_eq!(who("message-channel", grid), ActorKind::User);
    // Who does not say, where others are too.
    let shared = json!({"/is_ext_shared_channel": true});
    assert_eq!(who("reaction_added", json!({})), ActorKind::User);
    assert_eq!(who("reaction_added", shared.clone()), ActorKind::Other);
    assert_eq!(who("message-channel", shared), ActorKind::User);
}

#[test]
fn the_workspace_is_the_one_that_installed_the_app() {
    let team = |changes: Value| changed("message-channel", changes).installation.unwrap();
    let none = json!([]);
    assert_eq!(team(json!({"/team_id": "T1"})), TEAM);
    assert_eq!(team(json!({"/team_id": "T1", "/authorizations": none, "/context_team_id": "T2"})), "T2");
    assert_eq!(team(json!({"/team_id": "T1", "/authorizations": none})), "T1");
    assert_eq!(team(json!({"/authorizations/0/team_id": null, "/context_team_id": "T2"})), "T2");
}

#[test]
fn what_we_did_ourselves_is_known_by_account_app_or_mark() {
    let sign = |changes: Value| changed("message-channel", changes).own;
    assert_eq!(sign(json!({})), None);
    for user in [BOT, "UOTHEROZ"] {
        assert_eq!(sign(json!({"/event/user": user})), Some(OwnSign::Actor));
    }
    assert_eq!(sign(json!({"/event/bot_id": "BOTHEROZ"})), Some(OwnSign::Actor));
    assert_eq!(sign(json!({"/event/bot_id": "B1", "/event/app_id": "A1"})), None);
    assert_eq!(sign(json!({"/event/bot_id": "B1", "/event/app_id": "A0442TUPHGR"})), Some(OwnSign::App));
    assert_eq!(sign(json!({"/event/bot_id": "B1", "/event/bot_profile": {"app_id": "AOTHEROZ"}})), Some(OwnSign::App));
    let mark = Own::marker("019ab0c0-7a3e-7000-8000-000000000001".parse().unwrap());
    let mark = mark.replace('<', "&lt;").replace('>', "&gt;");
    assert_eq!(sign(json!({"/event/text": format!("done\n{mark}")})), Some(OwnSign::Marker));
    assert_eq!(sign(json!({"/event/text": format!("&gt; {mark}\nno")})), None);
    assert_eq!(changed("member_joined_channel", json!({"/event/user": BOT})).own, Some(OwnSign::Actor));
    assert_eq!(changed("reaction_added", json!({"/event/user": BOT})).own, Some(OwnSign::Actor));
    // Of somebody else, to what we said.
    assert_eq!(changed("reaction_added", json!({"/event/item_user": BOT})).own, None);
}

#[test]
fn a_reaction_is_to_a_message_and_none_itself() {
    let reaction = changed("reaction_added", json!({}));
    assert_eq!((reaction.detail.as_deref(), reaction.message), (Some("thumbsup"), None));
    let thread = Place::SlackThread {
        team: TEAM.to_owned(),
        channel: "C043YJGBY49".to_owned(),
        thread: "1785310201.104529".to_owned(),
    };
    assert_eq!(reaction.place, Some(thread));
    let joined = changed("member_joined_channel", json!({}));
    assert_eq!((joined.keys.object.as_str(), joined.keys.thread), ("slack:T043DB835ML:C0B7M2C4D65", None));
}

#[track_caller]
fn types(text: &str, prompt: Option<&str>, control: Option<Control>) {
    let occurrence = changed("slash_command", json!({"/text": text}));
    assert_eq!((occurrence.text.as_deref(), occurrence.control), (prompt, control), "{text}");
}

#[test]
fn a_slash_command_runs_tells_or_stops() {
    let id = "019ab0c0-7a3e-7000-8000-000000000001";
    let run = id.parse().ok();
    types("run fix the login", Some("fix the login"), None);
    types(" RUN\tfix\n&lt;it&gt; ", Some("fix\n<it>"), None);
    types("status", None, Some(Control::Status { run: None }));
    types(&format!("status {id}"), None, Some(Control::Status { run }));
    types("cancel", None, Some(Control::Stop { run: None }));
    types(&format!("Stop  {id} "), None, Some(Control::Stop { run }));
    let helped = ["", " ", "help", "run", "run ", "run stop", "fix the login", "status of things", "cancel everything"];
    for text in helped {
        types(text, None, Some(Control::Help));
    }
    types(&format!("cancel {id} {id}"), None, Some(Control::Help));
    assert_eq!(changed("slash_command", json!({"/text": null})).control, Some(Control::Help));
}

#[test]
fn a_slash_command_is_of_a_channel_and_keeps_no_secret() {
    let command = changed("slash_command", json!({}));
    assert_eq!((command.names.join(" ").as_str(), command.detail.as_deref()), ("slash_command", Some("/oz")));
    let place = Place::SlackChannel { team: TEAM.to_owned(), channel: "C043YJGBY49".to_owned() };
    assert_eq!((command.place.as_ref(), command.keys.thread.as_ref()), (Some(&place), None));
    assert!(!serde_json::to_string(&command).unwrap().contains("hooks.slack.com"));
    let body = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/slack/slash_command.form")).unwrap();
    assert_eq!(form(&body), Ok(file("slash_command")));
}

#[test]
fn answers_go_to_slack_alone() {
    let url = "https://hooks.slack.com/commands/T043DB835ML/5601234567890/aaaaaaaaaaaaaaaaaaaaaaaa";
    assert_eq!(response_url(&file("slash_command")), Some(url));
    assert_eq!(response_url(&file("app_mention")), None);
    for other in [
        "http://hooks.slack.com/x",
        "https://hooks.slack.com.eve.dev/x",
        "https://eve.dev/",
        "https://hooks.slack.com/a b",
    ] {
        assert_eq!(response_url(&json!({"response_url": other})), None, "{other}");
    }
    assert_eq!(response_url(&json!({"response_url": format!("https://hooks.slack.com/{}", "a".repeat(2_048))})), None);
}

#[test]
fn slack_is_told_its_challenge_and_known_by_its_ids() {
    let challenged = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P";
    assert_eq!(challenge(&file("url_verification")), Some(challenged));
    assert_eq!(challenge(&json!({"type": "event_callback", "challenge": "x"})), None);
    assert_eq!(challenge(&json!({"type": "url_verification", "challenge": 1})), None);
    assert_eq!(challenge(&json!([])), None);
    assert_eq!(delivery_id(&file("app_mention")), Some("Ev0B7M2C4D5E"));
    assert_eq!(delivery_id(&file("slash_command")).unwrap().split('.').next(), Some("5601234567891"));
    for wrong in [json!({}), json!({"event_id": ""}), json!({"event_id": "a b"}), json!({"event_id": "a".repeat(256)})]
    {
        assert_eq!(delivery_id(&wrong), None);
    }
}

#[test]
fn what_is_left_is_told_by_name() {
    let left = |event: &str, payload: Value| match Provider::Slack.decode(event, &payload, &own()) {
        Ok(Decoded::NotUsed { name, why }) => format!("{name}: {why}"),
        other => panic!("{other:?}"),
    };
    let changed = |name: &str, changes: Value| left(EVENTS_API, payloads::with(file(name), changes));
    assert_eq!(left("interactive", json!([])), "interactive: only events and slash commands can start something");
    assert_eq!(left(EVENTS_API, json!({"type": "x\n"})), "x: requests of this kind start nothing");
    assert_eq!(left(EVENTS_API, json!({"type": "\n"})), "unnamed: requests of this kind start nothing");
    assert_eq!(
        changed("reaction_added", json!({"/event/type": "pin_added"})),
        "pin_added: events of this kind start nothing"
    );
    let file = json!({"/event/item": {"type": "file", "file": "F1"}});
    assert_eq!(changed("reaction_added", file), "reaction_added: only reactions to messages can start something");
    for (subtype, why) in [
        ("message_replied", "the reply comes as a message of its own"),
        ("channel_topic", "Slack itself wrote it, to say what happened in the conversation"),
        ("a\nb", "Slack itself wrote it, to say what happened in the conversation"),
    ] {
        let told = changed("message-channel", json!({"/event/subtype": subtype}));
        assert_eq!(told, format!("message.{}: {why}", subtype.replace('\n', " ")));
    }
    assert!(
        changed("app_mention", json!({"/event/subtype": "bot_message"}))
            .starts_with("app_mention.bot_message: an integ")
    );
    for subtype in ["me_message", "file_share", "thread_broadcast"] {
        assert_eq!(super::not_said(subtype), None);
    }
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let refused = |name: &str, changes: Value| {
        let payload = payloads::with(file(name), changes);
        Provider::Slack.decode(kind(name), &payload, &own()).unwrap_err().to_string()
    };
    let missing = |member: &str| format!("{member}: missing; the provider sends it with each event of this kind");
    assert_eq!(refused("app_mention", json!({"/type": null})), missing("type"));
    assert_eq!(refused("app_mention", json!({"/event": null})), missing("event.type"));
    assert_eq!(refused("app_mention", json!({"/event/user": null})), missing("event.user"));
    assert_eq!(refused("app_mention", json!({"/event/ts": null})), missing("event.ts"));
    assert_eq!(refused("app_mention", json!({"/team_id": null, "/authorizations": null})), missing("team_id"));
    assert_eq!(refused("reaction_added", json!({"/event/item/channel": null})), missing("event.item.channel"));
    assert_eq!(refused("slash_command", json!({"/user_id": null})), missing("user_id"));
    assert_eq!(refused("slash_command", json!({"/text": 1})), "text: not a text");
    let not_an_id = "not an id: 1 to 64 of A-Z a-z 0-9 - _ .";
    assert_eq!(refused("app_mention", json!({"/event/channel": "C:1"})), format!("event.channel: {not_an_id}"));
    assert_eq!(
        refused("app_mention", json!({"/authorizations/0/team_id": ""})),
        format!("authorizations[0].team_id: {not_an_id}")
    );
}

#[test]
fn each_name_is_there_once() {
    let names = Provider::Slack.events();
    assert!(names.is_sorted() && names.windows(2).all(|pair| pair[0] != pair[1]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn broken_payloads_are_decoded_or_refused_by_member(example in any::<Index>(), breaks in broken::breaks()) {
        let (name, payload) = &FILES[example.index(FILES.len())];
        let payload = broken::broken(payload, breaks);
        broken::holds(Provider::Slack, kind(name), &payload, &own())?;
        let _ = (challenge(&payload), delivery_id(&payload), response_url(&payload));
    }

    /// However a word is said to us that is no work, nobody gets it as a prompt.
    #[test]
    fn control_words_are_never_prompts(
        word in "[Ss][Tt][Oo][Pp]|[Cc]ancel|CANCEL|[Ss]tatus|[Hh][Ee]lp",
        end in "[.!]{0,3}",
        space in "[ \t\n]{0,2}",
        mentions in prop::sample::select(vec!["", "<@U0442US8QGH>", "<@U0442US8QGH|oz>, ", "<@UOTHEROZ>:\n"]),
        at in prop::sample::select(vec!["app_mention", "message-mention", "message-im", "message-thread_broadcast"]),
        before in any::<bool>(),
    ) {
        let word = format!("{space}{word}{end}{space}");
        // A message that is no event of a mention mentions us in its text.
        let needed = if at == "message-mention" && mentions.is_empty() { "<@U0442US8QGH>" } else { mentions };
        let text = if before { format!("{needed}{word}") } else { format!("{word}{}", needed.trim_end_matches([',', ':', ' ', '\n'])) };
        let said = changed(at, json!({"/event/text": text}));
        prop_assert!(said.control.is_some() && said.text.is_none(), "{:?} {:?}", text, said);
        let typed = changed("slash_command", json!({"/text": format!("run {word}")}));
        prop_assert!(typed.control.is_some() && typed.text.is_none());
    }

    /// Whatever is said: a mention is one occurrence, told as one or as a message of the channel.
    #[test]
    fn a_mention_is_told_twice_as_one(said in "[a-z<>@&; .!|]{0,40}", thread in any::<bool>(), team in any::<bool>()) {
        let text = format!("{said} <@U0442US8QGH> {said}");
        let mut changes = json!({"/event/text": text});
        if thread {
            changes["/event/thread_ts"] = json!("1785310201.000001");
        }
        if team {
            changes["/event/user_team"] = json!("T1");
        }
        let payload = payloads::with(file("app_mention"), changes);
        let mention = decoded(EVENTS_API, &payload);
        let message = decoded(EVENTS_API, &payloads::with(payload, json!({"/event/type": "message", "/event/channel_type": "channel"})));
        prop_assert_eq!(mention, message);
    }
}
