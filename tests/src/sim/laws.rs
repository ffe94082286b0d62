//! The laws, checked after every write and at the end. They know what the rows mean, not how the code gets there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use ozma_app::ports::RunEnded;
use ozma_app::sweep::Repairs;
use ozma_domain::audit::manifest::{SignedManifest, public_key};
use ozma_domain::id::{ExecutionId, RunId, TeamId};
use ozma_domain::run::Run;
use ozma_domain::state::RunState;
use ozma_store::{SlotRow, Store};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::SIGNING_SEED;
use super::archive::Object;

/// For how long a drain may have been choosing, with calls that are slow.
const ON_ITS_WAY: SignedDuration = SignedDuration::from_secs(60);

/// By how much the clocks of two handlers may differ.
const SKEW: SignedDuration = SignedDuration::from_secs(5);

/// What no history may break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// Every accepted run ends, and what was answered is not lost.
    Outcome,
    /// A state follows only one that may be before it; an end is final, and there is one.
    Final,
    /// Never more agents than the plan allows.
    Cap,
    /// At most one live container of a run.
    OneContainer,
    /// Every slot is held by the live execution that took it.
    Slot,
    /// Segments without a gap, or a trail that says it is incomplete.
    Audit,
    /// The outcome is published, under one id.
    Published,
    /// Nothing waits while it could start.
    Waiting,
    /// The same trigger makes one run.
    Once,
    /// The oldest that may start starts first, as the naive scheduler has it.
    Order,
    /// Where nothing went wrong, the sweep has nothing to do.
    IdleSweep,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub law: Law,
    pub what: String,
}

pub(super) struct Laws {
    /// Reads without faults, and without being seen.
    store: Store,
    seen: Mutex<Seen>,
    /// Nothing goes wrong in this world.
    calm: bool,
    public_key: String,
}

#[derive(Default)]
struct Seen {
    runs: BTreeMap<RunId, Run>,
    /// Since when a run is in the queue, in true time.
    queued_since: BTreeMap<RunId, Timestamp>,
    slots: BTreeMap<TeamId, BTreeMap<String, SlotRow>>,
    claimed: BTreeSet<ExecutionId>,
    acknowledged: BTreeMap<ExecutionId, BTreeSet<u32>>,
    published: BTreeMap<RunId, BTreeSet<String>>,
    triggers: BTreeMap<String, RunId>,
    /// The most agents that each team's plan allowed in its time.
    caps: BTreeMap<TeamId, usize>,
    heads: BTreeMap<TeamId, (RunId, u32)>,
    /// When a slot was last given back by something else than an end.
    released_at: Option<Timestamp>,
    checks: u64,
    violations: Vec<Violation>,
}

impl Seen {
    fn check(&mut self, law: Law, holds: bool, what: impl FnOnce() -> String) {
        self.checks += 1;
        if !holds {
            self.violations.push(Violation { law, what: what() });
        }
    }
}

impl Laws {
    pub(super) fn new(store: Store, calm: bool) -> Self {
        Self { store, seen: Mutex::default(), calm, public_key: public_key(&SIGNING_SEED) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_broken(&self) -> bool {
        !self.seen().violations.is_empty()
    }

    pub(super) fn verdict(&self) -> (u64, Vec<Violation>) {
        let seen = self.seen();
        (seen.checks, seen.violations.clone())
    }

    pub(super) fn runs(&self) -> BTreeMap<RunId, Run> {
        self.seen().runs.clone()
    }

    // ---- What happens ----

    /// From now on the team may have so many agents; those beyond a smaller number go on.
    pub(super) fn allow(&self, team: &TeamId, agents: u16) {
        let mut seen = self.seen();
        let cap = seen.caps.entry(team.clone()).or_default();
        *cap = (*cap).max(usize::from(agents));
    }

    /// Rows were written: whatever they mean must be so. `read` gets a row as it is now.
    pub(super) fn wrote(&self, rows: &[(String, String)], read: impl Fn(&str, &str) -> Option<Value>, now: Timestamp) {
        let mut teams = BTreeSet::new();
        for (partition, sort) in rows {
            if partition.starts_with("run#") && sort == "run" {
                let Some(run) = read(partition, sort).and_then(plain::<Run>) else { continue };
                teams.insert(run.team.clone());
                self.moved(run, now);
            } else if let Some(team) = partition.strip_prefix("team#").and_then(|rest| rest.strip_suffix("#slots")) {
                let Ok(team) = team.parse::<TeamId>() else { continue };
                let mut seen = self.seen();
                let slots = seen.slots.entry(team.clone()).or_default();
                match read(partition, sort).and_then(plain::<SlotRow>) {
                    Some(row) => slots.insert(sort.clone(), row),
                    None => slots.remove(sort),
                };
                drop(seen);
                teams.insert(team);
            }
        }
        for team in teams {
            self.slots(&team);
        }
    }

    fn moved(&self, run: Run, now: Timestamp) {
        let mut seen = self.seen();
        let id = run.run_id;
        if let Some(before) = seen.runs.get(&id).cloned() {
            let (old, new) = (before.state, run.state);
            seen.check(Law::Final, old == new || may_follow(old, new), || format!("{id} went from {old} to {new}"));
            let kept = !old.is_terminal() || (before.ended_at, &before.status) == (run.ended_at, &run.status);
            seen.check(Law::Final, kept, || format!("the end of {id} was changed"));
            if before.held_slot().is_some() && run.held_slot().is_none() && before.ended_at == run.ended_at {
                seen.released_at = Some(run.updated_at);
            }
            seen.check(Law::Final, run.executions <= before.executions + 1, || format!("{id} skipped an execution"));
            let token =
                |run: &Run| run.execution.as_ref().and_then(|e| e.token_hash.clone().map(|hash| (e.number, hash)));
            if let (Some((number, old)), Some((same, new))) = (token(&before), token(&run)) {
                seen.check(Law::Final, number != same || old == new, || format!("two agents claimed {id}.{number}"));
            }
        }
        if run.state == RunState::Pending && seen.runs.get(&id).is_some_and(|before| before.state == RunState::Queued) {
            // The naive scheduler takes the oldest; of those that had to wait for their time, the one whose time came first. As
            // many as there are slots may be on their way at once, and one that came while this one was chosen may be late.
            let own = seen.runs.get(&id).and_then(|before| before.not_before);
            let waits = |other: &&Run| {
                let precedes = match (other.not_before, own) {
                    (None, _) => other.run_id < id,
                    (Some(other), Some(own)) => other < own && other + ON_ITS_WAY < now,
                    (Some(_), None) => false,
                };
                let since = seen.queued_since.get(&other.run_id);
                let queued = other.team == run.team && other.state == RunState::Queued;
                queued && precedes && since.is_some_and(|since| *since + ON_ITS_WAY < now)
            };
            let older = seen.runs.values().filter(waits).count();
            let cap = seen.caps.get(&run.team).copied().unwrap_or_default();
            seen.check(Law::Order, older < cap, || format!("{id} started before {older} that are older"));
        }
        if run.state == RunState::Queued && seen.runs.get(&id).is_none_or(|before| before.state != RunState::Queued) {
            seen.queued_since.insert(id, now);
        }
        seen.runs.insert(id, run);
    }

    fn slots(&self, team: &TeamId) {
        let mut seen = self.seen();
        let rows: Vec<SlotRow> = seen.slots.get(team).into_iter().flat_map(BTreeMap::values).cloned().collect();
        let cap = seen.caps.get(team).copied().unwrap_or_default();
        seen.check(Law::Cap, rows.len() <= cap, || format!("{team} holds {} slots of {cap}", rows.len()));
        for row in rows {
            let holds = seen
                .runs
                .get(&row.run_id)
                .is_some_and(|run| run.is_current(row.execution_id()) && run.held_slot() == Some(row.slot));
            seen.check(Law::Slot, holds, || {
                format!("slot {} of {team} is held by {}, which is over", row.slot, row.execution_id())
            });
        }
        let held = seen.runs.values().filter(|run| run.team == *team && run.held_slot().is_some()).count();
        seen.check(Law::Cap, held <= cap, || format!("{held} executions of {team} are live, its plan allows {cap}"));
    }

    /// The containers that are alive, and how many of each.
    pub(super) fn containers(&self, alive: &[(ExecutionId, TeamId, u32)]) {
        let mut seen = self.seen();
        let mut of_runs: BTreeMap<RunId, u32> = BTreeMap::new();
        let mut of_teams: BTreeMap<&TeamId, usize> = BTreeMap::new();
        for (execution, team, number) in alive {
            *of_runs.entry(execution.run).or_default() += number;
            // One whose agent has reported is about to exit, and its slot is another's by then.
            if seen.runs.get(&execution.run).is_some_and(|run| run.is_current(*execution)) {
                *of_teams.entry(team).or_default() += *number as usize;
            }
        }
        for (run, number) in of_runs {
            seen.check(Law::OneContainer, number <= 1, || format!("{number} containers of {run} are alive"));
        }
        for (team, number) in of_teams {
            let cap = seen.caps.get(team).copied().unwrap_or_default();
            seen.check(Law::Cap, number <= cap, || {
                format!("{number} containers of {team} are alive, its plan allows {cap}")
            });
        }
    }

    pub(super) fn claimed(&self, execution: ExecutionId) {
        let mut seen = self.seen();
        let first = seen.claimed.insert(execution);
        seen.check(Law::OneContainer, first, || format!("two agents of {execution} were let in"));
    }

    pub(super) fn acknowledged(&self, execution: ExecutionId, segment: u32) {
        self.seen().acknowledged.entry(execution).or_default().insert(segment);
    }

    pub(super) fn published(&self, event: &RunEnded) {
        self.seen().published.entry(event.run_id).or_default().insert(event.id.clone());
    }

    /// A trigger was answered with a run.
    pub(super) fn answered(&self, trigger: &str, run: RunId) {
        let mut seen = self.seen();
        let exists = seen.runs.contains_key(&run);
        seen.check(Law::Outcome, exists, || format!("{run} was answered and does not exist"));
        let first = *seen.triggers.entry(trigger.to_owned()).or_insert(run);
        seen.check(Law::Once, first == run, || format!("{trigger} made {first} and {run}"));
    }

    pub(super) fn swept(&self, mut repairs: Repairs, now: Timestamp) {
        let calm = self.calm;
        let mut seen = self.seen();
        // The sweep cannot know of it, and may be faster than the tick.
        if seen.released_at.is_some_and(|at| now < at + SKEW) {
            repairs.started = 0;
        }
        seen.check(Law::IdleSweep, !calm || repairs == Repairs::default(), || {
            format!("nothing went wrong, and the sweep did {repairs:?}")
        });
    }

    // ---- At each sweep, and at the end ----

    /// Whoever leads the queue and may start, with a slot free, does so before the sweep has come by `PATIENCE` times.
    pub(super) async fn nobody_waits(&self, team: &TeamId, now: Timestamp, agents: u16) {
        const PATIENCE: u32 = 4;
        let settled = now - SignedDuration::from_secs(5);
        let free = self.store.taken_slots(team).await.is_ok_and(|rows| rows.len() < usize::from(agents));
        let head =
            self.store.queue_head(team, settled, 1).await.ok().and_then(|entries| entries.first().map(|e| e.run_id));
        let mut seen = self.seen();
        let waits = head.filter(|run| free && seen.runs.get(run).is_some_and(|run| run.state == RunState::Queued));
        let Some(run) = waits else {
            seen.heads.remove(team);
            return;
        };
        let (same, times) = seen.heads.get(team).copied().unwrap_or((run, 0));
        let times = if same == run { times + 1 } else { 1 };
        seen.heads.insert(team.clone(), (run, times));
        seen.check(Law::Waiting, times <= PATIENCE, || format!("{run} waits beside a free slot for {times} sweeps"));
    }

    /// A service was down: nobody can be blamed for the wait.
    pub(super) fn excuse(&self) {
        self.seen().heads.clear();
    }

    /// Whether anything is still to be done.
    pub(super) async fn is_settled(&self) -> bool {
        for run in self.runs().values() {
            if !run.state.is_terminal() || run.held_slot().is_some() {
                return false;
            }
            if !matches!(self.store.ended(run).await, Ok(Some(row)) if row.owed.is_empty()) {
                return false;
            }
        }
        true
    }

    pub(super) async fn at_the_end(&self, teams: &[TeamId], objects: &BTreeMap<String, Object>, alive: bool) {
        for run in self.runs().values() {
            let (id, state) = (run.run_id, run.state);
            let owed = self.store.ended(run).await.ok().flatten().map(|row| row.owed);
            let mut seen = self.seen();
            seen.check(Law::Outcome, state.is_terminal(), || format!("{id} is still {state}"));
            if !state.is_terminal() {
                continue;
            }
            seen.check(Law::Outcome, owed.as_ref().is_some_and(Vec::is_empty), || {
                format!("of {id} is still owed: {owed:?}")
            });
            let expected = BTreeSet::from([format!("{id}/{}/{state}", run.executions)]);
            let published = seen.published.get(&id).cloned().unwrap_or_default();
            seen.check(Law::Published, published == expected, || {
                format!("{id}: {published:?} instead of {expected:?}")
            });
            drop(seen);
            self.trail(run, objects);
        }
        for team in teams {
            let slots = self.store.taken_slots(team).await.map_or(usize::MAX, |rows| rows.len());
            let far = jiff::Timestamp::MAX - SignedDuration::from_hours(24);
            let queue = self.store.queue_head(team, far, 10).await.map_or(usize::MAX, |entries| entries.len());
            let mut seen = self.seen();
            seen.check(Law::Slot, slots == 0, || format!("{slots} slots of {team} are taken by nobody"));
            seen.check(Law::Waiting, queue == 0, || format!("{queue} entries are left in the queue of {team}"));
        }
        let mut seen = self.seen();
        seen.check(Law::OneContainer, !alive, || "containers are left that nobody owns".to_owned());
    }

    /// The manifest is there, signed, and says of the segments what is so.
    fn trail(&self, run: &Run, objects: &BTreeMap<String, Object>) {
        let id = run.run_id;
        let suffix = format!("run={id}/{:06}.json", run.executions);
        let manifest = objects.iter().find(|(key, _)| key.starts_with("manifest/") && key.ends_with(&suffix));
        let manifest = manifest.and_then(|(_, object)| serde_json::from_slice::<SignedManifest>(&object.bytes).ok());
        let manifest = manifest.and_then(|signed| signed.open(&self.public_key).ok());
        let mut seen = self.seen();
        seen.check(Law::Audit, manifest.is_some(), || format!("the trail of {id} is not sealed"));
        let Some(manifest) = manifest else { return };
        let mut listed: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for segment in &manifest.segments {
            let there = objects.contains_key(&segment.key);
            seen.check(Law::Audit, there, || format!("{} is in the manifest and not in the archive", segment.key));
            listed.entry(segment.execution).or_default().insert(segment.sequence);
        }
        for number in 1..=run.executions {
            let listed = listed.get(&number).cloned().unwrap_or_default();
            let gapless = listed.iter().copied().eq(1..=u32::try_from(listed.len()).unwrap_or(0));
            seen.check(Law::Audit, gapless, || format!("{id}.{number} has gaps: {listed:?}"));
            let known = seen.acknowledged.get(&ExecutionId::new(id, number)).cloned().unwrap_or_default();
            for sequence in &known {
                let there =
                    objects.keys().any(|key| key.ends_with(&format!("run={id}/{number:06}-{sequence:06}.jsonl.gz")));
                seen.check(Law::Audit, there, || {
                    format!("segment {sequence} of {id}.{number} was acknowledged and is lost")
                });
            }
            let lost = !manifest.complete || known.is_subset(&listed);
            seen.check(Law::Audit, lost, || format!("{id}.{number} is complete without {known:?}: {listed:?}"));
        }
        if self.calm {
            seen.check(Law::Audit, manifest.complete, || {
                format!("nothing went wrong, and the trail of {id} is incomplete")
            });
        }
    }
}

fn may_follow(before: RunState, after: RunState) -> bool {
    use RunState as S;
    match before {
        S::Queued => matches!(after, S::Pending | S::Cancelled | S::Failed | S::Error),
        S::Pending => matches!(after, S::Claimed | S::Queued | S::Cancelled | S::Failed | S::Error),
        S::Claimed => matches!(after, S::InProgress | S::Queued | S::Cancelled | S::Failed | S::Error | S::Succeeded),
        S::InProgress => matches!(after, S::Queued | S::Cancelled | S::Failed | S::Error | S::Succeeded),
        _ => false,
    }
}

/// A row without DynamoDB's spelling of types.
fn plain<Row: DeserializeOwned>(row: Value) -> Option<Row> {
    fn value(typed: Value) -> Value {
        let Value::Object(typed) = typed else { return Value::Null };
        match typed.into_iter().next() {
            Some((kind, Value::String(number))) if kind == "N" => number.parse().map_or(Value::Null, Value::Number),
            Some((kind, Value::Object(members))) if kind == "M" => object(members),
            Some((kind, Value::Array(items))) if kind == "L" => items.into_iter().map(value).collect(),
            Some((kind, _)) if kind == "NULL" => Value::Null,
            Some((_, plain)) => plain,
            None => Value::Null,
        }
    }
    fn object(members: serde_json::Map<String, Value>) -> Value {
        Value::Object(members.into_iter().map(|(name, typed)| (name, value(typed))).collect())
    }
    match row {
        Value::Object(members) => serde_json::from_value(object(members)).ok(),
        _ => None,
    }
}
