//! Conversations: an automation's run is remembered for the conversation that it was asked for in, and hears what is said there
//! after that.

use ozma_domain::automation::Automation;
use ozma_domain::delivery::{Delivery, DeliverySource, Owed, OwedState};
use ozma_domain::harness::HarnessKind;
use ozma_domain::id::{DeliveryId, RunId, TeamId};
use ozma_domain::limits;
use ozma_domain::prompt_template::fence;
use ozma_domain::provider::Occurrence;
use ozma_domain::text;
use ozma_store::{StoreError, ThreadRow};

use super::arrival::mark;
use crate::App;
use crate::app::after;
use crate::messages::{MessageError, send_once};
use crate::rate::{self, HOUR};

/// Who hears what is said in a conversation to an automation's run.
pub(super) enum Hears {
    /// Nobody is there: it may start a run.
    Nobody,
    Run(RunId),
    /// A script, which is at work and takes no messages. What people say must never become one.
    Script(RunId),
    /// It was told so much in this hour that it may be a loop.
    TooMuch {
        most: u32,
    },
}

/// By what a conversation is kept: those at one address are none of another's, so that whoever can sign for the one speaks to
/// no run of the other.
pub(super) fn hash(source: &DeliverySource, conversation: &str) -> String {
    mark(source, &format!("conversation\n{conversation}"))
}

/// The runs that may hear what an event says: none, where it says nothing.
pub(super) async fn listening(
    app: &App,
    delivery: &Delivery,
    occurrence: Option<&Occurrence>,
) -> Result<Vec<ThreadRow>, StoreError> {
    let said = occurrence.filter(|occurrence| occurrence.is_message()).and_then(Occurrence::conversation);
    let Some(conversation) = said else { return Ok(Vec::new()) };
    let mut rows = runs_in(app, &delivery.team, &delivery.source, conversation).await?;
    // Whoever replays what began a conversation wants it begun again.
    rows.retain(|row| Some(row.delivery) != delivery.replay_of);
    Ok(rows)
}

/// The latest run of each automation in a conversation.
pub(super) async fn runs_in(
    app: &App,
    team: &TeamId,
    source: &DeliverySource,
    conversation: &str,
) -> Result<Vec<ThreadRow>, StoreError> {
    app.store.thread(team, &hash(source, conversation), app.now().as_second()).await
}

/// Who hears it of the automation's run in the conversation. It counts as said.
pub(super) async fn hears(
    app: &App,
    automation: &Automation,
    row: &ThreadRow,
    source: &DeliverySource,
    conversation: &str,
) -> Result<Hears, StoreError> {
    let hears = listens(app, automation, row).await?;
    if !matches!(hears, Hears::Run(_)) {
        return Ok(hears);
    }
    let most = automation.config.trigger.runs_per_object();
    let subject = format!("said#{}#{}", automation.id, hash(source, conversation));
    let over = rate::count(app, &automation.team, &subject, HOUR, most).await?;
    Ok(if over.is_some() { Hears::TooMuch { most } } else { hears })
}

/// Who would hear it, however much was said.
pub(super) async fn listens(app: &App, automation: &Automation, row: &ThreadRow) -> Result<Hears, StoreError> {
    let Some(request) = app.store.request(&automation.team, row.run_id).await? else { return Ok(Hears::Nobody) };
    if request.harness == HarnessKind::Shell {
        let run = app.store.run(row.run_id).await?;
        let is_at_work = run.is_some_and(|run| !run.state.is_terminal());
        // Asked for again after its end, the script is started as it was.
        return Ok(if is_at_work { Hears::Script(row.run_id) } else { Hears::Nobody });
    }
    Ok(Hears::Run(row.run_id))
}

/// Remembers the run for the conversation that the event belongs to, if it belongs to one; `began` started the run.
pub(super) async fn remember(
    app: &App,
    delivery: &Delivery,
    owed: &Owed,
    occurrence: Option<&Occurrence>,
    began: DeliveryId,
) -> Result<(), StoreError> {
    let Some(conversation) = occurrence.and_then(Occurrence::conversation) else { return Ok(()) };
    let row = ThreadRow {
        automation: owed.automation.clone(),
        run_id: owed.run_id,
        delivery: began,
        expires: after(app.now(), limits::CONVERSATION_SECONDS).as_second(),
    };
    app.store.keep_thread(&delivery.team, &hash(&delivery.source, conversation), &row).await
}

/// Says to a run what a delivery says. However often it is tried, the run gets one message.
pub(super) async fn say(
    app: &App,
    delivery: &Delivery,
    owed: &Owed,
    occurrence: Option<&Occurrence>,
) -> Result<OwedState, StoreError> {
    let refused = |reason: &str, again| {
        Ok(OwedState::Refused { reason: text::shorten(&text::one_line(reason), limits::STATUS_CHARS), again })
    };
    let Some(occurrence) = occurrence else { return refused("what it said cannot be read any more", false) };
    // Decided when the delivery was written. Whoever wrote that down, no script is made of what people say.
    let request = app.store.request(&delivery.team, owed.run_id).await?;
    let Some(request) = request.filter(|request| request.harness != HarnessKind::Shell) else {
        return refused("the run is gone, or runs a script and takes no messages", false);
    };
    let began = request.event.map_or(delivery.id, |event| event.delivery);
    let (from, provider) = (who(occurrence), occurrence.provider.to_string());
    let words = occurrence.text.as_deref().unwrap_or_default();
    let message = fence::said(words, &occurrence.actor.login, &provider);
    match send_once(app, &delivery.team, owed.run_id, &from, &message, &delivery.id.to_string()).await {
        Ok(_) => {
            remember(app, delivery, owed, Some(occurrence), began).await?;
            tracing::info!(run.id = %owed.run_id, delivery.id = %delivery.id, "a run was told what was said to it");
            Ok(OwedState::Started)
        }
        Err(MessageError::Store(err)) => Err(err),
        // Whoever goes on with the delivery tries again: its sender, or the sweep.
        Err(MessageError::Ending) if app.now() < after(delivery.received_at, limits::FOLLOW_UP_SECONDS) => {
            Ok(OwedState::Owed)
        }
        Err(err @ MessageError::Ending) => refused(&err.to_string(), true),
        Err(err @ (MessageError::Unknown(_) | MessageError::Skipped(_) | MessageError::TooLong)) => {
            refused(&err.to_string(), false)
        }
    }
}

/// As what somebody is known who does something from outside.
pub(super) fn who(occurrence: &Occurrence) -> String {
    format!("{} at {}", text::one_line(&occurrence.actor.login), occurrence.provider)
}
