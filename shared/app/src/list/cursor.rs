//! A place in a list, opaque to whoever carries it.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use ozma_domain::id::RunId;
use ozma_domain::state::RunState;
use ozma_store::RunPair;
use serde::{Deserialize, Serialize};

use super::{SortBy, SortOrder};

/// Where the page before ended. Bound to its order: used with another it is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    pub(super) sort_by: SortBy,
    pub(super) order: SortOrder,
    pub(super) place: Place,
    /// Of a list by update.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) walk: Option<Walk>,
}

/// What a list sorts by, made unique by the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Runs without what the list sorts by come last, whatever the direction asks for the others.
    pub(super) missing: bool,
    pub(super) key: String,
    pub(super) run: RunId,
}

/// While somebody walks a list by update, runs move in it. What happened after the walk began counts for what is answered
/// and not for where it is, so that each run is met once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Walk {
    as_of_ms: i64,
    /// Runs that would be met again. Latest first: those of the first page that had just moved, because as of then they
    /// are further down. Oldest first: those that may yet turn out to have moved before then, and so to the end.
    shown: Vec<u64>,
}

/// A step is timed a little before others see it, so what is younger when a walk begins counts as not yet happened.
/// Latest first a run is missed when it moves up unseen. In the other order it is met again, which [`Walk::shown`] mends.
const UNSETTLED: SignedDuration = SignedDuration::from_secs(1);

/// More runs than that do not move in a second; and a cursor must fit a URL.
const SHOWN: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one of this list; leave it out to begin at the first page")]
pub struct InvalidCursor;

impl Walk {
    /// The walk after `page`, which was its first if there was none before.
    pub(super) fn after(before: Option<&Self>, order: SortOrder, now: Timestamp, page: &[RunPair]) -> Self {
        let began = match order {
            SortOrder::Desc => now.saturating_sub(UNSETTLED).unwrap_or(now),
            SortOrder::Asc => now,
        };
        let mut walk = before.cloned().unwrap_or(Self { as_of_ms: began.as_millisecond(), shown: Vec::new() });
        let as_of = walk.as_of();
        let settled = now > as_of.saturating_add(UNSETTLED).unwrap_or(Timestamp::MAX);
        let moves = |pair: &&RunPair| match order {
            SortOrder::Desc => before.is_none() && update_of(pair, Timestamp::MAX) > as_of,
            SortOrder::Asc => !settled && !pair.run.state.is_terminal(),
        };
        walk.shown.extend(page.iter().filter(moves).map(|pair| tail(pair.request.run_id)));
        walk.shown.truncate(SHOWN);
        walk
    }

    pub(super) fn as_of(&self) -> Timestamp {
        Timestamp::from_millisecond(self.as_of_ms).unwrap_or(Timestamp::MAX)
    }

    pub(super) fn has_shown(&self, run: RunId) -> bool {
        self.shown.contains(&tail(run))
    }
}

/// The random half of an id.
fn tail(run: RunId) -> u64 {
    let hex = run.to_string().replace('-', "");
    hex.get(16..).and_then(|tail| u64::from_str_radix(tail, 16).ok()).unwrap_or_default()
}

impl Place {
    /// `as_of`: in a list by update, what happened later does not count.
    pub(super) fn of(sort_by: SortBy, pair: &RunPair, as_of: Timestamp) -> Self {
        let key = match sort_by {
            SortBy::CreatedAt => millis(pair.request.created_at),
            SortBy::UpdatedAt => millis(update_of(pair, as_of)),
            SortBy::Title => pair.request.title.to_lowercase(),
            SortBy::Agent => super::filter::text_of(&pair.request.agent_config, "skill_spec").to_lowercase(),
        };
        Self { missing: sort_by == SortBy::Agent && key.is_empty(), key, run: pair.request.run_id }
    }

    /// Which comes first.
    pub(super) fn compare(&self, other: &Self, order: SortOrder) -> Ordering {
        let upwards = (&self.key, self.run).cmp(&(&other.key, other.run));
        let rest = match order {
            SortOrder::Asc => upwards,
            SortOrder::Desc => upwards.reverse(),
        };
        self.missing.cmp(&other.missing).then(rest)
    }

    /// The time of a place in a list by time.
    pub(super) fn time(&self) -> Timestamp {
        let ms = self.key.parse().ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        ms.unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// What the list by update sorts by: the last step of a run, or its end; the acceptance of one that waits.
pub(super) fn update_of(pair: &RunPair, as_of: Timestamp) -> Timestamp {
    let run = &pair.run;
    if run.state == RunState::Queued {
        return run.created_at;
    }
    let execution = run.execution.as_ref();
    let steps = [
        execution.map(|execution| execution.dispatched_at),
        execution.and_then(|execution| execution.claimed_at),
        execution.and_then(|execution| execution.started_at),
        run.ended_at.filter(|_| run.state.is_terminal()),
    ];
    steps.into_iter().flatten().filter(|at| *at <= as_of).fold(run.created_at, Timestamp::max)
}

fn millis(at: Timestamp) -> String {
    format!("{:014}", at.as_millisecond())
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(self).map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        serde_json::from_slice(&json).map_err(|_| InvalidCursor)
    }
}
