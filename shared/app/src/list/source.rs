//! Runs in the order of an index, batch by batch.

use std::collections::{HashSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use ozma_domain::id::{EnvironmentId, RunId, TeamId};
use ozma_domain::run::{Run, RunRequest};
use ozma_domain::state::RunState;
use ozma_store::{EndedEntry, RunPair, StoreError};

use super::cursor::{Place, Walk, update_of};
use super::{Filter, SortBy, SortOrder};
use crate::App;

/// What one `BatchGetItem` takes.
const BATCH: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvironmentFilter {
    Id(EnvironmentId),
    /// `empty-environment`: runs without one.
    None,
}

/// Every run of Ozma is executed by a launcher: REMOTE. LOCAL are those of a person's own terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutionLocation {
    Local,
    Remote,
}

pub(super) enum Source {
    Creation(ByCreation),
    Update(Box<ByUpdate>),
}

impl Source {
    /// The next runs in order; none when there are no more.
    pub(super) async fn next(&mut self, app: &App, team: &TeamId) -> Result<Vec<RunPair>, StoreError> {
        match self {
            Self::Creation(source) => source.next(app, team).await,
            Self::Update(source) => source.next(app, team).await,
        }
    }

    /// Where `pair` is in the order of this source.
    pub(super) fn place(&self, pair: &RunPair) -> Place {
        match self {
            Self::Creation(_) => Place::of(SortBy::CreatedAt, pair, Timestamp::MAX),
            Self::Update(source) => Place::of(SortBy::UpdatedAt, pair, source.as_of),
        }
    }
}

/// By run id.
pub(super) struct ByCreation {
    order: SortOrder,
    beyond: Option<RunId>,
    until: Option<Timestamp>,
    dry: bool,
}

impl ByCreation {
    pub(super) fn new(order: SortOrder, place: Option<&Place>, filter: &Filter) -> Self {
        let first_at = |ms: i64| RunId::first_at(u64::try_from(ms).unwrap_or(0));
        // The filter's bounds save reading what it would turn away. They may be finer than the milliseconds of a run id.
        let (from, until) = match order {
            SortOrder::Desc => (filter.created_before.map(|at| at.as_millisecond() + 1), filter.created_after),
            SortOrder::Asc => (filter.created_after.map(Timestamp::as_millisecond), filter.created_before),
        };
        let beyond = place.map(|place| place.run).or(from.map(first_at));
        Self { order, beyond, until, dry: false }
    }

    async fn next(&mut self, app: &App, team: &TeamId) -> Result<Vec<RunPair>, StoreError> {
        if self.dry {
            return Ok(Vec::new());
        }
        let requests = match self.order {
            SortOrder::Desc => app.store.latest_requests(team, self.beyond, BATCH).await?,
            SortOrder::Asc => app.store.earliest_requests(team, self.beyond, BATCH).await?,
        };
        self.dry = requests.len() < BATCH;
        if let Some(last) = requests.last() {
            self.beyond = Some(last.run_id);
            self.dry |= self.until.is_some_and(|until| match self.order {
                SortOrder::Desc => last.created_at.as_millisecond() < until.as_millisecond(),
                SortOrder::Asc => last.created_at.as_millisecond() > until.as_millisecond(),
            });
        }
        let ids: Vec<RunId> = requests.iter().map(|request| request.run_id).collect();
        app.store.pair(&ids, requests).await
    }
}

/// By last update, latest first: three streams merged.
///
/// Nothing holds still meanwhile. A run that waits is taken to work, one at work ends: whoever is met where it no longer
/// is, after the stream that it went to was read, is answered all the same; whoever is met twice is answered once.
pub(super) struct ByUpdate {
    began: Timestamp,
    place: Option<(Timestamp, RunId)>,
    walk: Option<Walk>,
    /// The walk's; without one, everything counts.
    as_of: Timestamp,
    /// At work: at most as many as the plan has slots. And those that ended since the walk began.
    working: VecDeque<RunPair>,
    ended: VecDeque<EndedEntry>,
    ended_dry: bool,
    ended_beyond: Option<(Timestamp, RunId)>,
    /// All runs by creation; those that wait are drawn from here.
    created: VecDeque<RunRequest>,
    created_dry: bool,
    created_beyond: Option<RunId>,
    drawn: HashSet<RunId>,
}

/// A list and the runs that move while it is read have clocks that differ by less.
const MOVED_LATELY: SignedDuration = SignedDuration::from_secs(2);

/// Ends since a walk began that are looked at. A walk that takes longer may miss a run that worked when it began.
const ENDED_SINCE: usize = 1_000;

impl ByUpdate {
    pub(super) async fn new(
        app: &App,
        team: &TeamId,
        place: Option<&Place>,
        walk: Option<&Walk>,
    ) -> Result<Self, StoreError> {
        let began = app.now();
        let place = place.map(|place| (place.time(), place.run));
        let as_of = walk.map_or(Timestamp::MAX, Walk::as_of);
        let mut ids: Vec<RunId> = app.store.taken_slots_lately(team).await?.iter().map(|slot| slot.run_id).collect();
        if walk.is_some() {
            let ended = app.store.ended_since(team, Some(as_of), ENDED_SINCE).await?;
            ids.extend(ended.iter().filter(|entry| entry.ended_at > as_of).map(|entry| entry.run_id));
            ids.sort_unstable();
            ids.dedup();
        }
        let mut working = app.store.run_pairs(team, &ids).await?;
        let settled = |pair: &RunPair| pair.run.ended_at.is_some_and(|at| at <= as_of);
        // Those that wait again are drawn from where they were created; without a walk, ends come by themselves.
        working.retain(|pair| match pair.run.state {
            RunState::Queued => false,
            state => state.is_live() || walk.is_some() && !settled(pair),
        });
        working.sort_by_key(|pair| std::cmp::Reverse(key(pair, as_of)));
        // Those that ended later are among the above.
        let ended_beyond = walk.map(|_| (after(as_of), RunId::first_at(0))).into_iter().chain(place).min();
        Ok(Self {
            began,
            place,
            walk: walk.cloned(),
            as_of,
            working: working.into(),
            ended: VecDeque::new(),
            ended_dry: false,
            ended_beyond,
            created: VecDeque::new(),
            created_dry: false,
            // Created in the same millisecond counts as not yet seen; `next` compares exactly.
            created_beyond: place.map(|(at, _)| RunId::first_at(u64::try_from(at.as_millisecond()).unwrap_or(0) + 1)),
            drawn: HashSet::new(),
        })
    }

    async fn next(&mut self, app: &App, team: &TeamId) -> Result<Vec<RunPair>, StoreError> {
        loop {
            let batch = self.batch(app, team).await?;
            if batch.is_empty() {
                return Ok(Vec::new());
            }
            let mut pairs = app.store.run_pairs(team, &batch).await?;
            pairs.retain(|pair| {
                let shown = self.walk.as_ref().is_some_and(|walk| walk.has_shown(pair.request.run_id));
                !shown
                    && self.place.is_none_or(|place| key(pair, self.as_of) < place)
                    && self.drawn.insert(pair.request.run_id)
            });
            // A whole batch may have been shown before.
            if !pairs.is_empty() {
                pairs.sort_by_key(|pair| std::cmp::Reverse(key(pair, self.as_of)));
                return Ok(pairs);
            }
        }
    }

    /// Ids in order, merged from the streams; none when they are dry.
    async fn batch(&mut self, app: &App, team: &TeamId) -> Result<Vec<RunId>, StoreError> {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            self.refill(app, team).await?;
            let working = self.working.front().map(|pair| key(pair, self.as_of));
            let ended = self.ended.front().map(|entry| (entry.ended_at, entry.run_id));
            let created = self.created.front().map(|request| (request.created_at, request.run_id));
            let Some(latest) = working.max(ended).max(created) else { break };
            if working == Some(latest) {
                self.working.pop_front();
            } else if ended == Some(latest) {
                self.ended.pop_front();
            } else {
                self.created.pop_front();
            }
            // One that moved meanwhile is in two streams, and a batch must not name a row twice.
            if !batch.contains(&latest.1) && !self.drawn.contains(&latest.1) {
                batch.push(latest.1);
            }
        }
        Ok(batch)
    }

    async fn refill(&mut self, app: &App, team: &TeamId) -> Result<(), StoreError> {
        if self.ended.is_empty() && !self.ended_dry {
            let entries = app.store.latest_ended(team, self.ended_beyond, BATCH).await?;
            self.ended_dry = entries.len() < BATCH;
            if let Some(last) = entries.last() {
                self.ended_beyond = Some((last.ended_at, last.run_id));
            }
            self.ended = entries.into();
        }
        // No further back than the latest end not yet shown: what waits beyond it comes after it anyway, and a history
        // without anything that waits must not be read to its beginning.
        while self.created.is_empty() && !self.created_dry && self.created_may_come_first() {
            let requests = app.store.latest_requests(team, self.created_beyond, BATCH).await?;
            self.created_dry = requests.len() < BATCH;
            let Some(last) = requests.last() else { break };
            self.created_beyond = Some(last.run_id);
            let ids: Vec<RunId> = requests.iter().map(|request| request.run_id).collect();
            let waiting: Vec<RunId> = app
                .store
                .runs(&ids)
                .await?
                .iter()
                .filter(|run| run.state == RunState::Queued || self.moved_lately(run))
                .map(|run| run.run_id)
                .collect();
            self.created = requests.into_iter().filter(|request| waiting.contains(&request.run_id)).collect();
        }
        Ok(())
    }

    /// Whether it may have been in none of the streams when they were read.
    fn moved_lately(&self, run: &Run) -> bool {
        run.updated_at > self.began.saturating_sub(MOVED_LATELY).unwrap_or(self.began)
    }

    fn created_may_come_first(&self) -> bool {
        let reached = self.created_beyond.map(RunId::unix_ms);
        let ended = self.ended.front().and_then(|entry| u64::try_from(entry.ended_at.as_millisecond()).ok());
        reached.is_none_or(|reached| ended.is_none_or(|ended| reached >= ended))
    }
}

fn key(pair: &RunPair, as_of: Timestamp) -> (Timestamp, RunId) {
    (update_of(pair, as_of), pair.request.run_id)
}

/// The millisecond after.
fn after(at: Timestamp) -> Timestamp {
    at.saturating_add(SignedDuration::from_millis(1)).unwrap_or(Timestamp::MAX)
}
