//! Cron expressions: which wall times they name, and at which instants clocks show those.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::{field, zone};
use crate::limits;

/// Small numbers, one bit each.
pub(super) type Set = u64;

/// Minute, hour, day of the month, month, day of the week.
///
/// Each field is `*`, or a list of numbers, ranges `9-17` and steps `*/15`, `10-40/10`, `5/15` (from 5 on). Months and days of
/// the week have names, in any case. Days of the week count as in Unix: 0 and 7 are Sunday. (AWS counts 1 for Sunday.)
///
/// The day of the month can also be `L` (the last), `L-3` (three before it), `LW` (the last weekday) or `15W` (the weekday
/// next to the 15th, within the month); the day of the week `FRIL` or `5L` (the last Friday) or `MON#2` (the second Monday).
/// `?` is `*` there. A month that has no such day is left out.
///
/// Where both days are given, the classic rule holds: either one fires. `0 9 13 * FRI` is each 13th and each Friday. A step
/// over `*` in one of them is refused then: Vixie's cron takes `*/2` for no restriction and Kubernetes for one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cron {
    pub(super) minutes: Set,
    pub(super) hours: Set,
    pub(super) months: Set,
    /// None is any day, as is none of the two.
    pub(super) month_days: Option<MonthDays>,
    pub(super) week_days: Option<WeekDays>,
}

/// Days by their place in the month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct MonthDays {
    pub(super) days: Set,
    /// `15W`
    pub(super) nearest: Set,
    /// 0 is `L`, 3 is `L-3`.
    pub(super) from_end: Set,
    /// `LW`
    pub(super) last_weekday: bool,
}

/// Days by their name, Sunday is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct WeekDays {
    pub(super) days: Set,
    /// `FRIL`
    pub(super) last: Set,
    /// `MON#2` is in the second.
    pub(super) nth: [Set; 5],
}

/// All that its days depend on.
#[derive(Clone, Copy)]
struct Month {
    length: u8,
    /// The day of the week of the 1st.
    begins: u8,
}

impl Cron {
    /// From the five fields.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let cron = field::parse(text)?;
        if !cron.is_possible() {
            return Err(format!("\"{cron}\" never fires: no month of it has such a day; change the day or the month"));
        }
        Ok(cron)
    }

    /// Whether some month of some year has such a day. Over the centuries each month begins on each day of the week.
    fn is_possible(&self) -> bool {
        let lengths = [&[31_u8][..], &[28, 29], &[31], &[30], &[31], &[30], &[31], &[31], &[30], &[31], &[30], &[31]];
        (1..).zip(lengths).filter(|(month, _)| has(self.months, *month)).any(|(_, lengths)| {
            lengths.iter().any(|&length| (0..7).any(|begins| self.days(Month { length, begins }) != 0))
        })
    }

    pub(super) fn next_after(&self, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
        let mut wall = zone::shown(zone, after);
        let last_year = wall.year().saturating_add(limits::SCHEDULE_YEARS);
        loop {
            wall = self.wall_after(wall).filter(|wall| wall.year() <= last_year)?;
            if let Some(at) = zone::first(zone, wall).filter(|at| *at > after) {
                return Some(at);
            }
        }
    }

    pub(super) fn last_before(&self, zone: &TimeZone, before: Timestamp) -> Option<Timestamp> {
        let mut wall = zone::shown(zone, before);
        let first_year = wall.year().saturating_sub(limits::SCHEDULE_YEARS);
        // Its own minute may have begun before.
        if self.names(wall)
            && let Some(at) = zone::first(zone, minute_of(wall)).filter(|at| *at < before)
        {
            return Some(at);
        }
        loop {
            wall = self.wall_before(wall).filter(|wall| wall.year() >= first_year)?;
            if let Some(at) = zone::first(zone, wall).filter(|at| *at < before) {
                return Some(at);
            }
        }
    }

    /// Whether it names the minute of `wall`.
    fn names(&self, wall: DateTime) -> bool {
        let [hour, minute] = [wall.hour(), wall.minute()].map(i8::unsigned_abs);
        has(self.days_of(wall.date()), wall.day().unsigned_abs()) && has(self.hours, hour) && has(self.minutes, minute)
    }

    /// The first wall time that it names after the minute of `wall`.
    fn wall_after(&self, wall: DateTime) -> Option<DateTime> {
        let (date, day) = (wall.date(), wall.day().unsigned_abs());
        let [hour, minute] = [wall.hour(), wall.minute()].map(i8::unsigned_abs);
        let first = (lowest(self.hours, 0)?, lowest(self.minutes, 0)?);
        let today = || {
            let this_hour = lowest(self.minutes, minute + 1).filter(|_| has(self.hours, hour));
            let later = || lowest(self.hours, hour + 1).map(|hour| (hour, first.1));
            this_hour.map(|minute| (hour, minute)).or_else(later)
        };
        if has(self.days_of(date), day)
            && let Some(time) = today()
        {
            return Some(at(date, time));
        }
        let mut month = date.first_of_month();
        let mut from = day + 1;
        for _ in 0..=MONTHS {
            if let Some(day) = lowest(self.days_of(month), from) {
                return Some(at(date_of(month, day)?, first));
            }
            month = neighbour(month, 1)?;
            from = 1;
        }
        None
    }

    /// The last wall time that it names before the minute of `wall`.
    fn wall_before(&self, wall: DateTime) -> Option<DateTime> {
        let (date, day) = (wall.date(), wall.day().unsigned_abs());
        let [hour, minute] = [wall.hour(), wall.minute()].map(i8::unsigned_abs);
        let last = (highest(self.hours, 63)?, highest(self.minutes, 63)?);
        let today = || {
            let this_hour = minute.checked_sub(1).and_then(|to| highest(self.minutes, to));
            let this_hour = this_hour.filter(|_| has(self.hours, hour));
            let earlier = || highest(self.hours, hour.checked_sub(1)?).map(|hour| (hour, last.1));
            this_hour.map(|minute| (hour, minute)).or_else(earlier)
        };
        if has(self.days_of(date), day)
            && let Some(time) = today()
        {
            return Some(at(date, time));
        }
        let mut month = date.first_of_month();
        let mut to = day - 1;
        for _ in 0..=MONTHS {
            if let Some(day) = highest(self.days_of(month), to) {
                return Some(at(date_of(month, day)?, last));
            }
            month = neighbour(month, -1)?;
            to = 31;
        }
        None
    }

    /// The days that it names in the month of `date`.
    fn days_of(&self, date: Date) -> Set {
        if !has(self.months, date.month().unsigned_abs()) {
            return 0;
        }
        let begins = date.first_of_month().weekday().to_sunday_zero_offset().unsigned_abs();
        self.days(Month { length: date.days_in_month().unsigned_abs(), begins })
    }

    fn days(&self, month: Month) -> Set {
        match (&self.month_days, &self.week_days) {
            (None, None) => range(1, month.length),
            (Some(days), None) => days.of(month),
            (None, Some(days)) => days.of(month),
            (Some(month_days), Some(week_days)) => month_days.of(month) | week_days.of(month),
        }
    }
}

impl MonthDays {
    fn of(&self, month: Month) -> Set {
        let Month { length, .. } = month;
        let mut days = self.days & range(1, length);
        days |= members(self.from_end).filter(|n| *n < length).fold(0, |days, n| days | bit(length - n));
        days |= members(self.nearest).filter(|n| *n <= length).fold(0, |days, n| days | bit(month.nearest_weekday(n)));
        if self.last_weekday {
            days |= bit(month.nearest_weekday(length));
        }
        days
    }
}

impl WeekDays {
    fn of(&self, month: Month) -> Set {
        (1..=month.length).fold(0, |days, day| {
            let (name, nth) = (month.day_of_week(day), usize::from((day - 1) / 7));
            let is_last = day + 7 > month.length && has(self.last, name);
            if has(self.days, name) || has(self.nth[nth], name) || is_last { days | bit(day) } else { days }
        })
    }
}

impl Month {
    fn day_of_week(self, day: u8) -> u8 {
        (self.begins + day - 1) % 7
    }

    fn nearest_weekday(self, day: u8) -> u8 {
        match self.day_of_week(day) {
            6 if day == 1 => 3,
            6 => day - 1,
            0 if day == self.length => day - 2,
            0 => day + 1,
            _ => day,
        }
    }
}

const MONTHS: u16 = limits::SCHEDULE_YEARS.unsigned_abs() * 12;

pub(super) const fn bit(n: u8) -> Set {
    1 << n
}

/// From `first` to `last`, both included.
pub(super) const fn range(first: u8, last: u8) -> Set {
    (u64::MAX >> (63 - last)) & (u64::MAX << first)
}

pub(super) const fn has(set: Set, n: u8) -> bool {
    set & bit(n) != 0
}

pub(super) fn members(set: Set) -> impl Iterator<Item = u8> {
    (0..64).filter(move |n| has(set, *n))
}

/// The first member from `from` on.
fn lowest(set: Set, from: u8) -> Option<u8> {
    let rest = set & range(from, 63);
    u8::try_from(rest.trailing_zeros()).ok().filter(|_| rest != 0)
}

/// The last member up to `to`.
fn highest(set: Set, to: u8) -> Option<u8> {
    let rest = set & range(0, to);
    u8::try_from(rest.checked_ilog2()?).ok()
}

fn at(date: Date, (hour, minute): (u8, u8)) -> DateTime {
    date.at(hour.cast_signed(), minute.cast_signed(), 0, 0)
}

fn minute_of(wall: DateTime) -> DateTime {
    wall.date().at(wall.hour(), wall.minute(), 0, 0)
}

fn date_of(month: Date, day: u8) -> Option<Date> {
    Date::new(month.year(), month.month(), day.cast_signed()).ok()
}

/// The 1st of the month before or after.
fn neighbour(first: Date, by: i8) -> Option<Date> {
    let (year, month) = match first.month() + by {
        0 => (first.year() - 1, 12),
        13 => (first.year() + 1, 1),
        month => (first.year(), month),
    };
    Date::new(year, month, 1).ok()
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        field::write(f, self)
    }
}
