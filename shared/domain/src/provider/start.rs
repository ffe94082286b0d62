//! Whether an occurrence may start a run. Closed by default: what nothing speaks for is refused, with a sentence for the
//! log of deliveries.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Association, Cause, Code, Occurrence, OwnSign, Provider};
use crate::limits;
use crate::template::InvalidField;

/// Who may start runs. The default is everybody who belongs to the repository, and no secrets for code of a fork.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Allow {
    /// [`Association::Collaborator`] among them also admits whose act shows a right in the repository, as that of
    /// labelling somebody else's issue does: no less than a collaborator has it.
    pub associations: BTreeSet<Association>,
    /// People and bots who may whatever they are to the repository. For what they do, not for checks over their code.
    pub logins: BTreeSet<String>,
    /// People by the address that the provider tells of them, or all of a domain: `ann@example.com`, `*@example.com`. For what
    /// they do, as [`Self::logins`], but for no bots.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub emails: BTreeSet<String>,
    /// Checks over any code, whoever made them run: of forks too.
    pub any_checks: bool,
    /// Secrets also for code that may be a stranger's.
    pub fork_secrets: bool,
}

impl Default for Allow {
    fn default() -> Self {
        let associations = [Association::Owner, Association::Member, Association::Collaborator].into();
        Self { associations, logins: BTreeSet::new(), emails: BTreeSet::new(), any_checks: false, fork_secrets: false }
    }
}

impl Allow {
    pub fn check(&self) -> Result<(), InvalidField> {
        let logins = &self.logins;
        if logins.len() > limits::ALLOWED_LOGINS || logins.iter().any(|login| login.len() > limits::LOGIN_BYTES) {
            let reason = format!("at most {} of {} bytes", limits::ALLOWED_LOGINS, limits::LOGIN_BYTES);
            return Err(InvalidField::new("on.allow.logins", reason));
        }
        if self.emails.len() > limits::ALLOWED_LOGINS {
            return Err(InvalidField::new("on.allow.emails", format!("at most {}", limits::ALLOWED_LOGINS)));
        }
        if let Some(wrong) = self.emails.iter().find(|listed| !is_pattern(listed)) {
            let wrong = crate::text::shorten(&crate::text::one_line(wrong), 40);
            let reason = format!("\"{wrong}\" is neither an address nor all of a domain, such as *@example.com");
            return Err(InvalidField::new("on.allow.emails", reason));
        }
        Ok(())
    }

    /// Whether the actor is refused, and their address may change that: some are listed, and the provider, which does not tell
    /// it with the event, can be asked for it.
    pub fn awaits_address(&self, occurrence: &Occurrence) -> bool {
        let actor = &occurrence.actor;
        let may_be_asked = occurrence.provider == Provider::Slack && actor.is_person() && actor.email.is_none();
        let is_listed_so = !self.emails.is_empty() && occurrence.cause == Cause::Act && occurrence.own.is_none();
        may_be_asked && is_listed_so && may_start(occurrence, self).is_err()
    }

    /// Whether the actor is listed.
    fn lists(&self, occurrence: &Occurrence) -> bool {
        let actor = &occurrence.actor;
        self.logins.iter().any(|login| login.eq_ignore_ascii_case(&actor.login))
            || (actor.is_person() && self.lists_email(occurrence))
    }

    /// Whether the address of the actor is listed, or its domain. One who has none is not.
    fn lists_email(&self, occurrence: &Occurrence) -> bool {
        let Some((name, host)) = occurrence.actor.email.as_deref().and_then(|email| email.rsplit_once('@')) else {
            return false;
        };
        self.emails
            .iter()
            .filter_map(|listed| listed.rsplit_once('@'))
            .any(|(listed, of)| of.eq_ignore_ascii_case(host) && (listed == "*" || listed.eq_ignore_ascii_case(name)))
    }
}

/// `ann@example.com`, or `*@example.com`.
fn is_pattern(text: &str) -> bool {
    let is_plain = |part: &str| {
        !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control() || "<>@".contains(c))
    };
    let parts = text.rsplit_once('@').filter(|_| text.len() <= limits::EMAIL_BYTES);
    parts.is_some_and(|(name, host)| {
        (name == "*" || (is_plain(name) && !name.contains('*'))) && is_plain(host) && !host.contains('*')
    })
}

/// A run may be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Whether it may have secrets: the code that it works on is the repository's own, or somebody allowed it anyway.
    pub secrets: bool,
}

/// Why no run is started. Each is a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it comes from Ozma itself: {0}")]
    Own(OwnSign),
    #[error("{login} is not a person; list the login to let it start runs")]
    NotAPerson { login: String },
    #[error(
        "{login} is {association} of the repository, and may not start runs; some providers show members whose \
         membership is private so, who can be listed by login"
    )]
    Association { login: String, association: Association },
    #[error("the event does not say what {login} may do in the repository; list the login to let it start runs")]
    Unproven { login: String },
    #[error(
        "the checks may be of a stranger's code or started by a stranger: the event does not show that the code is the \
         repository's own and that somebody with write access made them run"
    )]
    Checks,
}

/// Whether a run may be started for it, and with secrets or not.
pub fn may_start(occurrence: &Occurrence, allow: &Allow) -> Result<Start, Refused> {
    let Occurrence { actor, .. } = occurrence;
    if let Some(sign) = occurrence.own {
        return Err(Refused::Own(sign));
    }
    let start = Start { secrets: occurrence.code == Code::Repository || allow.fork_secrets };
    let shown = occurrence.right.is_some() && allow.associations.contains(&Association::Collaborator);
    match occurrence.cause {
        Cause::Checks if shown || allow.any_checks => return Ok(start),
        Cause::Checks => return Err(Refused::Checks),
        Cause::Act => {}
    }
    let login = || actor.login.clone();
    if allow.lists(occurrence) {
        return Ok(start);
    }
    if !actor.is_person() {
        return Err(Refused::NotAPerson { login: login() });
    }
    match actor.association {
        Some(association) if allow.associations.contains(&association) => Ok(start),
        _ if shown => Ok(start),
        Some(association) => Err(Refused::Association { login: login(), association }),
        None => Err(Refused::Unproven { login: login() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Actor, ActorKind, Keys, Provider, Right, Subject, SubjectKind};

    /// A comment on an issue by somebody who is nothing to the repository.
    fn occurrence() -> Occurrence {
        let subject = Subject { number: Some(12), ..Subject::of(SubjectKind::Issue, Some("acme/web")) };
        Occurrence {
            provider: Provider::Github,
            names: vec!["issue_comment.created".to_owned()],
            detail: None,
            subject,
            actor: Actor {
                login: "ann".to_owned(),
                id: "1".to_owned(),
                kind: ActorKind::User,
                association: Some(Association::None),
                email: None,
            },
            author: None,
            cause: Cause::Act,
            right: None,
            code: Code::Repository,
            draft: false,
            text: None,
            installation: None,
            own: None,
            keys: Keys {
                object: "github:acme/web#12".to_owned(),
                item: None,
                commit: None,
                branch: None,
                thread: None,
            },
            place: None,
            control: None,
            message: None,
        }
    }

    fn by(association: Option<Association>, right: Option<Right>, code: Code) -> Occurrence {
        let occurrence = occurrence();
        Occurrence { actor: Actor { association, ..occurrence.actor }, right, code, ..occurrence }
    }

    fn told(occurrence: &Occurrence, allow: &Allow) -> String {
        match may_start(occurrence, allow) {
            Ok(Start { secrets: true }) => "secrets".to_owned(),
            Ok(Start { secrets: false }) => "no secrets".to_owned(),
            Err(refused) => refused.to_string(),
        }
    }

    #[track_caller]
    fn check(occurrence: &Occurrence, expected: &str) {
        let told = told(occurrence, &Allow::default());
        assert!(told.starts_with(expected), "{told}");
    }

    #[test]
    fn who_belongs_to_the_repository_may() {
        use Association::{Collaborator, Contributor, FirstTimer, Member, None as Stranger, Owner};
        for association in [Owner, Member, Collaborator] {
            check(&by(Some(association), None, Code::Repository), "secrets");
            check(&by(Some(association), None, Code::Fork), "no secrets");
            check(&by(Some(association), None, Code::Unknown), "no secrets");
        }
        check(&by(Some(Contributor), None, Code::Repository), "ann is CONTRIBUTOR of the repository, and may not");
        check(&by(Some(FirstTimer), None, Code::Repository), "ann is FIRST_TIMER");
        check(&by(Some(Stranger), None, Code::Repository), "ann is NONE");
        check(&by(None, None, Code::Repository), "the event does not say what ann may do in the repository; list");
    }

    #[test]
    fn whose_act_shows_a_right_may_as_a_collaborator_may() {
        let labels = by(None, Some(Right::Triage), Code::Repository);
        check(&labels, "secrets");
        let private_member = by(Some(Association::Contributor), Some(Right::Write), Code::Repository);
        check(&private_member, "secrets");
        let owners = Allow { associations: [Association::Owner].into(), ..Allow::default() };
        assert!(told(&labels, &owners).starts_with("the event does not say"));
        assert!(told(&private_member, &owners).starts_with("ann is CONTRIBUTOR"));
    }

    #[test]
    fn bots_and_strangers_may_when_they_are_listed() {
        let bot = Actor { login: "deps[bot]".to_owned(), kind: ActorKind::Bot, ..occurrence().actor };
        let bot = Occurrence { actor: bot, right: Some(Right::Write), ..occurrence() };
        check(&bot, "deps[bot] is not a person; list the login");
        let listed = Allow { logins: ["Deps[bot]".to_owned(), "ann".to_owned()].into(), ..Allow::default() };
        assert_eq!(told(&bot, &listed), "secrets");
        assert_eq!(told(&occurrence(), &listed), "secrets");
        assert_eq!(told(&Occurrence { code: Code::Fork, ..bot }, &listed), "no secrets");
    }

    #[test]
    fn people_may_by_their_address_or_its_domain() {
        let of = |email: Option<&str>, kind| {
            let actor = Actor { email: email.map(str::to_owned), kind, ..occurrence().actor };
            Occurrence { actor, ..occurrence() }
        };
        let allow = |emails: &[&str]| Allow {
            emails: emails.iter().map(|email| (*email).to_owned()).collect(),
            ..Allow::default()
        };
        let row = |email: Option<&str>, listed: &[&str], expected: bool| {
            assert_eq!(allow(listed).check(), Ok(()), "{listed:?}");
            let may = may_start(&of(email, ActorKind::User), &allow(listed)).is_ok();
            assert_eq!(may, expected, "{email:?} {listed:?}");
        };
        row(Some("ann@example.com"), &["ann@example.com"], true);
        row(Some("Ann@Example.COM"), &["ann@example.com"], true);
        row(Some("ann@example.com"), &["bob@example.com", "*@example.com"], true);
        row(Some("ann@evil.example.com"), &["*@example.com"], false);
        row(Some("ann@example.com@evil.org"), &["*@example.com"], false);
        row(Some("ann@example.com.evil.org"), &["ann@example.com"], false);
        row(Some("bob@example.com"), &["ann@example.com"], false);
        row(None, &["*@example.com"], false);
        row(Some("ann@example.com"), &[], false);
        let bot = of(Some("ann@example.com"), ActorKind::Bot);
        assert!(may_start(&bot, &allow(&["ann@example.com"])).is_err(), "an address speaks for no bot");
        for wrong in
            ["ann", "@example.com", "*@", "*", "a*@example.com", "a@*.com", "a b@example.com", "a@b@c", "<a@b.c>"]
        {
            let told = allow(&[wrong]).check().unwrap_err().to_string();
            assert!(told.starts_with("on.allow.emails: \""), "{told}");
        }
        let many: Vec<String> = (0..=200).map(|n| format!("a{n}@example.com")).collect();
        assert!(Allow { emails: many.into_iter().collect(), ..Allow::default() }.check().is_err());
    }

    #[test]
    fn checks_count_by_their_code_whoever_made_them_run() {
        let checks = |right, code| Occurrence { cause: Cause::Checks, ..by(None, right, code) };
        check(&checks(Some(Right::Write), Code::Repository), "secrets");
        check(&checks(None, Code::Repository), "the checks may be of a stranger's code");
        check(&checks(None, Code::Fork), "the checks");
        let listed = Allow { logins: ["ann".to_owned()].into(), ..Allow::default() };
        assert!(told(&checks(None, Code::Fork), &listed).starts_with("the checks"));
        let any = Allow { any_checks: true, ..Allow::default() };
        assert_eq!(told(&checks(None, Code::Fork), &any), "no secrets");
        let all = Allow { fork_secrets: true, ..any };
        assert_eq!(told(&checks(None, Code::Fork), &all), "secrets");
    }

    #[test]
    fn nothing_allows_what_we_did_ourselves() {
        let all = Allow { logins: ["ann".to_owned()].into(), any_checks: true, fork_secrets: true, ..Allow::default() };
        for (sign, expected) in [
            (OwnSign::Actor, "it comes from Ozma itself: its account did it"),
            (OwnSign::App, "it comes from Ozma itself: it was done through its app"),
            (OwnSign::Marker, "it comes from Ozma itself: the text carries its mark"),
        ] {
            let own = Occurrence { own: Some(sign), ..by(Some(Association::Owner), None, Code::Repository) };
            assert_eq!(told(&own, &all), expected);
            assert_eq!(told(&Occurrence { cause: Cause::Checks, ..own }, &all), expected);
        }
    }

    #[test]
    fn an_address_is_waited_for_where_it_may_change_the_answer() {
        let by_address = Allow { emails: ["*@example.com".to_owned()].into(), ..Allow::default() };
        let slack = Occurrence { provider: Provider::Slack, ..by(None, None, Code::Repository) };
        let check = |occurrence: &Occurrence, allow: &Allow, expected: bool| {
            assert_eq!(allow.awaits_address(occurrence), expected, "{occurrence:?} {allow:?}");
        };
        check(&slack, &by_address, true);
        // Nobody is listed so, or the person is already.
        check(&slack, &Allow::default(), false);
        check(&slack, &Allow { logins: ["ann".to_owned()].into(), ..by_address.clone() }, false);
        // It is known, of no person, our own, or of a provider that tells what it has.
        let change = |change: fn(&mut Occurrence)| {
            let mut other = slack.clone();
            change(&mut other);
            other
        };
        check(&change(|other| other.actor.email = Some("ann@elsewhere.example".to_owned())), &by_address, false);
        check(&change(|other| other.actor.kind = ActorKind::Bot), &by_address, false);
        check(&change(|other| other.actor.kind = ActorKind::Other), &by_address, false);
        check(&change(|other| other.own = Some(OwnSign::Actor)), &by_address, false);
        check(&change(|other| other.cause = Cause::Checks), &by_address, false);
        check(&change(|other| other.provider = Provider::Linear), &by_address, false);
    }

    /// Over everything there is: whoever starts something has one reason to, and nobody whose reasons were taken away does.
    #[test]
    fn who_may_has_a_reason() {
        let associations = Association::ALL.map(Some).into_iter().chain([None]);
        let rights = [None, Some(Right::Triage), Some(Right::Write)];
        let allows = [
            Allow::default(),
            Allow { associations: [Association::Owner].into(), ..Allow::default() },
            Allow { associations: BTreeSet::new(), logins: ["ann".to_owned()].into(), ..Allow::default() },
            Allow { any_checks: true, ..Allow::default() },
            Allow { fork_secrets: true, ..Allow::default() },
        ];
        let mut started = 0;
        for association in associations {
            for right in rights {
                for code in [Code::Repository, Code::Fork, Code::Unknown] {
                    for kind in [ActorKind::User, ActorKind::Bot, ActorKind::Organization, ActorKind::Other] {
                        for cause in [Cause::Act, Cause::Checks] {
                            for allow in &allows {
                                let mut occurrence = Occurrence { cause, ..by(association, right, code) };
                                occurrence.actor.kind = kind;
                                let act = cause == Cause::Act;
                                let reasons = [
                                    act && allow.logins.contains("ann"),
                                    act && kind == ActorKind::User
                                        && association.is_some_and(|of| allow.associations.contains(&of)),
                                    (!act || kind == ActorKind::User)
                                        && right.is_some()
                                        && allow.associations.contains(&Association::Collaborator),
                                    !act && allow.any_checks,
                                ];
                                let start = may_start(&occurrence, allow);
                                assert_eq!(start.is_ok(), reasons.contains(&true), "{occurrence:?} {allow:?}");
                                if let Ok(start) = start {
                                    started += 1;
                                    assert_eq!(start.secrets, code == Code::Repository || allow.fork_secrets);
                                }
                            }
                        }
                    }
                }
            }
        }
        assert!(started > 500, "{started}");
    }

    #[test]
    fn what_is_not_said_of_who_may_is_the_default() {
        let read = |text: &str| serde_json::from_str::<Allow>(text).unwrap();
        assert_eq!(read("{}"), Allow::default());
        let owners = read(r#"{"associations": ["OWNER"]}"#);
        assert_eq!(owners, Allow { associations: [Association::Owner].into(), ..Allow::default() });
    }
}
