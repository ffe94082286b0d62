//! Definitions: what a team has is made to be as it is defined, all of it or nothing.
//!
//! A plan is made of what there is and what is wanted; the plan's rows are one transaction, on condition that what was read
//! still holds. Whoever loses that race plans again. What has to be done beside the rows comes before them where it costs
//! nothing if they are not written (images), and after them where it may be lost (timers, images that nobody uses any more).

mod plan;
mod present;

use ozma_domain::definition::{Definition, Kind, SetName};
use ozma_domain::id::TeamId;
use ozma_domain::limits;
use ozma_domain::plan::Plan as TeamPlan;
use ozma_domain::template::InvalidField;
use ozma_domain::text::chain;
use ozma_store::{Alter, AppliedRow, Batch, Change, StoreError, Stored, TeamRow, Written};

pub use present::Present;

use crate::App;
use crate::ports::PortError;
use crate::resources::{self, Defined, ResourceError};
use crate::schedules;
use crate::webhooks::{self, WebhookError};

/// Plans that are made before somebody is told that others are always faster.
const PLANS: usize = 5;

/// What somebody wants applied.
#[derive(Clone, Debug)]
pub struct Order {
    pub set: SetName,
    /// What is of the set and not defined any more is deleted.
    pub prune: bool,
    /// What is defined: kinds and names, in order.
    pub names: Vec<(Kind, String)>,
}

/// What is to be done, or was.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is defined, in its order, then what is deleted.
    pub changes: Vec<Change>,
    /// Which names stand for which ids, before and after.
    pub present: Present,
    batch: Batch,
}

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("definitions[{at}].{err}")]
    Invalid { at: usize, err: InvalidField },
    #[error("definitions[{at}].name: the same {kind} is at definitions[{first}] already")]
    Twice { at: usize, first: usize, kind: Kind },
    #[error("definitions[{at}].name: more than one {kind} has it; give each a name of its own")]
    Ambiguous { at: usize, kind: Kind },
    #[error(
        "definitions[{at}].name: the {kind} is of the set {set}, which alone may change it; apply it with `--set {set}`"
    )]
    OfAnotherSet { at: usize, kind: Kind, set: SetName },
    #[error(
        "the {kind} \"{name}\" is defined no more, and the {user_kind} \"{user}\" needs it; change or delete that first"
    )]
    Needed { kind: Kind, name: String, user_kind: Kind, user: String },
    #[error("the team would have {count} {kind}s, at most {most}; delete some that are not needed any more")]
    TooMany { kind: Kind, count: usize, most: usize },
    #[error(
        "{rows} rows would be written, and {} is the most that is written together; apply fewer definitions at a time, \
         those that others need first and without `--prune`, or keep them in several sets",
        limits::TRANSACTION_ROWS
    )]
    TooLarge { rows: usize },
    #[error("others change the same at this moment; apply again")]
    Lost,
    #[error("the definitions could not be applied")]
    Store(#[from] StoreError),
    #[error("an image could not be made ready")]
    Port(#[from] PortError),
    #[error("the vault did not answer")]
    Vault(#[source] PortError),
}

/// What a team has.
pub async fn present(app: &App, team: &TeamId) -> Result<Present, StoreError> {
    Present::read(app, team).await
}

/// What an apply would do. `read` makes the definitions of an order out of what there is, which may be asked for more than
/// once.
pub async fn plan<E: From<ApplyError>>(
    app: &App,
    team: &TeamId,
    by: &str,
    order: &Order,
    read: impl Fn(&Present) -> Result<Vec<Definition>, E>,
) -> Result<Plan, E> {
    let store = |err: StoreError| E::from(ApplyError::Store(err));
    // Before all else: whoever applies after this makes us lose.
    let last = app.store.last_apply(team).await.map_err(store)?;
    let present = Present::read(app, team).await.map_err(store)?.with_new(app, &order.names);
    let definitions = read(&present)?;
    check_connections(app, team, &definitions).await?;
    let changes = plan::changes(app, team, by, order, &present, definitions)?;
    let smallest = TeamPlan::named("free").expect("a plan that comes with Ozma");
    let version = last.as_ref().map_or(0, |last| last.version) + 1;
    let next = AppliedRow { version, set: order.set.clone(), by: by.to_owned(), at: app.now() };
    let batch = app.store.batch(&TeamRow::new(team.clone(), smallest), &changes, last.as_ref(), &next).await;
    let plan = Plan { changes, present, batch: batch.map_err(store)? };
    if plan.batch.rows() > limits::TRANSACTION_ROWS && !plan.is_empty() {
        return Err(ApplyError::TooLarge { rows: plan.batch.rows() }.into());
    }
    Ok(plan)
}

/// Does what a plan says. Whoever does it again finds nothing to do.
pub async fn apply<E: From<ApplyError>>(
    app: &App,
    team: &TeamId,
    by: &str,
    order: &Order,
    read: impl Fn(&Present) -> Result<Vec<Definition>, E>,
) -> Result<Plan, E> {
    for _ in 0..PLANS {
        let plan = plan(app, team, by, order, &read).await?;
        if plan.is_empty() {
            return Ok(plan);
        }
        prepare(app, team, &plan).await?;
        match app.store.write_batch(&plan.batch).await.map_err(ApplyError::Store)? {
            Written::Now => {
                follow_up(app, team, &plan).await;
                return Ok(plan);
            }
            Written::Lost => {}
        }
    }
    Err(ApplyError::Lost.into())
}

/// What webhooks answer with has to be there, which is not in the table.
async fn check_connections(app: &App, team: &TeamId, definitions: &[Definition]) -> Result<(), ApplyError> {
    for (at, definition) in definitions.iter().enumerate() {
        let Definition::Webhook(config) = definition else { continue };
        webhooks::check(app, team, config).await.map_err(|err| match err {
            WebhookError::Invalid(err) => ApplyError::Invalid { at, err },
            WebhookError::Vault(err) => ApplyError::Vault(err),
            WebhookError::Store(err) => err.into(),
            WebhookError::Unknown(_) | WebhookError::NameTaken(_) | WebhookError::Lost => ApplyError::Lost,
        })?;
    }
    Ok(())
}

impl Plan {
    /// Whether everything is as it is defined.
    pub fn is_empty(&self) -> bool {
        self.changes.iter().all(Change::is_kept)
    }

    /// The images that a change has made ready, before and after.
    fn images(&self) -> impl Iterator<Item = (usize, Option<&str>, Option<&str>)> {
        fn both<R: Defined>(alter: &Alter<Stored<R>>) -> (Option<&str>, Option<&str>) {
            let [before, after] =
                [alter.before(), alter.after()].map(|row| row.and_then(|row| R::image(row.value.config())));
            (before, after)
        }
        self.changes.iter().enumerate().filter_map(|(at, change)| {
            let (before, after) = match change {
                Change::Runner(alter) => both(alter),
                Change::Environment(alter) => both(alter),
                _ => return None,
            };
            Some((at, before, after))
        })
    }
}

/// An image that is made ready for something that is then refused costs nothing.
async fn prepare(app: &App, team: &TeamId, plan: &Plan) -> Result<(), ApplyError> {
    for (at, before, after) in plan.images() {
        resources::prepare(app, team, before, after).await.map_err(|err| match err {
            ResourceError::Invalid(err) => ApplyError::Invalid { at, err },
            ResourceError::Port(err) => err.into(),
            ResourceError::Store(err) => err.into(),
            ResourceError::Unknown { .. }
            | ResourceError::Missing(_)
            | ResourceError::NameTaken { .. }
            | ResourceError::Lost { .. } => ApplyError::Lost,
        })?;
    }
    Ok(())
}

/// What may be lost: the sweep sets timers, and what is left over of an image or on the team's row does no harm.
async fn follow_up(app: &App, team: &TeamId, plan: &Plan) {
    for (_, before, after) in plan.images() {
        if before != after {
            resources::retire(app, team, before).await;
        }
    }
    let mut unsubscribed = false;
    for change in &plan.changes {
        match change {
            Change::Schedule(Alter::Create(new) | Alter::Update { new, .. }) => {
                schedules::set_timer(app, &new.schedule).await;
            }
            Change::Webhook(Alter::Create(new) | Alter::Update { new, .. }) => {
                webhooks::look_after(app, &new.webhook).await;
            }
            Change::Subscription(Alter::Delete(_)) => unsubscribed = true,
            _ => {}
        }
    }
    if unsubscribed && let Err(err) = app.store.forget_subscriptions(team).await {
        tracing::warn!(%team, error = %chain(&err), "a team without subscriptions is still asked for them");
    }
}
