//! Which automations an event starts.

use ozma_domain::automation::{Automation, AutomationConfig};
use ozma_domain::delivery::{Delivery, DeliverySource, Left, Owed, OwedState, Owes, Told, Verdict};
use ozma_domain::event_key;
use ozma_domain::filter::Condition;
use ozma_domain::id::{DeliveryId, RunId, TeamId};
use ozma_domain::identity::{Identity, Question};
use ozma_domain::limits;
use ozma_domain::provider::{Decoded, Occurrence, Own, Provider, Refused};
use ozma_domain::template::InvalidField;
use ozma_domain::text;
use ozma_domain::trigger::{Event, Source, Trigger, Unmatched};
use ozma_store::{StoreError, ThreadRow};
use serde_json::Value;

use super::ReceiveError;
use super::arrival::{Arrival, Listeners};
use super::follow_up::{self, Hears};
use super::people::Address;
use super::start::rendered;
use super::{control, origin, people, words};
use crate::App;
use crate::deliveries;

/// What an event means. An event without a provider has a name at most.
pub(super) enum Meaning {
    Known(Box<Occurrence>),
    NotUsed { name: String, why: String },
    Unknown { name: String },
}

impl Meaning {
    pub(super) fn of(
        provider: Option<Provider>,
        event: Option<&str>,
        payload: &Value,
        own: &Own,
    ) -> Result<Self, InvalidField> {
        let name = event.unwrap_or_default();
        let Some(provider) = provider else { return Ok(Self::Unknown { name: name.to_owned() }) };
        Ok(match provider.decode(name, payload, own)? {
            Decoded::Used(occurrence) => Self::Known(occurrence),
            Decoded::NotUsed { name, why } => Self::NotUsed { name, why },
        })
    }

    pub(super) fn occurrence(&self) -> Option<&Occurrence> {
        if let Self::Known(occurrence) = self { Some(occurrence) } else { None }
    }

    /// Fills in what was found out since.
    pub(super) fn complete(&mut self, delivery: &Delivery) {
        if let (Self::Known(occurrence), Some(origin)) = (self, &delivery.origin) {
            occurrence.comes_from(origin);
        }
    }

    /// What happened, by its name.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Known(occurrence) => occurrence.names.first().map_or("", String::as_str),
            Self::NotUsed { name, .. } | Self::Unknown { name } => name,
        }
    }

    pub(super) fn event<'a>(&'a self, payload: &'a Value) -> Event<'a> {
        Event { name: self.name(), payload, occurrence: self.occurrence() }
    }
}

/// What is to be written of an event before it is known what it starts.
pub(super) fn begun(app: &App, arrival: &Arrival<'_>, id: DeliveryId, meaning: &Meaning) -> Delivery {
    Delivery {
        id,
        team: arrival.team.clone(),
        source: arrival.source.clone(),
        received_at: app.now(),
        sender_id: arrival.sender_id.clone(),
        provider: arrival.provider,
        event: text::shorten(&text::one_line(meaning.name()), limits::EVENT_NAME_CHARS * 2),
        kind: arrival.event.clone().filter(|kind| kind != meaning.name()),
        url: meaning.occurrence().and_then(|occurrence| occurrence.subject.url.clone()),
        bytes: arrival.body.len() as u64,
        verdict: Verdict::Accepted,
        identity: None,
        origin: None,
        runs: Vec::new(),
        left: Vec::new(),
        told: None,
        reply: None,
        replay_of: arrival.replay_of,
    }
}

/// What an event starts, and who was left out. With the automations of its runs. Or nothing yet, where that depends on who
/// caused it, or on whose code it is about, and its provider is to be asked.
pub(super) async fn plan(
    app: &App,
    listeners: &Listeners,
    mut delivery: Delivery,
    payload: &Value,
    meaning: &mut Meaning,
) -> Result<(Delivery, Vec<Automation>), StoreError> {
    meaning.complete(&delivery);
    if let Meaning::NotUsed { why, .. } = meaning {
        delivery.verdict = Verdict::NotUsed(why.clone());
        return Ok((delivery, Vec::new()));
    }
    let said = meaning.occurrence().filter(|occurrence| occurrence.own.is_none());
    if let Some(word) = said.and_then(|occurrence| occurrence.control.clone()) {
        delivery.told = Some(Told { word, done: None, runs: Vec::new() });
        return Ok((delivery, Vec::new()));
    }
    let rows = follow_up::listening(app, &delivery, meaning.occurrence()).await?;
    let row_of = |automation: &Automation| rows.iter().find(|row| row.automation == automation.id);
    let automations = listening(app, listeners, &delivery).await?;
    let awaiting = |automation: &Automation, event: &Event<'_>| {
        !automation.config.paused && awaits_address(&automation.config.trigger, event, row_of(automation))
    };
    let mut unknown = None;
    if automations.iter().any(|automation| awaiting(automation, &meaning.event(payload)))
        && let Meaning::Known(occurrence) = meaning
    {
        let address = people::address(app, &delivery, occurrence).await?;
        if matches!(address, Address::ToAsk) {
            delivery.identity = Some(Identity::to_be_asked(Question::Address, app.now()));
            return Ok((delivery, Vec::new()));
        }
        unknown = address.unknown(occurrence);
    }
    let occurrence = meaning.occurrence();
    let event = meaning.event(payload);
    if delivery.identity.is_none()
        && awaits_origin(app, &automations, &event, &rows).await?
        && origin::may_be_asked(app, &delivery).await?
    {
        delivery.identity = Some(Identity::to_be_asked(Question::Origin, app.now()));
        return Ok((delivery, Vec::new()));
    }
    let (mut started, mut refusing, mut near, mut answer) = (Vec::new(), Vec::new(), Vec::new(), None);
    for automation in automations {
        let config = &automation.config;
        let row = row_of(&automation);
        let decided = if config.paused {
            Err("it is paused".to_owned())
        } else if started.len() >= limits::DELIVERY_RUNS {
            Err(format!("{} others were started by this event already", limits::DELIVERY_RUNS))
        } else {
            match owed(app, &delivery, &automation, &event, row).await? {
                Decided::Owed(owed) => Ok(owed),
                // It is not asked for such events, which is nobody's business.
                Decided::Unmatched(why @ Unmatched::Event { .. }) => {
                    left(&mut delivery, config, &why.to_string());
                    continue;
                }
                Decided::Unmatched(why) => {
                    if matches!(&why, Unmatched::Refused(refused) if !matches!(refused, Refused::Own(_))) {
                        refusing.push(config.trigger.allow.clone());
                    }
                    let unknown = unknown.clone().filter(|_| awaiting(&automation, &event));
                    Err(unknown.unwrap_or_else(|| why.to_string()))
                }
                Decided::Unheard(why) => {
                    answer.get_or_insert_with(|| words::script(&config.name));
                    Err(why)
                }
                Decided::TooMuch(why) => Err(why),
            }
        };
        match decided {
            Ok(Owing { run_id, secrets, owes }) => {
                delivery.runs.push(Owed {
                    automation: automation.id.clone(),
                    name: config.name.clone(),
                    run_id,
                    secrets,
                    owes,
                    state: OwedState::Owed,
                });
                started.push(automation);
            }
            Err(why) => {
                left(&mut delivery, config, &why);
                near.push((config.name.clone(), why));
            }
        }
    }
    // Whoever spoke to us, and to nobody who listened.
    if let Some(occurrence) = occurrence.filter(|occurrence| occurrence.is_addressed() && delivery.runs.is_empty()) {
        if answer.is_none() && !refusing.is_empty() {
            let refusing: Vec<_> = refusing.iter().collect();
            answer = control::refusal(app, &delivery, occurrence, &refusing, unknown.as_deref()).await?;
        }
        if answer.is_none() && delivery.is_command() {
            near.truncate(limits::DELIVERY_LEFT);
            answer = Some(words::nothing_started(&near));
        }
        delivery.reply = answer.map(|answer| words::reply(&delivery, occurrence, answer));
    }
    Ok((delivery, started))
}

/// Whether an automation would take the event, or its run hear it, if the address of whoever caused it was listed, and that is
/// not known.
fn awaits_address(trigger: &Trigger, event: &Event<'_>, row: Option<&ThreadRow>) -> bool {
    let Some(listed) = trigger.if_listed(event) else { return false };
    listed.verdict(event).is_ok() || (row.is_some() && listed.continues(event).is_ok())
}

/// Whether an automation would take the event, and for a new run: one that hears it has the secrets that it has.
async fn awaits_origin(
    app: &App,
    automations: &[Automation],
    event: &Event<'_>,
    rows: &[ThreadRow],
) -> Result<bool, StoreError> {
    for automation in automations {
        let AutomationConfig { paused, trigger, .. } = &automation.config;
        if *paused || !trigger.awaits_origin(event) {
            continue;
        }
        let row = rows.iter().find(|row| row.automation == automation.id && trigger.continues(event).is_ok());
        let is_heard = match row {
            Some(row) => !matches!(follow_up::listens(app, automation, row).await?, Hears::Nobody),
            None => false,
        };
        if !is_heard {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Notes why an automation is not started.
fn left(delivery: &mut Delivery, config: &AutomationConfig, why: &str) {
    if delivery.left.len() < limits::DELIVERY_LEFT {
        delivery.left.push(Left { name: config.name.clone(), why: text::shorten(why, limits::STATUS_CHARS) });
    }
}

/// What an event owes an automation.
struct Owing {
    run_id: RunId,
    secrets: bool,
    owes: Owes,
}

enum Decided {
    Owed(Owing),
    Unmatched(Unmatched),
    /// It is said to a script.
    Unheard(String),
    TooMuch(String),
}

/// A new run, or a message to the one that answers in the conversation.
async fn owed(
    app: &App,
    delivery: &Delivery,
    automation: &Automation,
    event: &Event<'_>,
    row: Option<&ThreadRow>,
) -> Result<Decided, StoreError> {
    let trigger = &automation.config.trigger;
    if let Some(row) = row
        && let Some(conversation) = event.occurrence.and_then(Occurrence::conversation)
        && trigger.continues(event).is_ok()
    {
        match follow_up::hears(app, automation, row, &delivery.source, conversation).await? {
            Hears::Nobody => {}
            Hears::Run(run_id) => {
                return Ok(Decided::Owed(Owing { run_id, secrets: false, owes: Owes::FollowUp }));
            }
            Hears::Script(run) => {
                return Ok(Decided::Unheard(format!("its run {run} is a script at work, which takes no messages")));
            }
            Hears::TooMuch { most } => {
                let why = format!("its run was told something {most} times in this hour already; is it a loop?");
                return Ok(Decided::TooMuch(why));
            }
        }
    }
    Ok(match trigger.verdict(event) {
        Ok(start) => {
            Decided::Owed(Owing { run_id: app.new_run_id(app.now()), secrets: start.secrets, owes: Owes::Run })
        }
        Err(why) => Decided::Unmatched(why),
    })
}

/// Every automation that the event may start, by name.
async fn listening(app: &App, listeners: &Listeners, delivery: &Delivery) -> Result<Vec<Automation>, StoreError> {
    if let Listeners::One(automation) = listeners {
        return Ok(vec![Automation::clone(automation)]);
    }
    let listens = |on: &Source| match (on, &delivery.source) {
        (Source::Webhook(id), DeliverySource::Webhook(at)) => id == at,
        (Source::Provider(provider), _) => Some(*provider) == delivery.provider,
        (Source::Webhook(_), _) => false,
    };
    let listeners = app.store.listeners(&delivery.team).await?;
    let ids: Vec<_> = listeners.into_iter().filter(|row| listens(&row.on)).map(|row| row.id).collect();
    let found = app.store.automations_of(&ids).await?.into_iter().map(|saved| saved.automation);
    // A listener whose automation was given another team never is; who is paused is told so.
    let mut found: Vec<_> = found.filter(|automation| automation.team == delivery.team).collect();
    found.sort_by(|a, b| a.config.name.cmp(&b.config.name));
    Ok(found)
}

/// What an automation would make of an event that came before.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// Whether it would start a run.
    pub starts: bool,
    /// Why it would not, what would go wrong, or who is asked first.
    pub why: Option<String>,
    /// Each condition of its filter, and what it found.
    pub conditions: Vec<Condition>,
    /// The prompt, or of a script the script.
    pub prompt: Option<String>,
    /// Members of the event that the prompt would print and that are not there.
    pub absent: Vec<String>,
    /// Its concurrency key, if the event has what that is made of.
    pub key: Option<String>,
    pub secrets: bool,
}

/// Tries an automation with an event that was delivered before. Nothing is started.
pub async fn try_out(
    app: &App,
    team: &TeamId,
    config: &AutomationConfig,
    id: DeliveryId,
) -> Result<Option<Tried>, ReceiveError> {
    let Some((delivery, payload)) = deliveries::with_payload(app, team, id).await? else { return Ok(None) };
    let own = deliveries::own(app, &delivery).await?;
    let mut meaning = Meaning::of(delivery.provider, Some(delivery.kind()), &payload, &own)?;
    let mut unknown = None;
    if awaits_address(&config.trigger, &meaning.event(&payload), None)
        && let Meaning::Known(occurrence) = &mut meaning
    {
        // As if it came now.
        let fresh = Delivery { identity: None, ..delivery.clone() };
        let address = people::address(app, &fresh, occurrence).await?;
        let to_ask = || format!("{} is asked for the address of {}", occurrence.provider, occurrence.actor.login);
        unknown = match address {
            Address::ToAsk => Some(format!("when it comes, {} first", to_ask())),
            address => address.unknown(occurrence),
        };
    }
    meaning.complete(&delivery);
    let event = meaning.event(&payload);
    if config.trigger.awaits_origin(&event) && origin::may_be_asked(app, &delivery).await? {
        unknown = meaning.occurrence().map(origin::to_be_asked);
    }
    let (start, mut why) = match (&meaning, config.trigger.verdict(&event)) {
        (Meaning::NotUsed { why, .. }, _) => (None, Some(why.clone())),
        (_, Ok(start)) => (Some(start), unknown),
        (_, Err(err)) => (None, unknown.or(Some(err.to_string()))),
    };
    let mut tried = Tried {
        starts: start.is_some(),
        why: None,
        conditions: config.trigger.filter.explain(&payload),
        prompt: None,
        absent: Vec::new(),
        key: None,
        secrets: start.is_some_and(|start| start.secrets),
    };
    match rendered(config, &delivery, &payload) {
        Ok(prompt) => (tried.prompt, tried.absent) = (Some(prompt.text), prompt.absent),
        Err(err) => {
            if tried.starts {
                why = Some(err);
            }
            tried.starts = false;
        }
    }
    let keys = meaning.occurrence().map(|occurrence| &occurrence.keys);
    let key = config.template.scheduling.concurrency.as_ref().map(|concurrency| concurrency.key.as_str());
    tried.key = key.and_then(|key| event_key::fill(key, &payload, keys));
    tried.why = why;
    Ok(Some(tried))
}
