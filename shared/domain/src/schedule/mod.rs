//! When a schedule fires. Every instant of a schedule is computed here and given to a one-shot timer, on AWS and on a laptop
//! alike, so that an expression means the same on both.
//!
//! | text | fires |
//! | --- | --- |
//! | `0 9 * * MON-FRI`, `cron(0 9 * * MON-FRI)`, `@daily` | at each wall time of the zone that it names, see [`Cron`] |
//! | `rate(90 minutes)`, `@every 1h30m` | at the anchor and each so many minutes after it; a day is 24 hours |
//! | `at(2026-12-24T18:00:00)` | once |
//!
//! **When clocks change**, as Amazon EventBridge Scheduler documents it (User Guide, "Schedule types", "Daylight savings
//! time"): a cron expression's wall time that a zone leaves out is skipped, and one that it has twice fires once, here at the
//! first of the two. There is no exception for `*/15 * * * *`: in the hour that is repeated it is silent. What has to come
//! evenly is a rate, which no zone touches.
//!
//! Why no crate: `croner` 4 reads these expressions and knows jiff, but by Vixie's rules for changing clocks (a time that is
//! left out fires right after the gap, and `*` fires in both of two equal hours), and it brings `derive_builder` and `strum`.

mod cron;
mod field;
mod look;
mod policy;
mod rate;
mod stored;
#[cfg(test)]
mod tests;
mod zone;

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};

pub use self::cron::Cron;
pub use self::look::{Decision, Look, Skipped};
pub use self::policy::{Missed, Overlap, Policies};
pub use self::rate::Rate;
pub use self::stored::{Occurrence, Schedule, ScheduleConfig};
use crate::limits;
use crate::template::InvalidField;

/// The two fields of the API that say when.
const CRON_SCHEDULE: &str = "cron_schedule";
const TIMEZONE: &str = "timezone";

const FORMS: &str =
    "write five cron fields such as 0 9 * * MON-FRI, rate(5 minutes), at(2026-12-24T18:00:00), or @daily";

/// An expression in a zone. Its text is canonical, and reads as the same again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Spelled", into = "Spelled")]
pub struct Timetable {
    expression: Expression,
    zone: TimeZone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    Cron(Cron),
    Rate(Rate),
    /// A wall time. The first of the two where it exists twice.
    At(DateTime),
}

/// As stored.
#[derive(Serialize, Deserialize)]
struct Spelled {
    cron_schedule: String,
    #[serde(default = "utc")]
    timezone: String,
}

impl Timetable {
    /// Reads what a user wrote; `timezone` is an IANA name, UTC where there is none.
    pub fn parse(cron_schedule: &str, timezone: Option<&str>) -> Result<Self, InvalidField> {
        let schedule = Self::read(cron_schedule, timezone)?;
        if let Expression::At(wall) = &schedule.expression {
            check_exists(&schedule.zone, *wall).map_err(|reason| InvalidField::new(CRON_SCHEDULE, reason))?;
        }
        Ok(schedule)
    }

    /// The same for what has been stored. A zone may have changed its rules since, so that the time of an `at` is left out:
    /// it then fires as much later as clocks went forward.
    fn read(cron_schedule: &str, timezone: Option<&str>) -> Result<Self, InvalidField> {
        let zone = timezone.map_or(Ok(TimeZone::UTC), zone::named);
        let zone = zone.map_err(|reason| InvalidField::new(TIMEZONE, reason))?;
        let expression = expression(cron_schedule).map_err(|reason| InvalidField::new(CRON_SCHEDULE, reason))?;
        Ok(Self { expression, zone })
    }

    pub fn expression(&self) -> &Expression {
        &self.expression
    }

    /// The zone's IANA name.
    pub fn timezone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The first planned time after `after`, of those from `anchor` on for a rate: when the schedule was made, or is to
    /// begin. A cron expression that names nothing for 41 years has none, and neither has an `at` that is over.
    pub fn next_after(&self, after: Timestamp, anchor: Timestamp) -> Option<Timestamp> {
        match &self.expression {
            Expression::Cron(cron) => cron.next_after(&self.zone, after),
            Expression::Rate(rate) => rate.next_after(after, anchor),
            Expression::At(wall) => self.at(*wall).filter(|at| *at > after),
        }
    }

    /// The last planned time before `before`.
    pub fn last_before(&self, before: Timestamp, anchor: Timestamp) -> Option<Timestamp> {
        match &self.expression {
            Expression::Cron(cron) => cron.last_before(&self.zone, before),
            Expression::Rate(rate) => rate.last_before(before, anchor),
            Expression::At(wall) => self.at(*wall).filter(|at| *at < before),
        }
    }

    /// All planned times after `after`, in order. It may not end.
    pub fn upcoming(&self, after: Timestamp, anchor: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next_after(after, anchor), move |last| self.next_after(*last, anchor))
    }

    fn at(&self, wall: DateTime) -> Option<Timestamp> {
        self.zone.to_ambiguous_timestamp(wall).compatible().ok()
    }
}

/// The reason is for the field `cron_schedule`.
fn expression(text: &str) -> Result<Expression, String> {
    let text = text.trim_matches([' ', '\t']);
    if text.is_empty() {
        return Err(format!("needed: {FORMS}"));
    }
    if text.len() > limits::SCHEDULE_BYTES {
        return Err(format!("has {} bytes, at most {}", text.len(), limits::SCHEDULE_BYTES));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic() || b == b' ' || b == b'\t') {
        return Err(format!("has characters other than visible ASCII and spaces; {FORMS}"));
    }
    if let Some(inner) = call("rate", text) {
        return Rate::parse(inner).map(Expression::Rate);
    }
    if let Some(inner) = call("at", text) {
        return at(inner).map(Expression::At);
    }
    if let Some(inner) = call("cron", text) {
        return Cron::parse(inner).map(Expression::Cron);
    }
    if text.starts_with('@') {
        return named(&text.to_ascii_lowercase());
    }
    Cron::parse(text).map(Expression::Cron)
}

fn named(text: &str) -> Result<Expression, String> {
    let fields = match text {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * SUN",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        _ => {
            let every = text.strip_prefix("@every").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
            let unknown = || {
                let known = "@hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually or @every 90m";
                format!("\"{text}\" is not {known}")
            };
            return Rate::parse_every(every.ok_or_else(unknown)?.trim()).map(Expression::Rate);
        }
    };
    Cron::parse(fields).map(Expression::Cron)
}

/// What is in the brackets of `name(…)`.
fn call<'a>(name: &str, text: &'a str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(name.len())?;
    let inner = rest.strip_prefix('(')?.strip_suffix(')')?;
    start.eq_ignore_ascii_case(name).then_some(inner)
}

fn at(text: &str) -> Result<DateTime, String> {
    let text = text.trim_matches([' ', '\t']).to_ascii_uppercase();
    // What is read must be what is written: jiff takes other forms too.
    let seconds = if text.len() == "2026-12-24T18:00".len() { ":00" } else { "" };
    let spelled = format!("{text}{seconds}");
    let wall = spelled.parse::<DateTime>().ok().filter(|wall| wall.to_string() == spelled);
    let wall = wall.filter(|wall| (1970..=9000).contains(&wall.year()) && wall.subsec_nanosecond() == 0);
    wall.ok_or_else(|| {
        let zone = if text.ends_with('Z') || text.contains('+') { "; its zone is the field timezone" } else { "" };
        format!("\"{text}\" is not a date and time from 1970 on, such as at(2026-12-24T18:00:00){zone}")
    })
}

fn check_exists(zone: &TimeZone, wall: DateTime) -> Result<(), String> {
    let ambiguous = zone.to_ambiguous_timestamp(wall);
    if !matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. }) {
        return Ok(());
    }
    let name = zone.iana_name().unwrap_or("UTC");
    let nearest = ambiguous.compatible().ok().and_then(|later| zone::around_change(zone, later));
    let nearest = nearest.map_or_else(String::new, |(last, first)| format!(", such as {last} or {first}"));
    Err(format!("{wall} does not exist in {name}, where clocks go forward over it; write a time that does{nearest}"))
}

fn utc() -> String {
    "UTC".to_owned()
}

impl TryFrom<Spelled> for Timetable {
    type Error = InvalidField;

    fn try_from(spelled: Spelled) -> Result<Self, InvalidField> {
        Self::read(&spelled.cron_schedule, Some(&spelled.timezone))
    }
}

impl From<Timetable> for Spelled {
    fn from(schedule: Timetable) -> Self {
        Self { cron_schedule: schedule.to_string(), timezone: schedule.timezone().to_owned() }
    }
}

/// The expression alone.
impl fmt::Display for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expression.fmt(f)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron(cron) => cron.fmt(f),
            Self::Rate(rate) => rate.fmt(f),
            Self::At(wall) => write!(f, "at({wall})"),
        }
    }
}
