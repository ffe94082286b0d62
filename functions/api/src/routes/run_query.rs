//! The query string of the list of runs.

use jiff::Timestamp;
use ozma_app::list::{Cursor, EnvironmentFilter, ExecutionLocation, Filter, Listing};
use ozma_domain::limits;
use ozma_domain::run::RunSource;

use crate::error::ApiError;
use crate::query::Pairs;
use crate::wire;

pub(crate) fn listing(pairs: &Pairs) -> Result<Listing, ApiError> {
    let limit = pairs.parsed::<usize>("limit")?.unwrap_or(limits::PAGE_RUNS_DEFAULT);
    if !(1..=limits::PAGE_RUNS).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("from 1 to {}", limits::PAGE_RUNS)));
    }
    Ok(Listing {
        filter: filter(pairs)?,
        sort_by: pairs.named("sort_by")?.unwrap_or_default(),
        order: pairs.named("sort_order")?.unwrap_or_default(),
        limit,
        cursor: pairs.parsed::<Cursor>("cursor")?,
        window: limits::LIST_WINDOW_RUNS,
    })
}

fn filter(pairs: &Pairs) -> Result<Filter, ApiError> {
    let mut metadata = pairs.map("metadata");
    if metadata.len() > limits::METADATA_FILTERS {
        return Err(ApiError::invalid("metadata", format!("at most {} pairs", limits::METADATA_FILTERS)));
    }
    if let Some(automation) = pairs.text("automation_id") {
        metadata.insert("automation_id".to_owned(), automation);
    }
    let environment = match pairs.text("environment_id") {
        None => None,
        Some(text) if text == "empty-environment" => Some(EnvironmentFilter::None),
        Some(text) => {
            Some(EnvironmentFilter::Id(text.parse().map_err(|err| ApiError::invalid("environment_id", err))?))
        }
    };
    let location = pairs.named::<wire::ExecutionLocation>("execution_location")?.map(|location| match location {
        wire::ExecutionLocation::Local => ExecutionLocation::Local,
        wire::ExecutionLocation::Remote => ExecutionLocation::Remote,
    });
    let artifact = pairs.text("artifact_type");
    if let Some(kind) = &artifact
        && !["PLAN", "PULL_REQUEST", "SCREENSHOT", "FILE", "EXTERNAL_REFERENCE"].contains(&kind.as_str())
    {
        let reason = format!("\"{kind}\" is not PLAN, PULL_REQUEST, SCREENSHOT, FILE or EXTERNAL_REFERENCE");
        return Err(ApiError::invalid("artifact_type", reason));
    }
    Ok(Filter {
        states: pairs.all("state")?,
        name: pairs.text("name"),
        model_id: pairs.text("model_id"),
        creator: pairs.text("creator"),
        executor: pairs.text("executor"),
        source: pairs.named::<RunSource>("source")?,
        execution_location: location,
        created_after: time(pairs, "created_after")?,
        created_before: time(pairs, "created_before")?,
        updated_after: time(pairs, "updated_after")?,
        environment,
        skill: pairs.text("skill_spec").or(pairs.text("skill")),
        ancestor: pairs.parsed("ancestor_run_id")?,
        query: pairs.text("q"),
        metadata,
        pull_request: artifact.as_deref() == Some("PULL_REQUEST"),
        // Rows tell of no schedules, other artifacts or factories, so none match.
        impossible: pairs.text("schedule_id").or(pairs.text("factory_uid")).is_some()
            || artifact.is_some_and(|kind| kind != "PULL_REQUEST"),
    })
}

fn time(pairs: &Pairs, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = pairs.text(name) else { return Ok(None) };
    let reason = "not a time such as 2026-11-21T08:00:00Z";
    // A `+` that nobody encoded arrives as a space.
    let parsed = text.parse().or_else(|_| text.replacen(' ', "+", 1).parse());
    parsed.map(Some).map_err(|_| ApiError::invalid(name, reason))
}
