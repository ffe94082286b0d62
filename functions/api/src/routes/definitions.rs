//! Definitions: apply them as a whole, and tell what there is as definitions. None of it is in the contract.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ozma_app::App;
use ozma_app::apply::{self, Order, Plan, Present};
use ozma_domain::definition::{Kind, SetName, differences};
use ozma_domain::limits;
use ozma_store::{Alter, Change};
use serde_json::{Value, json};

use super::{automations, subscriptions, webhooks};
use crate::auth::Caller;
use crate::base_url::BaseUrl;
use crate::body::Body;
use crate::definitions::{Told, all, parse, told, written};
use crate::error::ApiError;
use crate::query::Pairs;
use crate::wire::{
    ApplyRequest, ApplyResult, DefinitionAction, DefinitionChange, DefinitionList, FieldChange, Problem,
};

/// Makes what there is be as it is defined: all of it, or nothing. What is so already is left alone. Secrets that are made by it
/// are in this answer and in no other.
#[utoipa::path(
    post,
    path = "/apply",
    operation_id = "applyDefinitions",
    request_body = ApplyRequest,
    responses(
        (status = 200, body = ApplyResult),
        (status = 400, body = Problem),
        (status = 401, body = Problem),
        (status = 409, description = "Others changed the same, again and again", body = Problem),
        (status = 413, body = Problem),
    ),
    tag = "definitions"
)]
pub(crate) async fn apply(
    State(app): State<Arc<App>>,
    caller: Caller,
    base: BaseUrl,
    body: Body<ApplyRequest>,
) -> Result<Json<ApplyResult>, ApiError> {
    if body.bytes.len() > limits::DEFINITIONS_BYTES {
        let most = limits::DEFINITIONS_BYTES / 1024 / 1024;
        return Err(ApiError::too_large(format!("definitions: more than {most} MiB; apply fewer at a time")));
    }
    let needed = || ApiError::invalid("definitions", "needed: a list, which may be empty");
    let sent = body.value.definitions.ok_or_else(needed)?;
    if sent.len() > limits::DEFINITIONS {
        let reason = format!("at most {}; apply fewer at a time", limits::DEFINITIONS);
        return Err(ApiError::invalid("definitions", reason));
    }
    let set = match body.value.set {
        Some(set) => set.parse::<SetName>().map_err(|err| ApiError::invalid("set", err))?,
        None => SetName::default(),
    };
    let (mut names, mut given) = (Vec::with_capacity(sent.len()), Vec::with_capacity(sent.len()));
    for (at, sent) in sent.into_iter().enumerate() {
        let (kind, name, one) = parse(sent).map_err(|err| err.within(&format!("definitions[{at}]")))?;
        names.push((kind, name));
        given.push(one);
    }
    let order = Order { set, prune: body.value.prune.unwrap_or_default(), names };
    let read = |present: &Present| {
        let each = given.iter().zip(&order.names).enumerate();
        each.map(|(at, (given, (_, name)))| {
            given.read(name, present).map_err(|err| err.within(&format!("definitions[{at}]")))
        })
        .collect()
    };
    let plan_only = body.value.plan_only.unwrap_or_default();
    let plan: Plan = match plan_only {
        true => apply::plan(&app, &caller.team, &caller.name, &order, read).await?,
        false => apply::apply(&app, &caller.team, &caller.name, &order, read).await?,
    };
    let applied = !plan_only && !plan.is_empty();
    let teller = Teller { app: &app, base: &base, present: &plan.present, applied };
    let changes = plan.changes.iter().map(|change| teller.change(change)).collect();
    Ok(Json(ApplyResult { set: order.set.to_string(), applied, changes }))
}

/// What there is, as definitions that change nothing when they are applied.
#[utoipa::path(
    get,
    path = "/definitions",
    operation_id = "exportDefinitions",
    params(("kind" = Option<String>, Query, description = "Only those of this kind")),
    responses((status = 200, body = DefinitionList), (status = 400, body = Problem), (status = 401, body = Problem)),
    tag = "definitions"
)]
pub(crate) async fn export(
    State(app): State<Arc<App>>,
    caller: Caller,
    pairs: Pairs,
) -> Result<Json<DefinitionList>, ApiError> {
    let kind = pairs.parsed::<Kind>("kind")?;
    let mut all = all(&apply::present(&app, &caller.team).await?);
    all.retain(|(of, ..)| kind.is_none_or(|kind| kind == *of));
    Ok(Json(DefinitionList { definitions: all.into_iter().map(|(.., definition)| definition).collect() }))
}

struct Teller<'a> {
    app: &'a App,
    base: &'a BaseUrl,
    present: &'a Present,
    applied: bool,
}

impl Teller<'_> {
    fn change(&self, change: &Change) -> DefinitionChange {
        match change {
            Change::Runner(alter) => self.told(alter),
            Change::Environment(alter) => self.told(alter),
            Change::Agent(alter) => self.told(alter),
            Change::Schedule(alter) => self.told(alter),
            Change::Webhook(alter) => {
                let told = self.told(alter);
                let is_new = match alter {
                    Alter::Create(_) => true,
                    Alter::Update { old, new } => old.webhook.config.auth != new.webhook.config.auth,
                    Alter::Delete(_) | Alter::Keep(_) => false,
                };
                let Some(new) = alter.after().filter(|_| is_new && self.applied) else { return told };
                let answer = webhooks::answer_with_secret(self.app, new.webhook.clone(), self.base);
                let note = (!answer.has_secret).then(|| {
                    "its service makes the secret, and until it is told nothing is taken: \
                     `oz webhook rotate-secret NAME --secret-stdin`"
                        .to_owned()
                });
                DefinitionChange { url: Some(answer.url), secret: answer.secret, note, ..told }
            }
            Change::Automation(alter) => {
                let told = self.told(alter);
                let Alter::Create(new) = alter else { return told };
                if !self.applied {
                    return told;
                }
                let answer = automations::answer_with_secret(self.app, new.automation.clone(), self.base);
                DefinitionChange { url: Some(answer.webhook_url), secret: answer.webhook_secret, ..told }
            }
            Change::Subscription(alter) => {
                let told = self.told(alter);
                let Alter::Create(new) = alter else { return told };
                let secret = subscriptions::answer_with_secret(self.app, new.subscription.clone()).secret;
                DefinitionChange { secret: secret.filter(|_| self.applied), ..told }
            }
        }
    }

    fn told<Row: Told>(&self, alter: &Alter<Row>) -> DefinitionChange {
        let (action, row) = match alter {
            Alter::Create(row) => (DefinitionAction::Create, row),
            Alter::Update { new, .. } => (DefinitionAction::Update, new),
            Alter::Delete(row) => (DefinitionAction::Delete, row),
            Alter::Keep(row) => (DefinitionAction::Unchanged, row),
        };
        let fields = match alter {
            Alter::Create(new) => differences(&json!({"kind": Row::KIND, "name": row.name()}), &self.written(new)),
            Alter::Update { old, new } => differences(&told(old, self.present), &told(new, self.present)),
            Alter::Delete(_) | Alter::Keep(_) => Vec::new(),
        };
        DefinitionChange {
            kind: Row::KIND,
            name: row.name().to_owned(),
            action,
            id: (alter.before().is_some() || self.applied).then(|| row.id().to_owned()),
            fields: fields
                .into_iter()
                .map(|change| FieldChange { field: change.field, old: change.old, new: change.new })
                .collect(),
            url: None,
            secret: None,
            note: None,
        }
    }

    fn written<Row: Told>(&self, row: &Row) -> Value {
        Value::Object(written(row, self.present))
    }
}
