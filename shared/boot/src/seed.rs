//! What an installation starts with: a team with its plan, the key of its owner, and the public half of the audit key.

use ozma_app::ports::Clock;
use ozma_domain::audit::manifest::public_key;
use ozma_domain::id::TeamId;
use ozma_domain::plan::Plan;
use ozma_domain::token::ApiKey;
use ozma_store::{ApiKeyRow, Store, StoreError, TeamRow};

/// Makes what is missing. What is there already stays, but for the plan where one is `asked` for.
pub(crate) async fn seed(
    store: &Store,
    team: &TeamId,
    asked: Option<Plan>,
    admin_key: &ApiKey,
    signing_seed: &[u8; 32],
    clock: &dyn Clock,
) -> Result<Plan, StoreError> {
    let existing = store.team(team).await?;
    let plan = match (asked, &existing) {
        (Some(plan), _) => plan,
        (None, Some(row)) => row.plan.clone(),
        (None, None) => Plan::named("free").expect("a plan that comes with Ozma"),
    };
    if existing.as_ref().is_none_or(|row| row.plan != plan) {
        let row = existing.unwrap_or_else(|| TeamRow::new(team.clone(), plan.clone()));
        store.put_team(&TeamRow { plan: plan.clone(), ..row }).await?;
    }
    let hash = admin_key.hash();
    if store.api_key(&hash).await?.is_none_or(|row| !row.operator) {
        let row = ApiKeyRow { team: team.clone(), name: "admin".to_owned(), created_at: clock.now(), operator: true };
        store.put_api_key(&hash, &row).await?;
    }
    let public_key = public_key(signing_seed);
    if store.audit_key().await?.as_ref() != Some(&public_key) {
        store.put_audit_key(public_key).await?;
    }
    Ok(plan)
}
