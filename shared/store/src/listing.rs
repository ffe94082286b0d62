//! Runs in order: by acceptance, which is the order of their requests, and by end.

use jiff::Timestamp;
use ozma_domain::id::{RunId, TeamId};
use ozma_domain::run::{Run, RunRequest};
use serde::Deserialize;

use crate::error::StoreError;
use crate::key::{Key, millis};
use crate::runs::Owed;
use crate::table::{Consistency, Order, Range, Store};

/// A run whole: what was asked and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunPair {
    pub request: RunRequest,
    pub run: Run,
}

/// An entry of the index by end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedEntry {
    pub run_id: RunId,
    pub ended_at: Timestamp,
    pub owed: Vec<Owed>,
}

#[derive(Deserialize)]
struct EndedItem {
    sk: String,
    run_id: RunId,
    #[serde(default)]
    owed: Vec<Owed>,
}

impl Store {
    /// Requests accepted before `before`, latest first; without it from the latest.
    pub async fn latest_requests(
        &self,
        team: &TeamId,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<RunRequest>, StoreError> {
        self.requests_from(team, before, Order::Descending, limit).await
    }

    /// Requests accepted after `after`, earliest first; without it from the first.
    pub async fn earliest_requests(
        &self,
        team: &TeamId,
        after: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<RunRequest>, StoreError> {
        self.requests_from(team, after, Order::Ascending, limit).await
    }

    async fn requests_from(
        &self,
        team: &TeamId,
        beyond: Option<RunId>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<RunRequest>, StoreError> {
        let bound = beyond.map(|run| run.to_string());
        let (from, to) = if order == Order::Ascending { (bound, None) } else { (None, bound) };
        let range = Range {
            from,
            to,
            order,
            consistency: Consistency::Eventual,
            // The bound itself is in the range.
            limit: limit.saturating_add(usize::from(beyond.is_some())),
            ..Range::all(Key::Request(team, RunId::first_at(0)))
        };
        let requests: Vec<RunRequest> = self.query(range).await?;
        Ok(requests.into_iter().filter(|request| Some(request.run_id) != beyond).take(limit).collect())
    }

    /// Runs that ended before `before` (a place in this order: end, then run), latest first.
    pub async fn latest_ended(
        &self,
        team: &TeamId,
        before: Option<(Timestamp, RunId)>,
        limit: usize,
    ) -> Result<Vec<EndedEntry>, StoreError> {
        let bound = before.map(|(at, run)| Key::Ended(team, at, run).parts().1);
        let entries = self.ended_entries(team, None, bound, Order::Descending, limit.saturating_add(1)).await?;
        Ok(entries.into_iter().filter(|e| before != Some((e.ended_at, e.run_id))).take(limit).collect())
    }

    /// Runs that ended since `since`, earliest first.
    pub async fn ended_since(
        &self,
        team: &TeamId,
        since: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<EndedEntry>, StoreError> {
        self.ended_entries(team, since.map(millis), None, Order::Ascending, limit).await
    }

    async fn ended_entries(
        &self,
        team: &TeamId,
        from: Option<String>,
        to: Option<String>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<EndedEntry>, StoreError> {
        let partition = Key::Ended(team, Timestamp::UNIX_EPOCH, RunId::first_at(0));
        let range = Range { from, to, order, limit, ..Range::all(partition) };
        let items: Vec<EndedItem> = self.query(range).await?;
        items
            .into_iter()
            .map(|item| {
                let ended_at = item
                    .sk
                    .split_once('#')
                    .and_then(|(at, _)| Timestamp::from_millisecond(at.parse().ok()?).ok())
                    .ok_or_else(|| {
                        StoreError::unreadable(format!("the end {}", item.sk), "its time is not a number")
                    })?;
                Ok(EndedEntry { run_id: item.run_id, ended_at, owed: item.owed })
            })
            .collect()
    }

    /// The requests and runs of `ids`, in that order; an id that is not there is left out.
    pub async fn run_pairs(&self, team: &TeamId, ids: &[RunId]) -> Result<Vec<RunPair>, StoreError> {
        let requests = self.requests(team, ids).await?;
        self.pair(ids, requests).await
    }

    /// The runs to requests already read, in the order of `ids`.
    pub async fn pair(&self, ids: &[RunId], requests: Vec<RunRequest>) -> Result<Vec<RunPair>, StoreError> {
        let mut runs: std::collections::HashMap<RunId, Run> =
            self.runs(ids).await?.into_iter().map(|run| (run.run_id, run)).collect();
        let mut requests: std::collections::HashMap<RunId, RunRequest> =
            requests.into_iter().map(|request| (request.run_id, request)).collect();
        let pair = |id: &RunId| Some(RunPair { request: requests.remove(id)?, run: runs.remove(id)? });
        Ok(ids.iter().filter_map(pair).collect())
    }
}
