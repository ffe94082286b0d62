//! What people are told. Sentences, in the place where they spoke: perhaps in public, so that nothing is in them but what whoever
//! asked may know.

use jiff::Timestamp;
use ozma_domain::delivery::{Delivery, OwedState, Owes, Reply};
use ozma_domain::provider::{Allow, Association, Occurrence, Provider};
use ozma_domain::run::Run;
use ozma_domain::state::RunState;
use ozma_domain::text;

use crate::waiting::Waiting;

/// As much as is told of a reason or an outcome.
const REASON_CHARS: usize = 200;

pub(super) const HELP: &str = "Mention me with what is to be done, and a run starts; what you say to me in the same conversation goes \
    on with it. Beside a mention, or in a thread of mine, one word alone is for me: `stop` ends the run, `status` tells how it \
    stands, `help` tells this.";

/// With the name of the command that was typed.
pub(super) fn help_of_command(command: &str) -> String {
    let command = text::shorten(&text::one_line(command), 40);
    format!(
        "`{command} run TASK` starts a run; mention me in its thread to say more to it. `{command} status` tells what is at work, \
         `{command} status RUN` how a run stands, `{command} stop RUN` ends it, `{command} help` tells this."
    )
}

pub(super) const WHICH_RUN: &str = "There is no conversation here whose run could be meant: name the run. `status` tells those that are at \
    work.";

/// To whoever typed a command, until it is known whether they may.
pub(super) const FINDING_OUT: &str = "I am finding out who you are, and will answer you here in a moment.";

/// To somebody who may not. By which address they are known is not said: others may read it. `unknown` is why it is not
/// known at all, which is for whoever looks after us.
pub(super) fn refusal(occurrence: &Occurrence, allow: &[&Allow], unknown: Option<&str>) -> String {
    let (login, provider) = (text::one_line(&occurrence.actor.login), occurrence.provider);
    let associations = |of: &&Allow| !of.associations.is_empty();
    let known = match provider {
        Provider::Github if allow.iter().any(associations) => {
            let mut all: Vec<_> = allow.iter().flat_map(|allow| &allow.associations).collect();
            all.sort();
            all.dedup();
            let all: Vec<_> = all.into_iter().map(|one| plural(*one)).collect();
            format!("{} of the repository, and people who are listed", all.join(", "))
        }
        Provider::Linear if allow.iter().any(associations) => {
            "members of the workspace, and people who are listed".to_owned()
        }
        Provider::Slack if allow.iter().any(|allow| !allow.emails.is_empty()) => {
            "people who are listed, by their id or by the address of their profile".to_owned()
        }
        _ => "people who are listed".to_owned(),
    };
    let unknown = unknown.map_or("", |_| " The address of your profile could not be looked up.");
    format!(
        "Sorry, {login}, I may not take work from you here. Who may: {known}.{unknown} To be let in, ask whoever looks after me \
         to list `{login}` (`oz automation update NAME --allow-login {login}`)."
    )
}

fn plural(association: Association) -> &'static str {
    match association {
        Association::Owner => "owners",
        Association::Member => "members",
        Association::Collaborator => "collaborators",
        Association::Contributor => "contributors",
        Association::FirstTimeContributor => "first-time contributors",
        Association::FirstTimer => "newcomers",
        Association::Mannequin => "imported accounts",
        Association::None => "everybody",
    }
}

/// To somebody who says more to a script.
pub(super) fn script(name: &str) -> String {
    format!(
        "{} runs a script, which takes no messages, and is at it. Say `stop` to end it or `status` to hear how it stands; when \
         it has ended, a mention starts it again.",
        text::one_line(name)
    )
}

/// To whoever typed a command that started nothing: of each automation that might have taken it, why it did not.
pub(super) fn nothing_started(why: &[(String, String)]) -> String {
    if why.is_empty() {
        return "Nothing was started: no automation takes this command. Ask whoever looks after me for one \
                (`oz automation create -n NAME --on WEBHOOK --event slash_command`)."
            .to_owned();
    }
    let why: Vec<_> = why.iter().map(|(name, why)| format!("{}: {}", text::one_line(name), short(why))).collect();
    format!("Nothing was started. {}", why.join("; "))
}

/// What a delivery started, or why nothing.
pub(super) fn outcome(delivery: &Delivery) -> String {
    let started = delivery.runs.iter().filter(|run| run.is_started(Owes::Run));
    let started: Vec<_> = started.map(|run| format!("{} (run {})", text::one_line(&run.name), run.run_id)).collect();
    if !started.is_empty() {
        return format!("Started {}.", started.join(", "));
    }
    let refused = delivery.runs.iter().filter_map(|run| match &run.state {
        OwedState::Refused { reason, .. } => Some((run.name.clone(), reason.clone())),
        OwedState::Owed | OwedState::Started => None,
    });
    nothing_started(&refused.collect::<Vec<_>>())
}

/// Why nothing became of what was said to us, if that is so for good.
pub(super) fn failure(delivery: &Delivery) -> Option<String> {
    let is_refused_for_good = |state: &OwedState| matches!(state, OwedState::Refused { again: false, .. });
    let all_are = !delivery.runs.is_empty() && delivery.runs.iter().all(|run| is_refused_for_good(&run.state));
    all_are.then(|| outcome(delivery))
}

/// How a run stands.
pub(super) fn status(name: &str, run: &Run, waiting: Option<&Waiting>, now: Timestamp) -> String {
    let since = |at: Timestamp| span(now.duration_since(at).as_secs());
    let said = || run.status.as_ref().map(|status| format!(": {}", short(&status.message))).unwrap_or_default();
    let stands = match (run.state, waiting) {
        (state, Some(waiting)) => {
            let at_least = if waiting.at_least { "at least " } else { "" };
            let starts = waiting.estimated_start_at.map(|at| at.duration_since(now).as_secs()).filter(|s| *s > 0);
            let starts = starts.map(|seconds| format!(", starts in about {}", span(seconds))).unwrap_or_default();
            format!(
                "{state} for {}, at position {at_least}{}{starts}: {}",
                since(run.created_at),
                waiting.position,
                short(&waiting.reason)
            )
        }
        (state, None) if state.is_terminal() => {
            let ended = run.ended_at.unwrap_or(run.updated_at);
            let took = span(ended.duration_since(run.created_at).as_secs());
            format!("{state} since {}, after {took}{}", since(ended), said())
        }
        (state @ RunState::InProgress, None) => {
            format!("{state} for {}", since(run.started_at.unwrap_or(run.created_at)))
        }
        (state, None) => format!("{state}, asked for {} ago", since(run.created_at)),
    };
    format!("{}: {stands}. Run {}", text::one_line(name), run.run_id)
}

/// For a person at a place; where the delivery is answered at once, in that answer.
pub(super) fn reply(delivery: &Delivery, occurrence: &Occurrence, text: String) -> Reply {
    let place = occurrence.place.clone().filter(|_| !delivery.is_answered_at_once());
    Reply { text, person: Some(occurrence.actor.id.clone()), place, posted: false }
}

fn short(text: &str) -> String {
    text::shorten(&text::one_line(text), REASON_CHARS)
}

/// `45 s`, `3 min`, `2 h 5 min`, `3 days`.
fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match (seconds / 86_400, seconds / 3_600, seconds % 3_600 / 60) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (1, ..) => "1 day".to_owned(),
        (days, ..) => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_as_exact_as_people_are() {
        let spans = [-5, 0, 59, 60, 3_599, 3_600, 7_500, 86_399, 86_400, 200_000].map(span);
        assert_eq!(
            spans,
            ["0 s", "0 s", "59 s", "1 min", "59 min", "1 h", "2 h 5 min", "23 h 59 min", "1 day", "2 days"]
        );
    }
}
