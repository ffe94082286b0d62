//! Lists of runs: any filter, four orders, pages that do not lose their place.
//!
//! Two orders come straight from an index: by creation (requests sort by run id, which begins with the time) and by last
//! update, latest first (ended runs sort by their end; those at work hold a slot each; those that wait are where they were
//! created). The others have no index: they sort the newest [`ozma_domain::limits::LIST_WINDOW_RUNS`] runs.
//!
//! A filter that few runs match makes a page shorter, not the list: when as many runs were looked at, the page ends where
//! looking did. It is empty only at the end of the list, because clients stop at an empty page.

mod cursor;
mod filter;
mod source;

use jiff::Timestamp;
use ozma_domain::id::TeamId;
use ozma_store::{RunPair, StoreError};

pub use cursor::{Cursor, InvalidCursor};
pub use filter::Filter;
pub use source::{EnvironmentFilter, ExecutionLocation};

use crate::App;
use cursor::{Place, Walk};
use filter::Family;
use source::{ByCreation, ByUpdate, Source};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortBy {
    #[default]
    UpdatedAt,
    CreatedAt,
    Title,
    /// By skill; runs without one come last.
    Agent,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortOrder {
    Asc,
    #[default]
    Desc,
}

/// An empty page would end a client's walk, so a list looks this many windows far for the first match; and no further,
/// because a request must end.
const WINDOWS_WITHOUT_A_MATCH: usize = 10;

#[derive(Clone, Debug)]
pub struct Listing {
    pub filter: Filter,
    pub sort_by: SortBy,
    pub order: SortOrder,
    pub limit: usize,
    pub cursor: Option<Cursor>,
    /// Runs looked at for one page: [`ozma_domain::limits::LIST_WINDOW_RUNS`], or fewer in a test.
    pub window: usize,
}

#[derive(Debug)]
pub struct RunsPage {
    pub runs: Vec<RunPair>,
    /// Absent on the last page.
    pub next: Option<Cursor>,
}

#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    #[error("the runs could not be read")]
    Store(#[from] StoreError),
}

pub async fn list(app: &App, team: &TeamId, listing: &Listing) -> Result<RunsPage, ListError> {
    let Listing { filter, sort_by, order, limit, cursor, window } = listing;
    let (sort_by, order) = (*sort_by, *order);
    if cursor.as_ref().is_some_and(|cursor| (cursor.sort_by, cursor.order) != (sort_by, order)) {
        return Err(InvalidCursor.into());
    }
    let began = app.now();
    let walk = cursor.as_ref().and_then(|cursor| cursor.walk.as_ref());
    let place = cursor.as_ref().map(|cursor| &cursor.place);
    let place_of = |pair: &RunPair| Place::of(sort_by, pair, walk.map_or(Timestamp::MAX, Walk::as_of));
    let is_after = |pair: &RunPair, at: &Place| {
        place.is_none_or(|place| at.compare(place, order).is_gt())
            && !walk.is_some_and(|walk| walk.has_shown(pair.request.run_id))
    };
    // One more than the page, to know whether there is another.
    let wanted = limit + 1;
    let Found { mut runs, next } = match (sort_by, order) {
        (SortBy::CreatedAt, order) => {
            let mut source = Source::Creation(ByCreation::new(order, place, filter));
            collect(app, team, &mut source, filter, wanted, *window).await?
        }
        (SortBy::UpdatedAt, SortOrder::Desc) => {
            let mut source = Source::Update(Box::new(ByUpdate::new(app, team, place, walk).await?));
            collect(app, team, &mut source, filter, wanted, *window).await?
        }
        (_, order) => {
            let mut source = Source::Creation(ByCreation::new(SortOrder::Desc, None, filter));
            let runs = collect(app, team, &mut source, filter, *window, *window).await?.runs;
            let mut placed: Vec<(Place, RunPair)> = runs.into_iter().map(|pair| (place_of(&pair), pair)).collect();
            placed.retain(|(at, pair)| is_after(pair, at));
            placed.sort_by(|(a, _), (b, _)| a.compare(b, order));
            Found { runs: placed.into_iter().map(|(_, pair)| pair).take(wanted).collect(), next: None }
        }
    };
    let more = runs.len() > *limit;
    runs.truncate(*limit);
    // The farthest, which is the last but for a run that moved while it was read.
    let next = if more { runs.iter().map(place_of).max_by(|a, b| a.compare(b, order)) } else { next };
    let walk = (sort_by == SortBy::UpdatedAt).then(|| Walk::after(walk, order, began, &runs));
    let next = next.map(|place| Cursor { sort_by, order, place, walk });
    Ok(RunsPage { runs, next })
}

struct Found {
    runs: Vec<RunPair>,
    /// Where looking ended, if that was not the end of the list.
    next: Option<Place>,
}

/// Draws from `source` until `wanted` runs match, it is dry, or the window is used up.
async fn collect(
    app: &App,
    team: &TeamId,
    source: &mut Source,
    filter: &Filter,
    wanted: usize,
    window: usize,
) -> Result<Found, StoreError> {
    let mut family = Family::default();
    let (mut runs, mut looked_at) = (Vec::new(), 0);
    loop {
        let batch = source.next(app, team).await?;
        let Some(last) = batch.last().map(|pair| source.place(pair)) else { return Ok(Found { runs, next: None }) };
        looked_at += batch.len();
        for pair in batch {
            if filter.matches(&pair) && family.descends(app, team, &pair, filter.ancestor).await? {
                runs.push(pair);
            }
        }
        let far_enough = if runs.is_empty() { window * WINDOWS_WITHOUT_A_MATCH } else { window };
        if runs.len() >= wanted || looked_at >= far_enough {
            runs.truncate(wanted);
            let next = (!runs.is_empty()).then_some(last);
            return Ok(Found { runs, next });
        }
    }
}
