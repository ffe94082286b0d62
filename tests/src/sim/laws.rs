//! The laws, checked after every write and at the end. They know what the rows mean, not how the code gets there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use ozma_app::ports::RunEnded;
use ozma_app::sweep::Repairs;
use ozma_domain::audit::manifest::{SignedManifest, public_key};
use ozma_domain::id::{ExecutionId, RunId, ScheduleId, TeamId};
use ozma_domain::lane::Lane;
use ozma_domain::ledger::{TEAM_ACCOUNT, Used};
use ozma_domain::run::{Place, Run, RunRequest};
use ozma_domain::state::RunState;
use ozma_store::{QueueEntry, SlotRow, Store, TeamRow, Want};
use serde::de::DeserializeOwned;

use super::SIGNING_SEED;
use super::archive::Object;
use super::people::WEIGHT;
use super::table::Item;

/// For how long a drain may have been choosing, with calls that are slow.
const ON_ITS_WAY: SignedDuration = SignedDuration::from_secs(60);

/// By how much the clocks of two handlers may differ.
const SKEW: SignedDuration = SignedDuration::from_secs(5);

/// How long after its time is over a run may still start: nobody may have looked meanwhile.
const LATE: SignedDuration = SignedDuration::from_secs(180);

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
    /// Whose turn is first starts first, as the naive scheduler has it.
    Order,
    /// A lane that has one run waiting does not wait for many of another.
    Fair,
    /// One run of a concurrency key is live, and none that was superseded starts.
    Key,
    /// No run starts before its time, after it has expired, or while its team is paused.
    Time,
    /// No more is reserved than the budget has, and in the end the account says what was used.
    Budget,
    /// Cancelled with all below it, nothing below it goes on.
    Cascade,
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
    /// The runs that waited when a run came to the queue, and those that started since: of each lane.
    ahead: BTreeMap<RunId, BTreeMap<Lane, usize>>,
    /// Since when a team is paused.
    paused: BTreeMap<TeamId, Timestamp>,
    slots: BTreeMap<TeamId, BTreeMap<String, SlotRow>>,
    claimed: BTreeSet<ExecutionId>,
    acknowledged: BTreeMap<ExecutionId, BTreeSet<u32>>,
    published: BTreeMap<RunId, BTreeSet<String>>,
    /// Every end there was, by the id that its publication has.
    ends: BTreeMap<RunId, BTreeSet<String>>,
    /// The runs that somebody said something to: they may be reopened.
    spoken_to: BTreeSet<RunId>,
    parents: BTreeMap<RunId, RunId>,
    /// The times that each schedule plans, all in all.
    schedules: BTreeMap<ScheduleId, BTreeSet<Timestamp>>,
    /// The run of each planned time.
    planned: BTreeMap<(ScheduleId, Timestamp), RunId>,
    triggers: BTreeMap<String, RunId>,
    /// Seconds of compute that a team's budget has, and what its account says.
    budgets: BTreeMap<TeamId, u64>,
    /// At some time of this history.
    any_service_down: bool,
    accounts: BTreeMap<TeamId, Used>,
    /// The most agents that each team's plan allowed in its time.
    caps: BTreeMap<TeamId, usize>,
    heads: BTreeMap<TeamId, (RunId, u32)>,
    /// When a slot was last given back by something else than an end.
    released_at: Option<Timestamp>,
    /// When containers went.
    gone_at: Vec<Timestamp>,
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

    /// Something is tried again and again, and nothing comes of it.
    pub(super) fn has_no_end(&self) {
        self.seen().check(Law::Outcome, false, || "the history does not come to an end".to_owned());
    }

    pub(super) fn verdict(&self) -> (u64, Vec<Violation>) {
        let seen = self.seen();
        (seen.checks, seen.violations.clone())
    }

    pub(super) fn runs(&self) -> BTreeMap<RunId, Run> {
        self.seen().runs.clone()
    }

    pub(super) fn team_of(&self, run: RunId) -> Option<TeamId> {
        self.seen().runs.get(&run).map(|run| run.team.clone())
    }

    // ---- What happens ----

    /// From now on the team may have so many agents; those beyond a smaller number go on.
    pub(super) fn allow(&self, team: &TeamId, agents: u16) {
        let mut seen = self.seen();
        let cap = seen.caps.entry(team.clone()).or_default();
        *cap = (*cap).max(usize::from(agents));
    }

    /// A service is down for a while.
    pub(super) fn a_service_is_down(&self) {
        self.seen().any_service_down = true;
    }

    /// The team may use so many seconds of compute.
    pub(super) fn spend(&self, team: &TeamId, seconds: u64) {
        self.seen().budgets.insert(team.clone(), seconds);
    }

    /// A schedule plans these times, and no others.
    pub(super) fn plans(&self, schedule: &ScheduleId, times: BTreeSet<Timestamp>) {
        self.seen().schedules.insert(schedule.clone(), times);
    }

    /// Rows were written: whatever they mean must be so. `read` gets a row as it is now.
    pub(super) fn wrote(&self, rows: &[(String, String)], read: impl Fn(&str, &str) -> Option<Item>, now: Timestamp) {
        let mut teams = BTreeSet::new();
        for (partition, sort) in rows {
            if partition == "teams" {
                let Some(row) = read(partition, sort).and_then(row::<TeamRow>) else { continue };
                let mut seen = self.seen();
                if row.paused.is_some() {
                    seen.paused.entry(row.team).or_insert(now);
                } else {
                    seen.paused.remove(&row.team);
                }
            } else if let Some(team) = partition.strip_prefix("team#").and_then(|rest| rest.strip_suffix("#ledger")) {
                let Ok(team) = team.parse::<TeamId>() else { continue };
                if !sort.ends_with(&format!("#{TEAM_ACCOUNT}")) {
                    continue;
                }
                let Some(used) = read(partition, sort).and_then(row::<Used>) else { continue };
                let mut seen = self.seen();
                let limit = seen.budgets.get(&team).copied().unwrap_or(u64::MAX / 2);
                // An agent that is not heard any more is stopped by the sweep, a while after what it had reserved: when the
                // services that it takes for that are back.
                let silent = if self.calm { 0 } else { seen.caps.get(&team).copied().unwrap_or_default() as u64 * 300 };
                let within = seen.any_service_down || used.seconds <= limit + silent;
                seen.check(Law::Budget, within, || {
                    format!("{team} has {} s reserved or used, its budget is {limit}", used.seconds)
                });
                seen.accounts.insert(team, used);
            } else if partition.ends_with("#requests") {
                let Some(request) = read(partition, sort).and_then(row::<RunRequest>) else { continue };
                let (mut seen, run) = (self.seen(), request.run_id);
                if let Some(parent) = request.parent_run_id {
                    seen.parents.insert(run, parent);
                }
                if let Some((id, Some(at))) = request.schedule.map(|of| (of.id, of.planned_at)) {
                    let first = *seen.planned.entry((id.clone(), at)).or_insert(run);
                    seen.check(Law::Once, first == run, || format!("{at} of {id} made {first} and {run}"));
                    seen.check(Law::Time, at <= now + SKEW, || format!("{run} was made before {at}"));
                }
            } else if partition.starts_with("run#") && sort == "run" {
                let Some(run) = read(partition, sort).and_then(row::<Run>) else { continue };
                teams.insert(run.team.clone());
                self.moved(run, now);
            } else if let Some(team) = partition.strip_prefix("team#").and_then(|rest| rest.strip_suffix("#slots")) {
                let Ok(team) = team.parse::<TeamId>() else { continue };
                let mut seen = self.seen();
                let slots = seen.slots.entry(team.clone()).or_default();
                match read(partition, sort).and_then(row::<SlotRow>) {
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
            let reopened = old.is_terminal() && new == RunState::Queued && seen.spoken_to.contains(&id);
            let follows = old == new || may_follow(old, new) || reopened;
            seen.check(Law::Final, follows, || format!("{id} went from {old} to {new}"));
            let same = (before.ended_at, &before.status) == (run.ended_at, &run.status);
            let kept = !old.is_terminal() || reopened || same;
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
        let before = seen.runs.get(&id).cloned();
        if run.state == RunState::Pending
            && let Some(before) = before.as_ref().filter(|before| before.state == RunState::Queued)
        {
            starts(&mut seen, before, &run, now);
        }
        let in_queue = |run: &Run| matches!(run.place(), Some(Place::Queue(_)));
        if in_queue(&run) && !before.as_ref().is_some_and(in_queue) {
            seen.queued_since.insert(id, now);
            let waits = |other: &&Run| other.team == run.team && other.run_id != id && in_queue(other);
            let waiting: Vec<&Run> = seen.runs.values().filter(waits).collect();
            // The first of its lane among others that wait: from now on, what starts before it is counted.
            if run.executions == 0
                && !waiting.is_empty()
                && waiting.iter().all(|other| other.share.lane != run.share.lane)
            {
                seen.ahead.insert(id, BTreeMap::new());
            }
        }
        if run.state != RunState::Queued {
            seen.ahead.remove(&id);
        }
        if run.state.is_terminal() {
            let end = format!("{id}/{}/{}", run.executions, run.state);
            seen.ends.entry(id).or_default().insert(end);
        }
        if let Some(key) = run.key.clone() {
            let live = |other: &&Run| {
                other.team == run.team && other.key.as_ref() == Some(&key) && other.held_slot().is_some()
            };
            let others = seen.runs.values().filter(|other| other.run_id != id).filter(live).count();
            let alone = run.held_slot().is_none() || others == 0;
            seen.check(Law::Key, alone, || format!("{id} is live beside {others} with the key {key}"));
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

    pub(super) fn container_gone(&self, now: Timestamp) {
        self.seen().gone_at.push(now);
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

    /// Somebody is about to say something to the run.
    pub(super) fn spoken_to(&self, run: RunId) {
        self.seen().spoken_to.insert(run);
    }

    /// It was answered that the run is cancelled with all below it.
    pub(super) fn cancelled_with_all_below(&self, root: RunId) {
        let mut seen = self.seen();
        let above = |run: &Run| {
            let parents = std::iter::successors(seen.parents.get(&run.run_id), |run| seen.parents.get(run));
            parents.into_iter().any(|above| *above == root)
        };
        let goes_on = |run: &&Run| !run.state.is_terminal() && !seen.spoken_to.contains(&run.run_id) && above(run);
        let live = seen.runs.values().find(goes_on).map(|run| run.run_id);
        // Where the root had ended by itself, more may be started below it.
        let cancelled = seen.runs.get(&root).is_some_and(|run| run.state == RunState::Cancelled);
        seen.check(Law::Cascade, !cancelled || live.is_none(), || format!("{live:?} goes on below {root}"));
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
        // What a container's end says is on its way by then.
        let lately = seen.gone_at.iter().filter(|at| now < **at + SKEW).count();
        repairs.ended = repairs.ended.saturating_sub(lately);
        seen.check(Law::IdleSweep, !calm || repairs == Repairs::default(), || {
            format!("nothing went wrong, and the sweep did {repairs:?}")
        });
    }

    // ---- At each sweep, and at the end ----

    /// Whoever leads the queue and may start, with a slot free, does so before the sweep has come by `PATIENCE` times.
    pub(super) async fn nobody_waits(&self, team: &TeamId, now: Timestamp, agents: u16) {
        const PATIENCE: u32 = 4;
        let settled = now - SignedDuration::from_secs(5);
        let came = |entry: &QueueEntry| (entry.queued_at <= settled).then_some(entry.run_id);
        let free = self.store.taken_slots(team).await.is_ok_and(|rows| rows.len() < usize::from(agents));
        // Nobody of it may start, for as long as agents at work have reserved all that there is.
        let row = self.store.team(team).await.ok().flatten();
        let wants_budget = row.is_some_and(|row| row.held(now).is_some_and(|hold| hold.want == Want::Budget));
        let free = free && !wants_budget;
        let head = self.store.queue_head(team, 1).await.ok().and_then(|entries| entries.first().and_then(came));
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
        let runs = self.runs();
        if runs.values().any(|run| !run.state.is_terminal() || run.held_slot().is_some()) {
            return false;
        }
        for run in runs.values() {
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
            let expected = seen.ends.get(&id).cloned().unwrap_or_default();
            let published = seen.published.get(&id).cloned().unwrap_or_default();
            seen.check(Law::Published, published == expected, || {
                format!("{id}: {published:?} instead of {expected:?}")
            });
            drop(seen);
            self.trail(run, objects);
        }
        for team in teams {
            let slots = self.store.taken_slots(team).await.map_or(usize::MAX, |rows| rows.len());
            let queue = self.store.queue_head(team, 10).await.map_or(usize::MAX, |entries| entries.len());
            let mut seen = self.seen();
            seen.check(Law::Slot, slots == 0, || format!("{slots} slots of {team} are taken by nobody"));
            seen.check(Law::Waiting, queue == 0, || format!("{queue} entries are left in the queue of {team}"));
        }
        let mut seen = self.seen();
        for (id, times) in seen.schedules.clone() {
            let of_schedule = seen.planned.keys().filter(|(of, _)| *of == id).map(|(_, at)| *at);
            let made: BTreeSet<Timestamp> = of_schedule.collect();
            seen.check(Law::Outcome, made == times, || format!("{id} planned {times:?} and made {made:?}"));
        }
        for team in seen.budgets.keys().cloned().collect::<Vec<_>>() {
            let of_team = || seen.runs.values().filter(|run| run.team == team);
            let used = (
                of_team().map(|run| run.compute_seconds).sum::<u64>(),
                of_team().map(|run| run.usage.tokens).sum::<u64>(),
            );
            let booked = seen.accounts.get(&team).map_or((0, 0), |account| (account.seconds, account.tokens));
            seen.check(Law::Budget, used == booked, || {
                format!("{team} has used {used:?} seconds and tokens, its account says {booked:?}")
            });
        }
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
                let suffix = format!("run={id}/{number:06}-{sequence:06}.jsonl.gz");
                let there = objects.keys().any(|key| key.ends_with(&suffix));
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

/// A run takes a slot: was it its turn, and its time?
fn starts(seen: &mut Seen, before: &Run, run: &Run, now: Timestamp) {
    let id = run.run_id;
    let turn = before.turn.map_or(u64::MAX, |turn| turn.rank);
    // As many as there are slots may be on their way at once, and one that came while this one was chosen may be late.
    let waits = |other: &&Run| {
        let first = matches!(other.place(), Some(Place::Queue(other)) if other.rank < turn);
        let since = seen.queued_since.get(&other.run_id);
        other.team == run.team && first && since.is_some_and(|since| *since + ON_ITS_WAY < now)
    };
    let earlier = seen.runs.values().filter(waits).count();
    let cap = seen.caps.get(&run.team).copied().unwrap_or_default();
    seen.check(Law::Order, earlier < cap, || format!("{id} started before {earlier} whose turn was before its own"));

    let fair = seen.ahead.remove(&id);
    let most = fair.iter().flat_map(BTreeMap::values).max().copied().unwrap_or_default();
    // The turn that is under way, and as many as two drains may have chosen before it came.
    let bound = usize::from(WEIGHT) + 1 + 2 * cap;
    seen.check(Law::Fair, most <= bound, || format!("{id} waited for {most} of another lane"));
    if run.executions == 1 {
        let Seen { ahead, runs, .. } = seen;
        for (other, started) in ahead {
            let behind = |other: &Run| other.team == run.team && other.share.priority >= run.share.priority;
            if runs.get(other).is_some_and(behind) {
                *started.entry(run.share.lane.clone()).or_default() += 1;
            }
        }
    }

    let in_time = before.not_before.is_none_or(|at| at <= now + SKEW);
    seen.check(Law::Time, in_time, || format!("{id} started before its time"));
    let fresh = before.expires_at.is_none_or(|at| now < at + LATE);
    seen.check(Law::Time, fresh, || format!("{id} started long after it had expired"));
    let paused = seen.paused.get(&run.team).is_some_and(|since| *since + ON_ITS_WAY < now);
    seen.check(Law::Time, !paused, || format!("{id} started while its team was paused"));
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

fn row<Row: DeserializeOwned>(item: Item) -> Option<Row> {
    serde_dynamo::from_item(item).ok()
}
