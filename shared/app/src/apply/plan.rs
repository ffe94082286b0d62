//! What is to become of what there is.

use std::collections::{HashMap, HashSet};

use ozma_domain::automation::AutomationConfig;
use ozma_domain::definition::{Definition, Kind, Need, SetName};
use ozma_domain::environment::EnvironmentConfig;
use ozma_domain::id::TeamId;
use ozma_domain::limits;
use ozma_domain::schedule::ScheduleConfig;
use ozma_domain::subscription::SubscriptionConfig;
use ozma_domain::template::InvalidField;
use ozma_domain::webhook::WebhookConfig;
use ozma_store::{Alter, Change, SavedAutomation, SavedEnvironment, SavedSchedule, SavedSubscription, SavedWebhook};

use super::{ApplyError, Order, Present};
use crate::App;
use crate::{automations, environments, schedules, subscriptions, webhooks};

/// A row that definitions are about.
trait Row: Clone {
    type Config: PartialEq;
    const KIND: Kind;

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
    SavedEnvironment, environment, EnvironmentConfig, Environment;
    SavedWebhook, webhook, WebhookConfig, Webhook;
    SavedAutomation, automation, AutomationConfig, Automation;
    SavedSchedule, schedule, ScheduleConfig, Schedule;
    SavedSubscription, subscription, SubscriptionConfig, Subscription;
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
        changes.extend(pruned(&present.environments, order, &defined).map(Change::Environment));
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
    let Present { environments, webhooks, automations, schedules, subscriptions, .. } = present;
    Ok(match definition {
        Definition::Environment(config) => {
            let made = |config: EnvironmentConfig| {
                let uid = present.environment_id(&config.name).expect("an id for each that is defined").clone();
                Ok(SavedEnvironment::new(environments::made(app, team, uid, config)))
            };
            let changed = |old: &SavedEnvironment, config| {
                let mut new = old.environment.clone();
                (new.config, new.last_updated) = (config, app.now());
                Ok(old.with(new))
            };
            Change::Environment(alter(environments, order, at, config, made, changed)?)
        }
        Definition::Webhook(config) => {
            let made = |config: WebhookConfig| {
                let id = present.webhook_id(&config.name).expect("an id for each that is defined").clone();
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
    let mut left: Vec<Definition> = Vec::new();
    // Whatever is not touched stays as it is; whatever is, as it will be.
    let (mut automations, mut schedules) = (HashSet::new(), HashSet::new());
    let mut gone = Vec::new();
    for change in changes {
        match change {
            Change::Environment(Alter::Delete(old)) => {
                gone.push((Need::Environment(&old.environment.uid), Kind::Environment, old.name()));
            }
            Change::Webhook(Alter::Delete(old)) => {
                gone.push((Need::Webhook(&old.webhook.id), Kind::Webhook, old.name()));
            }
            Change::Automation(alter) => {
                automations.extend(alter.before().map(|old| &old.automation.id));
                left.extend(alter.after().map(|new| Definition::Automation(new.automation.config.clone())));
            }
            Change::Schedule(alter) => {
                schedules.extend(alter.before().map(|old| &old.schedule.id));
                left.extend(alter.after().map(|new| Definition::Schedule(new.schedule.config.clone())));
            }
            _ => {}
        }
    }
    let others = present.automations.iter().filter(|row| !automations.contains(&row.automation.id));
    left.extend(others.map(|row| Definition::Automation(row.automation.config.clone())));
    let others = present.schedules.iter().filter(|row| !schedules.contains(&row.schedule.id));
    left.extend(others.map(|row| Definition::Schedule(row.schedule.config.clone())));
    for user in &left {
        for need in user.needs() {
            if let Some((_, kind, name)) = gone.iter().find(|(gone, ..)| *gone == need) {
                return Err(ApplyError::Needed {
                    kind: *kind,
                    name: (*name).to_owned(),
                    user_kind: user.kind(),
                    user: user.name().to_owned(),
                });
            }
        }
    }
    Ok(())
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
