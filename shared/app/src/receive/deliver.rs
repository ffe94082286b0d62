//! A delivery from its first byte to its last run: noted as seen, then written with what it starts, then started. Whoever
//! finds it half done goes on with it: the sender, who delivers it again, or the sweep.

use ozma_domain::audit::digest;
use ozma_domain::automation::Automation;
use ozma_domain::delivery::{Delivery, DeliverySource, Owed, OwedState, Owes, Reply, Told, Verdict};
use ozma_domain::id::{AutomationId, DeliveryId, RunId, TeamId};
use ozma_domain::identity::{Asking, Identity, Question};
use ozma_domain::limits;
use ozma_domain::provider::Occurrence;
use ozma_domain::text;
use ozma_store::{ArchiveKey, SavedDelivery, SeenRow, StoreError, Written};
use serde_json::Value;

use super::ReceiveError;
use super::arrival::{Arrival, Listeners, mark};
use super::matching::{Meaning, begun, plan};
use super::start::{Started, start};
use super::{control, people, words};
use crate::App;
use crate::app::after;
use crate::deliveries;
use crate::ports::QueueMessage;
use crate::rate::{self, MINUTE};

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivered {
    pub delivery: Delivery,
    /// It came before, and this is what became of it then.
    pub duplicate: bool,
    /// Nothing was started, and to deliver it again later may help.
    pub refused: Option<Refused>,
}

impl Delivered {
    /// The runs that there are now because of it.
    pub fn runs(&self) -> Vec<RunId> {
        let started = self.delivery.runs.iter().filter(|run| run.is_started(Owes::Run));
        started.map(|run| run.run_id).collect()
    }

    /// What the person is told who caused it, if its sender shows them the answer.
    pub fn said(&self) -> Option<&str> {
        let text = match &self.delivery.reply {
            Some(reply) => &reply.text,
            None if self.delivery.asking().is_some() => words::FINDING_OUT,
            None => "Nothing was done.",
        };
        self.delivery.is_answered_at_once().then_some(text)
    }
}

/// Why a run was not made that may be made later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    TooMany { reason: String, retry_seconds: u64 },
    Environment { reason: String },
}

pub(super) async fn deliver(app: &App, arrival: Arrival<'_>) -> Result<Delivered, ReceiveError> {
    let meaning = Meaning::of(arrival.provider, arrival.event.as_deref(), &arrival.payload, &arrival.own);
    let mut meaning = match meaning {
        Ok(meaning) => meaning,
        Err(err) => return Err(reject(app, &arrival.team, arrival.source, err.into()).await),
    };
    let fresh = app.new_delivery_id(app.now());
    let mut marks = arrival.marks.clone();
    // Slack tells one message as several events, each with an id of its own.
    // Whoever replays one wants it once more.
    let message = meaning.occurrence().and_then(|o| o.message.as_ref()).filter(|_| arrival.replay_of.is_none());
    marks.extend(message.map(|message| mark(&arrival.source, message)));
    let by_message = marks.len() > arrival.marks.len();
    let id = seen(app, &marks, fresh, arrival.body, by_message).await?;
    let before = if id == fresh { None } else { app.store.delivery(&arrival.team, id).await? };
    let duplicate = before.is_some();
    let (saved, automations) = match before {
        Some(saved) => (saved, None),
        None => log(app, &arrival, id, &mut meaning).await?,
    };
    go_on(app, saved, automations, &arrival.payload, meaning, duplicate).await
}

/// Goes on with a delivery that was left half done, if there is one. The runs that it owed are started. Whoever asks its
/// provider what it does not say is told to once more, and not waited for any longer when the time for that is long over.
pub async fn finish(app: &App, saved: SavedDelivery) -> Result<Delivered, ReceiveError> {
    let (payload, meaning) = read(app, &saved.delivery).await?;
    let overdue = saved.delivery.asking().filter(|_| Asking::is_overdue(saved.delivery.received_at, app.now()));
    if let Some(identity) = overdue.map(Asking::given_up) {
        let known = Delivery { identity: Some(identity), ..saved.delivery.clone() };
        return decide(app, saved, known, &payload, meaning).await;
    }
    go_on(app, saved, None, &payload, meaning, true).await
}

/// What a delivery said, and what that means.
pub(super) async fn read(app: &App, delivery: &Delivery) -> Result<(Value, Meaning), ReceiveError> {
    let payload = deliveries::payload(app, delivery).await?.ok_or(ReceiveError::Nowhere)?;
    let own = deliveries::own(app, delivery).await?;
    let meaning = Meaning::of(delivery.provider, Some(delivery.kind()), &payload, &own)?;
    Ok((payload, meaning))
}

/// Decides what a delivery starts that waited for what is `known` of it now, and goes on with it. Of two who do so one is
/// first.
pub(super) async fn decide(
    app: &App,
    saved: SavedDelivery,
    known: Delivery,
    payload: &Value,
    mut meaning: Meaning,
) -> Result<Delivered, ReceiveError> {
    let (delivery, automations) = plan(app, &Listeners::All, known, payload, &mut meaning).await?;
    let new = SavedDelivery { delivery, ..saved.clone() };
    if app.store.update_delivery(&saved, &new).await? == Written::Lost {
        let Delivery { team, id, .. } = &saved.delivery;
        let delivery = app.store.delivery(team, *id).await?.unwrap_or(new).delivery;
        return Ok(Delivered { delivery, duplicate: true, refused: None });
    }
    let saved = SavedDelivery { version: saved.version + 1, ..new };
    go_on(app, saved, Some(automations), payload, meaning, false).await
}

/// Delivers once more what came before, as a delivery of its own: to whoever listens now.
pub async fn replay(app: &App, team: &TeamId, id: DeliveryId) -> Result<Option<Delivered>, ReceiveError> {
    let Some((delivery, payload)) = deliveries::with_payload(app, team, id).await? else { return Ok(None) };
    let listeners = match &delivery.source {
        DeliverySource::Webhook(_) => Listeners::All,
        DeliverySource::Automation(id) | DeliverySource::Account(id) => {
            let found = app.store.automation(id).await?.map(|saved| saved.automation);
            let active = found.filter(|automation| !automation.config.paused);
            Listeners::One(Box::new(active.ok_or(ReceiveError::Nowhere)?))
        }
    };
    let own = deliveries::own(app, &delivery).await?;
    let again = app.new_delivery_id(app.now());
    let body = payload.to_string();
    let arrival = Arrival {
        team: team.clone(),
        listeners,
        provider: delivery.provider,
        own,
        event: Some(delivery.kind().to_owned()),
        sender_id: delivery.sender_id.clone(),
        marks: vec![mark(&delivery.source, &format!("replay\n{again}"))],
        source: delivery.source,
        body: body.as_bytes(),
        is_kept: true,
        payload,
        replay_of: Some(id),
    };
    deliver(app, arrival).await.map(Some)
}

/// Notes what an event is known by. The answer is the delivery that it is: this one, or an earlier one.
async fn seen(
    app: &App,
    marks: &[String],
    fresh: DeliveryId,
    body: &[u8],
    by_message: bool,
) -> Result<DeliveryId, ReceiveError> {
    let body_sha256 = digest(body).to_string();
    let expires = after(app.now(), limits::IDEMPOTENCY_SECONDS).as_second();
    let mut id = fresh;
    for (at, mark) in marks.iter().enumerate() {
        let row = SeenRow { delivery: id, body_sha256: body_sha256.clone(), expires };
        let first = app.store.see(mark, &row).await?;
        // Events about one message have bodies of their own.
        let is_message = by_message && at + 1 == marks.len();
        if first.body_sha256 != body_sha256 && !is_message {
            return Err(ReceiveError::Reused);
        }
        id = first.delivery;
    }
    Ok(id)
}

/// Writes what an event starts. Of two who do so at once, one is first, and the other goes on with the same.
async fn log(
    app: &App,
    arrival: &Arrival<'_>,
    id: DeliveryId,
    meaning: &mut Meaning,
) -> Result<(SavedDelivery, Option<Vec<Automation>>), ReceiveError> {
    let team = &arrival.team;
    // First: a row whose body is nowhere must never exist.
    let key = ArchiveKey::Payload { team, delivery: id };
    app.archive.create(&key, arrival.kept(), [].into()).await?;
    let delivery = begun(app, arrival, id, meaning);
    let (delivery, automations) = plan(app, &arrival.listeners, delivery, &arrival.payload, meaning).await?;
    let expires = after(delivery.received_at, limits::DELIVERY_SECONDS).as_second();
    let saved = SavedDelivery { delivery, repeats: 0, version: 1, expires };
    if app.store.create_delivery(&saved).await? == Written::Now {
        tracing::info!(
            delivery.id = %id, team = %team, event = saved.delivery.event, runs = saved.delivery.runs.len(),
            "an event came in"
        );
        return Ok((saved, Some(automations)));
    }
    let first = app.store.delivery(team, id).await?;
    Ok((first.unwrap_or(saved), None))
}

/// Starts what is still owed, and notes what became of it.
async fn go_on(
    app: &App,
    saved: SavedDelivery,
    automations: Option<Vec<Automation>>,
    payload: &Value,
    mut meaning: Meaning,
    duplicate: bool,
) -> Result<Delivered, ReceiveError> {
    // What was found out before it was decided.
    meaning.complete(&saved.delivery);
    if saved.delivery.asking().is_some() {
        let delivery = note(app, saved, &News::default(), duplicate).await?.delivery;
        people::ask(app, &delivery).await;
        return Ok(Delivered { delivery, duplicate, refused: None });
    }
    let automations = match automations {
        Some(automations) => automations,
        None => owing(app, &saved.delivery).await?,
    };
    let mut told = Vec::new();
    let mut refused = None;
    for owed in saved.delivery.runs.iter().filter(|run| run.may_start()) {
        let automation = automations.iter().find(|automation| automation.id == owed.automation);
        let Started { state, refused: why } =
            start(app, &saved.delivery, owed, automation, payload, meaning.occurrence()).await?;
        told.push((owed.run_id, state));
        refused = refused.or(why);
    }
    let news = news(app, &saved.delivery, told, meaning.occurrence()).await?;
    // Whoever delivers again what could not be started, and now can, delivers nothing twice.
    let is_new = |state: &OwedState| *state == OwedState::Started;
    let duplicate = duplicate && news.word.is_none() && !news.runs.iter().any(|(_, state)| is_new(state));
    let saved = note(app, saved, &news, duplicate).await?;
    let delivery = saved.delivery;
    people::ask(app, &delivery).await;
    send_reply(app, &delivery).await;
    // Who was told of one run is not asked to come back for another.
    let all_refused = !delivery.runs.is_empty() && delivery.runs.iter().all(|run| run.state != OwedState::Started);
    Ok(Delivered { refused: refused.filter(|_| all_refused), delivery, duplicate })
}

/// What is to be noted of a delivery.
#[derive(Default)]
struct News {
    runs: Vec<(RunId, OwedState)>,
    /// What was done about a word to us.
    word: Option<Told>,
    reply: Option<Reply>,
    /// Who says the word decides what is done.
    identity: Option<Identity>,
}

/// Does what it says to us, if it does, and decides what whoever caused it is told.
async fn news(
    app: &App,
    delivery: &Delivery,
    runs: Vec<(RunId, OwedState)>,
    occurrence: Option<&Occurrence>,
) -> Result<News, StoreError> {
    let Some(occurrence) = occurrence else { return Ok(News { runs, ..News::default() }) };
    let reply = |answer: Option<String>| answer.map(|answer| words::reply(delivery, occurrence, answer));
    if let Some(told) = delivery.told.as_ref().filter(|told| told.done.is_none()) {
        let Some(obeyed) = control::obey(app, delivery, &told.word, occurrence).await? else {
            return Ok(News {
                runs,
                identity: Some(Identity::to_be_asked(Question::Address, app.now())),
                ..News::default()
            });
        };
        tracing::info!(delivery.id = %delivery.id, word = ?told.word, "{}", obeyed.done);
        let word = Some(obeyed.told(told.word.clone()));
        return Ok(News { runs, word, reply: reply(obeyed.answer), identity: None });
    }
    // As it will be.
    let mut after = delivery.clone();
    set(&mut after, &runs);
    let answer = if delivery.reply.is_some() || !after.is_done() || delivery.told.is_some() {
        None
    } else if after.is_command() {
        Some(words::outcome(&after))
    } else if occurrence.is_addressed() && occurrence.is_by_somebody() {
        words::failure(&after)
    } else {
        None
    };
    Ok(News { reply: reply(answer), runs, ..News::default() })
}

/// What was started by somebody else meanwhile is not refused by us.
fn set(delivery: &mut Delivery, told: &[(RunId, OwedState)]) {
    for (run_id, state) in told {
        let run = delivery.runs.iter_mut().find(|run| run.run_id == *run_id);
        if let Some(run) = run.filter(|run| run.state != OwedState::Started) {
            run.state = state.clone();
        }
    }
}

/// Sets the reply on its way that there still is. If that is lost, whoever delivers again sends it.
async fn send_reply(app: &App, delivery: &Delivery) {
    if delivery.unsaid().is_none() || !matches!(delivery.source, DeliverySource::Webhook(_)) {
        return;
    }
    let message = QueueMessage::Reply { team: delivery.team.clone(), delivery: delivery.id };
    if let Err(err) = app.queue.send(message).await {
        tracing::warn!(delivery.id = %delivery.id, error = %text::chain(&err), "could not set a reply on its way");
    }
}

/// The automations whose runs are still owed.
async fn owing(app: &App, delivery: &Delivery) -> Result<Vec<Automation>, StoreError> {
    let ids: Vec<AutomationId> =
        delivery.runs.iter().filter(|run| run.may_start()).map(|run| run.automation.clone()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(app.store.automations_of(&ids).await?.into_iter().map(|saved| saved.automation).collect())
}

async fn note(app: &App, mut saved: SavedDelivery, news: &News, duplicate: bool) -> Result<SavedDelivery, StoreError> {
    loop {
        let mut new = saved.clone();
        new.repeats += u32::from(duplicate);
        set(&mut new.delivery, &news.runs);
        // Of two who did what it says to us, one says so.
        let is_obeyed = new.delivery.told.as_ref().is_some_and(|told| told.done.is_some());
        if !is_obeyed {
            if news.word.is_some() {
                new.delivery.told.clone_from(&news.word);
            }
            if new.delivery.reply.is_none() {
                new.delivery.reply.clone_from(&news.reply);
            }
            if new.delivery.identity.is_none() {
                new.delivery.identity.clone_from(&news.identity);
            }
        }
        if new == saved || app.store.update_delivery(&saved, &new).await? == Written::Now {
            return Ok(new);
        }
        let Delivery { team, id, .. } = &saved.delivery;
        match app.store.delivery(team, *id).await? {
            Some(found) => saved = found,
            None => return Ok(new),
        }
    }
}

/// Logs that something was not taken, as long as there is budget for that: beyond it, whoever sends is told to wait, right or
/// wrong. The error is what to answer.
pub(super) async fn reject(app: &App, team: &TeamId, source: DeliverySource, err: ReceiveError) -> ReceiveError {
    let status = match &err {
        ReceiveError::Unverified(_) => 401,
        ReceiveError::TooLarge => 413,
        _ => 400,
    };
    match log_rejection(app, team, source, status, &err).await {
        Ok(true) => err,
        Ok(false) => {
            let most = limits::WEBHOOK_REJECTIONS_PER_MINUTE;
            let reason = format!("more than {most} deliveries in this minute could not be taken");
            ReceiveError::TooMany { reason, retry_seconds: 60 }
        }
        Err(failure) => {
            tracing::warn!(error = %text::chain(&failure), "a rejected delivery could not be logged");
            err
        }
    }
}

async fn log_rejection(
    app: &App,
    team: &TeamId,
    source: DeliverySource,
    status: u16,
    err: &ReceiveError,
) -> Result<bool, StoreError> {
    let now = app.now();
    let id = app.new_delivery_id(now);
    let subject = format!("rejections#{}", mark(&source, ""));
    if rate::count(app, team, &subject, MINUTE, limits::WEBHOOK_REJECTIONS_PER_MINUTE).await?.is_some() {
        return Ok(false);
    }
    let reason = text::shorten(&text::one_line(&err.to_string()), limits::STATUS_CHARS);
    let delivery = Delivery {
        id,
        team: team.clone(),
        source,
        received_at: now,
        sender_id: String::new(),
        provider: None,
        event: String::new(),
        kind: None,
        url: None,
        bytes: 0,
        verdict: Verdict::Rejected { status, reason },
        identity: None,
        origin: None,
        runs: Vec::<Owed>::new(),
        left: Vec::new(),
        told: None,
        reply: None,
        replay_of: None,
    };
    let expires = after(now, limits::DELIVERY_SECONDS).as_second();
    let _ = app.store.create_delivery(&SavedDelivery { delivery, repeats: 0, version: 1, expires }).await?;
    Ok(true)
}
