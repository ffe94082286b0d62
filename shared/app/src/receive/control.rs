//! What people say to us and not to an agent: stop, status, help. It starts nothing. Who may is who may start the run, and the
//! run is one of that conversation, or one that was named and asked for at the same address.

use ozma_domain::automation::Automation;
use ozma_domain::delivery::{Delivery, Told};
use ozma_domain::id::{AutomationId, RunId};
use ozma_domain::limits;
use ozma_domain::provider::{Allow, Control, Occurrence, may_start};
use ozma_domain::text;
use ozma_store::StoreError;

use super::arrival::mark;
use super::people::Address;
use super::{follow_up, people, words};
use crate::App;
use crate::cancel::{CancelError, cancel_all};
use crate::rate;
use crate::waiting::waiting;

/// What was done about it.
pub(super) struct Obeyed {
    /// For the log.
    pub(super) done: String,
    pub(super) runs: Vec<RunId>,
    /// For whoever said it. None: it was not said to us, or they were told lately.
    pub(super) answer: Option<String>,
    /// What anybody is told, whoever they are: once an hour where others see it, and never a bot, so that nobody makes us spam.
    to_anybody: Option<&'static str>,
}

impl Obeyed {
    pub(super) fn told(&self, word: Control) -> Told {
        Told { word, done: Some(text::shorten(&self.done, limits::STATUS_CHARS)), runs: self.runs.clone() }
    }

    fn nothing(done: &str, answer: impl Into<Option<String>>) -> Self {
        Self { done: done.to_owned(), runs: Vec::new(), answer: answer.into(), to_anybody: Some("answer") }
    }
}

/// A run that is spoken about.
struct Meant {
    run: RunId,
    automation: AutomationId,
}

/// Whom a word is about.
enum About {
    /// Runs of the conversation, or the one that was named.
    Runs(Vec<Meant>),
    /// Everything that is at work: there is no conversation, and no run was named.
    All,
}

/// Those runs whose automation the person may start, and the automations that they may not.
struct Allowed {
    theirs: Vec<(RunId, Automation)>,
    refused: Vec<Automation>,
    /// Why their address is not known, where that may be why.
    unknown: Option<String>,
}

/// Does what somebody said. Again, it finds it done. None: it is to be found out first who it is.
pub(super) async fn obey(
    app: &App,
    delivery: &Delivery,
    word: &Control,
    occurrence: &Occurrence,
) -> Result<Option<Obeyed>, StoreError> {
    let Some(mut obeyed) = done(app, delivery, word, occurrence).await? else { return Ok(None) };
    if let Some(what) = obeyed.to_anybody
        && obeyed.answer.is_some()
        && !may_be_told(app, delivery, occurrence, what).await?
    {
        obeyed.answer = None;
    }
    Ok(Some(obeyed))
}

async fn done(
    app: &App,
    delivery: &Delivery,
    word: &Control,
    occurrence: &Occurrence,
) -> Result<Option<Obeyed>, StoreError> {
    let named = match word {
        Control::Stop { run } | Control::Status { run } => *run,
        Control::Help => None,
    };
    let about = about(app, delivery, occurrence, named).await?;
    let is_ours = occurrence.is_addressed() || matches!(&about, About::Runs(runs) if !runs.is_empty());
    if !is_ours {
        return Ok(Some(Obeyed::nothing("it was not said to Ozma: no run of its answers there", None)));
    }
    let obeyed = match (word, about) {
        (Control::Help, _) => help(delivery, occurrence),
        (Control::Stop { .. }, About::All) => {
            Obeyed::nothing("no run was named, and there is no conversation", words::WHICH_RUN.to_owned())
        }
        (Control::Status { .. }, About::All) => return status_of_all(app, delivery, occurrence).await,
        (_, About::Runs(runs)) if runs.is_empty() => {
            let answer = match named {
                Some(run) => format!("No run {run} was asked for here."),
                None => "No run of mine answers in this conversation.".to_owned(),
            };
            Obeyed::nothing("there is no such run here", answer)
        }
        (word, About::Runs(runs)) => {
            let Some(allowed) = allowed(app, delivery, occurrence, runs).await? else { return Ok(None) };
            match (allowed.theirs.is_empty(), word) {
                (true, _) => refuse(occurrence, &allowed),
                (false, Control::Stop { .. }) => stop(app, delivery, occurrence, &allowed.theirs).await?,
                (false, _) => status(app, delivery, &allowed.theirs).await?,
            }
        }
    };
    Ok(Some(obeyed))
}

async fn about(
    app: &App,
    delivery: &Delivery,
    occurrence: &Occurrence,
    named: Option<RunId>,
) -> Result<About, StoreError> {
    if let Some(run) = named {
        let request = app.store.request(&delivery.team, run).await?;
        let event = request.and_then(|request| request.event).filter(|event| event.source == delivery.source);
        return Ok(About::Runs(event.map(|event| Meant { run, automation: event.automation }).into_iter().collect()));
    }
    let Some(conversation) = occurrence.conversation() else { return Ok(About::All) };
    let rows = follow_up::runs_in(app, &delivery.team, &delivery.source, conversation).await?;
    Ok(About::Runs(rows.into_iter().map(|row| Meant { run: row.run_id, automation: row.automation }).collect()))
}

/// Who may. None: that depends on an address that the provider is to be asked for.
async fn allowed(
    app: &App,
    delivery: &Delivery,
    occurrence: &Occurrence,
    runs: Vec<Meant>,
) -> Result<Option<Allowed>, StoreError> {
    let mut ids: Vec<_> = runs.iter().map(|meant| meant.automation.clone()).collect();
    ids.sort();
    ids.dedup();
    let found = app.store.automations_of(&ids).await?.into_iter().map(|saved| saved.automation);
    // Of an automation that is gone nobody can say who may.
    let found: Vec<_> = found.filter(|automation| automation.team == delivery.team).collect();
    let mut by = occurrence.clone();
    let mut unknown = None;
    if found.iter().any(|automation| automation.config.trigger.allow.awaits_address(occurrence)) {
        let address = people::address(app, delivery, &mut by).await?;
        if matches!(address, Address::ToAsk) {
            return Ok(None);
        }
        unknown = address.unknown(occurrence);
    }
    let may = |automation: &Automation| may_start(&by, &automation.config.trigger.allow).is_ok();
    let theirs = runs.into_iter().filter_map(|Meant { run, automation }| {
        let automation = found.iter().find(|found| found.id == automation)?;
        may(automation).then(|| (run, automation.clone()))
    });
    let theirs = theirs.collect();
    Ok(Some(Allowed { theirs, refused: found.into_iter().filter(|automation| !may(automation)).collect(), unknown }))
}

async fn stop(
    app: &App,
    delivery: &Delivery,
    occurrence: &Occurrence,
    runs: &[(RunId, Automation)],
) -> Result<Obeyed, StoreError> {
    let by = follow_up::who(occurrence);
    let (mut stopped, mut ended) = (Vec::new(), Vec::new());
    for (run, automation) in runs {
        let name = text::one_line(&automation.config.name);
        match cancel_all(app, &delivery.team, *run, &by).await {
            Ok(0) => {
                let state = app.store.run(*run).await?.map(|run| format!(" It is {}.", run.state)).unwrap_or_default();
                ended.push(format!("{name} has ended already.{state} Run {run}"));
            }
            Ok(1) => stopped.push((*run, format!("Stopped {name}. Run {run}"))),
            Ok(all) => stopped.push((*run, format!("Stopped {name} and {} below it. Run {run}", all - 1))),
            Err(CancelError::Store(err)) => return Err(err),
            Err(err @ (CancelError::Unknown(_) | CancelError::Ended(_))) => ended.push(format!("{name}: {err}")),
        }
    }
    // What ended long ago is no news to whoever stopped something.
    let (done, runs, lines) = if stopped.is_empty() {
        ("there was nothing to stop".to_owned(), Vec::new(), ended)
    } else {
        let (runs, lines): (Vec<_>, Vec<_>) = stopped.into_iter().unzip();
        (format!("stopped by {by}"), runs, lines)
    };
    Ok(Obeyed { done, runs, answer: Some(lines.join("\n")), to_anybody: None })
}

async fn status(app: &App, delivery: &Delivery, runs: &[(RunId, Automation)]) -> Result<Obeyed, StoreError> {
    let mut lines = Vec::new();
    for (id, automation) in runs {
        let Some(run) = app.store.run(*id).await?.filter(|run| run.team == delivery.team) else { continue };
        let waiting = waiting(app, &run).await?;
        lines.push(words::status(&automation.config.name, &run, waiting.as_ref(), app.now()));
    }
    let runs = runs.iter().map(|(run, _)| *run).collect();
    let done = "told how it stands".to_owned();
    Ok(Obeyed { done, runs, answer: Some(lines.join("\n")), to_anybody: None })
}

/// Of the latest runs that were asked for at this address, those that are at work and that the person may know of.
async fn status_of_all(app: &App, delivery: &Delivery, occurrence: &Occurrence) -> Result<Option<Obeyed>, StoreError> {
    let latest = app.store.latest_requests(&delivery.team, None, limits::STATUS_LOOKBACK).await?;
    let here = latest.into_iter().filter_map(|request| {
        let event = request.event.filter(|event| event.source == delivery.source)?;
        Some(Meant { run: request.run_id, automation: event.automation })
    });
    let here: Vec<_> = here.collect();
    let ids: Vec<_> = here.iter().map(|meant| meant.run).collect();
    let at_work: Vec<_> = app.store.runs(&ids).await?.into_iter().filter(|run| !run.state.is_terminal()).collect();
    let live = here.into_iter().filter(|meant| at_work.iter().any(|run| run.run_id == meant.run)).collect();
    let Some(Allowed { mut theirs, .. }) = allowed(app, delivery, occurrence, live).await? else { return Ok(None) };
    if theirs.is_empty() {
        let answer = "Nothing is at work here that you may ask for.".to_owned();
        return Ok(Some(Obeyed::nothing("told that nothing is at work", answer)));
    }
    let more = theirs.len().saturating_sub(limits::STATUS_RUNS);
    theirs.truncate(limits::STATUS_RUNS);
    let mut told = status(app, delivery, &theirs).await?;
    if more > 0 {
        told.answer = told.answer.map(|answer| format!("{answer}\nAnd {more} more."));
    }
    Ok(Some(told))
}

/// Anybody may ask.
fn help(delivery: &Delivery, occurrence: &Occurrence) -> Obeyed {
    let command = occurrence.detail.as_deref().filter(|_| delivery.is_command());
    let answer = command.map_or_else(|| words::HELP.to_owned(), words::help_of_command);
    Obeyed { to_anybody: Some("help"), ..Obeyed::nothing("told what can be said", answer) }
}

fn refuse(occurrence: &Occurrence, Allowed { refused, unknown, .. }: &Allowed) -> Obeyed {
    let mut done = format!("{} may not say that to this run", text::one_line(&occurrence.actor.login));
    if let Some(why) = unknown {
        done = format!("{done}; {why}");
    }
    let allow: Vec<_> = refused.iter().map(|automation| &automation.config.trigger.allow).collect();
    let answer = words::refusal(occurrence, &allow, unknown.as_deref());
    Obeyed { to_anybody: Some(REFUSAL), ..Obeyed::nothing(&done, answer) }
}

const REFUSAL: &str = "refusal";

/// Politely, that somebody may not start anything.
pub(super) async fn refusal(
    app: &App,
    delivery: &Delivery,
    occurrence: &Occurrence,
    allow: &[&Allow],
    unknown: Option<&str>,
) -> Result<Option<String>, StoreError> {
    let is_told = may_be_told(app, delivery, occurrence, REFUSAL).await?;
    Ok(is_told.then(|| words::refusal(occurrence, allow, unknown)))
}

async fn may_be_told(app: &App, delivery: &Delivery, occurrence: &Occurrence, what: &str) -> Result<bool, StoreError> {
    if delivery.is_command() || !occurrence.is_by_somebody() {
        return Ok(delivery.is_command());
    }
    let subject = mark(&delivery.source, &format!("{what}\n{}", occurrence.actor.id));
    rate::is_first(app, &delivery.team, &subject, delivery.id).await
}
