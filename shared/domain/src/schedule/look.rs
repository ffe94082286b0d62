//! Looking at a schedule: which of its planned times fire now, which were missed, and when to look again.
//!
//! Whoever looks stores [`Decision::last_planned`] in the same write with which the runs are made, and gives it to the next
//! look. Then each planned time is decided once, however late, often or early somebody looks, and if clocks go back.

use jiff::{SignedDuration, Timestamp};

use super::{Policies, Timetable};
use crate::limits;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// When the schedule was made. Nothing is planned at or before it, and rates are counted from it.
    pub anchor: Timestamp,
    /// The last planned time that was decided, be it fired or skipped. Any instant does: what was planned up to then counts
    /// as decided, as after a pause.
    pub last_planned: Option<Timestamp>,
    pub now: Timestamp,
    /// How late a planned time is still on time, see [`limits::SCHEDULE_TOLERANCE_SECONDS`].
    pub tolerance: SignedDuration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Planned times whose runs are to be made, in order. At most [`limits::SCHEDULE_FIRES`].
    pub fire: Vec<Timestamp>,
    /// Planned times, all before those of `fire`, that were missed and stay so.
    pub skipped: Option<Skipped>,
    /// For the next look.
    pub last_planned: Option<Timestamp>,
    /// When to look again: at the next planned time, or at once where not all fit. None: the schedule is over.
    pub next_look: Option<Timestamp>,
}

/// A range of planned times without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// At least so many where it is [`limits::SCHEDULE_COUNTED`].
    pub count: u32,
    pub first: Timestamp,
    pub last: Timestamp,
}

impl Timetable {
    /// What is to be done at `look.now`.
    ///
    /// A planned time fires if it is not older than the tolerance. Older ones were missed: of those, the policy's newest few
    /// fire. A time that is on time does not make up for one that was missed, so that it does not matter when one looks.
    pub fn decide(&self, policies: &Policies, look: &Look) -> Decision {
        let Span { after, anchor } = Span::of(policies, look.anchor);
        let decided = look.last_planned.map_or(after, |last| last.max(after));
        // Ends are exclusive from here on.
        let due = look.now.saturating_add(NANOSECOND).unwrap_or(Timestamp::MAX);
        let due = policies.ends_at.map_or(due, |ends_at| ends_at.min(due));
        let on_time = look.now.saturating_sub(look.tolerance.max(SignedDuration::ZERO)).unwrap_or(Timestamp::MIN);
        let missed = on_time.min(due);

        let newest = std::iter::successors(self.last_before(missed, anchor), |at| self.last_before(*at, anchor));
        let newest = newest.take_while(|at| *at > decided).take(usize::from(policies.missed.most()));
        let mut fire: Vec<Timestamp> = newest.collect();
        fire.reverse();
        let skipped = self.skipped(decided, fire.first().copied().unwrap_or(missed), anchor);

        let before = missed.saturating_sub(NANOSECOND).unwrap_or(Timestamp::MIN).max(decided);
        let room = limits::SCHEDULE_FIRES.saturating_sub(fire.len());
        let mut coming = self.upcoming(before, anchor).take_while(|at| *at < due);
        fire.extend(coming.by_ref().take(room));
        let is_all = coming.next().is_none();

        let last_planned = fire.last().copied().or(skipped.map(|skipped| skipped.last)).or(look.last_planned);
        let next_look = if is_all {
            self.planned(policies, look.anchor, last_planned.unwrap_or(Timestamp::MIN)).next()
        } else {
            Some(look.now)
        };
        Decision { fire, skipped, last_planned, next_look }
    }

    /// The planned times after `after` within the policies' dates, in order, of a schedule that was made at `anchor`. One that
    /// has none from now on is over, or was never worth storing.
    pub fn planned(&self, policies: &Policies, anchor: Timestamp, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        let span = Span::of(policies, anchor);
        let ends_at = policies.ends_at;
        let all = self.upcoming(after.max(span.after), span.anchor);
        all.take_while(move |at| ends_at.is_none_or(|ends_at| *at < ends_at))
    }

    /// The planned times between two instants, none of which belongs to it.
    fn skipped(&self, after: Timestamp, before: Timestamp, anchor: Timestamp) -> Option<Skipped> {
        let first = self.next_after(after, anchor).filter(|at| *at < before)?;
        let last = self.last_before(before, anchor)?;
        let counted = usize::try_from(limits::SCHEDULE_COUNTED).unwrap_or(usize::MAX);
        let count = self.upcoming(after, anchor).take_while(|at| *at < before).take(counted).count();
        Some(Skipped { count: u32::try_from(count).unwrap_or(u32::MAX), first, last })
    }
}

const NANOSECOND: SignedDuration = SignedDuration::from_nanos(1);

/// Where planned times begin.
struct Span {
    /// Exclusive.
    after: Timestamp,
    /// Of a rate.
    anchor: Timestamp,
}

impl Span {
    fn of(policies: &Policies, made: Timestamp) -> Self {
        let Some(starts_at) = policies.starts_at else { return Self { after: made, anchor: made } };
        let before = starts_at.saturating_sub(NANOSECOND).unwrap_or(Timestamp::MIN);
        Self { after: before.max(made), anchor: starts_at }
    }
}
