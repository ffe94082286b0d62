//! What is to become of what there is.

use std::collections::{HashMap, HashSet};

use ozma_domain::automation::AutomationConfig;
use ozma_domain::definition::{Definition, Kind, SetName};
use ozma_domain::id::TeamId;
use ozma_domain::limits;
use ozma_domain::schedule::ScheduleConfig;
use ozma_domain::subscription::SubscriptionConfig;
use ozma_domain::template::InvalidField;
use ozma_domain::webhook::WebhookConfig;
use ozma_store::{Alter, Change, SavedAutomation, SavedSchedule, SavedSubscription, SavedWebhook, Stored};

use super::{ApplyError, Order, Present};
use crate::App;
use crate::resources::Defined;
use crate::{automations, schedules, subscriptions, webhooks};

/// A row that definitions are about.
trait Row: Clone {
    type Config: Clone + PartialEq;
    const KIND: Kind;

    fn id(&self) -> &str;
    fn config(&self) -> &Self::Config;
    fn name(&self) -> &str;
    fn set(&self) -> Option<&SetName>;
    fn in_set(self, set: &SetName) -> Self;
}

macro_rules! rows {
    ($($Row:ident, $member:ident, $Config:ident, $Kind:ident;)+) => {$(
        impl Row for $Row {
            type Config = $Config;
            const KIND: Kind = Kind::$Kind;

            fn id(&self) -> &str {
                self.$member.id.as_str()
            }

            fn config(&self) -> &$Config {
                &self.$member.config
            }

            fn name(&self) -> &str {
                &self.$member.config.name
            }

            fn set(&self) -> Option<&SetName> {
                self.set.as_ref()
            }

            fn in_set(self, set: &SetName) -> Self {
                Self { set: Some(set.clone()), ..self }
            }
        }
    )+};
}

rows! {
    SavedWebhook, webhook, WebhookConfig, Webhook;
    SavedAutomation, automation, AutomationConfig, Automation;
    SavedSchedule, schedule, ScheduleConfig, Schedule;
    SavedSubscription, subscription, SubscriptionConfig, Subscription;
}

impl<R: Defined> Row for Stored<R> {
    type Config = R::Config;
    const KIND: Kind = R::KIND;

    fn id(&self) -> &str {
        self.value.uid().as_ref()
    }

    fn config(&self) -> &R::Config {
        self.value.config()
    }

    fn name(&self) -> &str {
        self.value.name()
    }

    fn set(&self) -> Option<&SetName> {
        self.set.as_ref()
    }

    fn in_set(self, set: &SetName) -> Self {
        Self { set: Some(set.clone()), ..self }
    }
}

/// What is defined, in its order, then what is deleted.
pub(super) fn changes(
    app: &App,
    team: &TeamId,
    by: &str,
    order: &Order,
    present: &Present,
    definitions: Vec<Definition>,
) -> Result<Vec<Change>, ApplyError> {
    check_once(&definitions)?;
    let mut changes = Vec::with_capacity(definitions.len());
    for (at, definition) in definitions.into_iter().enumerate() {
        changes.push(change(app, team, by, order, present, at, definition)?);
    }
    if order.prune {
        let defined: HashSet<(Kind, &str)> = order.names.iter().map(|(kind, name)| (*kind, name.as_str())).collect();
        changes.extend(pruned(&present.subscriptions, order, &defined).map(Change::Subscription));
        changes.extend(pruned(&present.schedules, order, &defined).map(Change::Schedule));
        changes.extend(pruned(&present.automations, order, &defined).map(Change::Automation));
        changes.extend(pruned(&present.webhooks, order, &defined).map(Change::Webhook));
        changes.extend(pruned(&present.agents, order, &defined).map(Change::Agent));
        changes.extend(pruned(&present.environments, order, &defined).map(Change::Environment));
        changes.extend(pruned(&present.runners, order, &defined).map(Change::Runner));
        check_needs(present, &changes)?;
    }
    check_number(Kind::Automation, present.automations.len(), &changes, limits::AUTOMATIONS)?;
    check_number(Kind::Schedule, present.schedules.len(), &changes, limits::SCHEDULES)?;
    check_number(Kind::Subscription, present.subscriptions.len(), &changes, limits::SUBSCRIPTIONS)?;
    Ok(changes)
}

fn check_once(definitions: &[Definition]) -> Result<(), ApplyError> {
    let mut seen = HashMap::new();
    for (at, definition) in definitions.iter().enumerate() {
        let kind = definition.kind();
        if let Some(first) = seen.insert((kind, definition.name()), at) {
            return Err(ApplyError::Twice { at, first, kind });
        }
    }
    Ok(())
}

fn change(
    app: &App,
    team: &TeamId,
    by: &str,
    order: &Order,
    present: &Present,
    at: usize,
    definition: Definition,
) -> Result<Change, ApplyError> {
    let invalid = |err: InvalidField| ApplyError::Invalid { at, err };
    definition.check().map_err(invalid)?;
    let Present { runners, environments, agents, webhooks, automations, schedules, subscriptions, .. } = present;
    Ok(match definition {
        Definition::Runner(config) => Change::Runner(resource(app, team, order, present, runners, at, config)?),
        Definition::Environment(config) => {
            Change::Environment(resource(app, team, order, present, environments, at, config)?)
        }
        Definition::Agent(config) => Change::Agent(resource(app, team, order, present, agents, at, config)?),
        Definition::Webhook(config) => {
            let made = |config: WebhookConfig| {
                let id = present.id(Kind::Webhook, &config.name).and_then(|id| id.parse().ok());
                let id = id.expect("an id for each that is defined");
                Ok(SavedWebhook::new(webhooks::made(app, team, id, config, None)?))
            };
            let changed = |old: &SavedWebhook, config| Ok(old.with(webhooks::changed(app, &old.webhook, config)?));
            Change::Webhook(alter(webhooks, order, at, config, made, changed)?)
        }
        Definition::Automation(config) => {
            let made = |config| Ok(SavedAutomation::new(automations::made(app, team, config)));
            let changed = |old: &SavedAutomation, config| Ok(old.with(old.automation.updated(config, app.now())));
            Change::Automation(alter(automations, order, at, config, made, changed)?)
        }
        Definition::Schedule(config) => {
            let made = |config| Ok(SavedSchedule::new(schedules::made(app, team, by, config)?));
            let changed = |old: &SavedSchedule, config: ScheduleConfig| {
                let new = schedules::changed(app, &old.schedule, by, |schedule| schedule.config = config.clone());
                Ok(old.with(new?))
            };
            Change::Schedule(alter(schedules, order, at, config, made, changed)?)
        }
        Definition::Subscription(config) => {
            subscriptions::check(app, &config).map_err(invalid)?;
            let made = |config| Ok(SavedSubscription::new(subscriptions::made(app, team, config)));
            let changed = |old: &SavedSubscription, config| Ok(old.with(old.subscription.changed(config, app.now())));
            Change::Subscription(alter(subscriptions, order, at, config, made, changed)?)
        }
    })
}

fn resource<R: Defined>(
    app: &App,
    team: &TeamId,
    order: &Order,
    present: &Present,
    all: &[Stored<R>],
    at: usize,
    config: R::Config,
) -> Result<Alter<Stored<R>>, ApplyError> {
    let (kind, name) = &order.names[at];
    let made = |config| {
        let uid = present.id(*kind, name).and_then(|id| id.parse().ok()).expect("an id for each that is defined");
        Ok(Stored::new(R::made(uid, team.clone(), config, app.now())))
    };
    let changed = |old: &Stored<R>, config| Ok(old.with(old.value.changed(config, app.now())));
    alter(all, order, at, config, made, changed)
}

/// What is as it is defined is left alone, whoever made it. What is made carries the set; what is changed keeps what it carries.
fn alter<R: Row>(
    all: &[R],
    order: &Order,
    at: usize,
    config: R::Config,
    made: impl FnOnce(R::Config) -> Result<R, InvalidField>,
    changed: impl FnOnce(&R, R::Config) -> Result<R, InvalidField>,
) -> Result<Alter<R>, ApplyError> {
    let invalid = |err: InvalidField| ApplyError::Invalid { at, err };
    let (kind, (wanted_kind, name)) = (R::KIND, &order.names[at]);
    debug_assert_eq!(kind, *wanted_kind);
    let mut named = all.iter().filter(|row| row.name() == name);
    match (named.next(), named.next()) {
        (None, _) => Ok(Alter::Create(made(config).map_err(invalid)?.in_set(&order.set))),
        (Some(_), Some(_)) => Err(ApplyError::Ambiguous { at, kind }),
        (Some(old), None) if *old.config() == config => Ok(Alter::Keep(old.clone())),
        (Some(old), None) => match old.set().filter(|set| **set != order.set) {
            Some(set) => Err(ApplyError::OfAnotherSet { at, kind, set: set.clone() }),
            None => Ok(Alter::Update { old: old.clone(), new: changed(old, config).map_err(invalid)? }),
        },
    }
}

fn pruned<R: Row>(all: &[R], order: &Order, defined: &HashSet<(Kind, &str)>) -> impl Iterator<Item = Alter<R>> {
    let is_left = |row: &&R| row.set() == Some(&order.set) && !defined.contains(&(R::KIND, row.name()));
    all.iter().filter(is_left).cloned().map(Alter::Delete)
}

/// Nothing that stays may need what goes.
fn check_needs(present: &Present, changes: &[Change]) -> Result<(), ApplyError> {
    // Whatever is not touched stays as it is; whatever is, as it will be.
    let (mut gone, mut left, mut touched) = (Vec::new(), Vec::new(), HashSet::new());
    for change in changes {
        let Altered { id, before, after } = altered(change);
        if after.is_none() {
            gone.extend(before.map(|old| (id, old)));
        }
        touched.insert(id);
        left.extend(after);
    }
    let Present { environments, agents, automations, schedules, .. } = present;
    left.extend(untouched(environments, &touched, Definition::Environment));
    left.extend(untouched(agents, &touched, Definition::Agent));
    left.extend(untouched(automations, &touched, Definition::Automation));
    left.extend(untouched(schedules, &touched, Definition::Schedule));
    for user in &left {
        for need in user.needs() {
            if let Some((_, needed)) = gone.iter().find(|(id, gone)| *id == need.id && gone.kind() == need.kind) {
                return Err(ApplyError::Needed {
                    kind: needed.kind(),
                    name: needed.name().to_owned(),
                    user_kind: user.kind(),
                    user: user.name().to_owned(),
                });
            }
        }
    }
    Ok(())
}

/// What is defined by a row before and after a change.
struct Altered<'a> {
    id: &'a str,
    before: Option<Definition>,
    after: Option<Definition>,
}

fn altered(change: &Change) -> Altered<'_> {
    fn of<'a, R: Row>(alter: &'a Alter<R>, definition: fn(R::Config) -> Definition) -> Altered<'a> {
        let told = |row: &R| definition(row.config().clone());
        let id = alter.before().or(alter.after()).map_or("", R::id);
        Altered { id, before: alter.before().map(told), after: alter.after().map(told) }
    }
    match change {
        Change::Runner(alter) => of(alter, Definition::Runner),
        Change::Environment(alter) => of(alter, Definition::Environment),
        Change::Agent(alter) => of(alter, Definition::Agent),
        Change::Webhook(alter) => of(alter, Definition::Webhook),
        Change::Automation(alter) => of(alter, Definition::Automation),
        Change::Schedule(alter) => of(alter, Definition::Schedule),
        Change::Subscription(alter) => of(alter, Definition::Subscription),
    }
}

fn untouched<R: Row>(
    rows: &[R],
    touched: &HashSet<&str>,
    definition: fn(R::Config) -> Definition,
) -> impl Iterator<Item = Definition> {
    rows.iter().filter(|row| !touched.contains(row.id())).map(move |row| definition(row.config().clone()))
}

/// Only where some are made: a team that has too many already may still change them.
fn check_number(kind: Kind, there: usize, changes: &[Change], most: usize) -> Result<(), ApplyError> {
    let (mut made, mut deleted) = (0, 0);
    for change in changes {
        let (is_made, is_deleted) = match change {
            Change::Automation(alter) if kind == Kind::Automation => {
                (alter.before().is_none(), alter.after().is_none())
            }
            Change::Schedule(alter) if kind == Kind::Schedule => (alter.before().is_none(), alter.after().is_none()),
            Change::Subscription(alter) if kind == Kind::Subscription => {
                (alter.before().is_none(), alter.after().is_none())
            }
            _ => continue,
        };
        made += usize::from(is_made);
        deleted += usize::from(is_deleted);
    }
    let count = there + made - deleted;
    if made > 0 && count > most { Err(ApplyError::TooMany { kind, count, most }) } else { Ok(()) }
}
