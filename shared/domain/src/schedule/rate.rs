//! Rates: every so many minutes from an anchor, whatever clocks show.

use std::fmt;

use jiff::Timestamp;

use crate::limits;

const FORM: &str = "write a whole number and minutes, hours or days, such as rate(5 minutes)";
const EVERY: &str = "write whole minutes, hours or days, such as @every 90m or @every 1h30m";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// At least 1.
    minutes: u32,
}

impl Rate {
    /// From what is in the brackets of `rate(5 minutes)`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let (Some(number), Some(unit), None) = (words.next(), words.next(), words.next()) else {
            return Err(FORM.to_owned());
        };
        let unit = match unit.to_ascii_lowercase().as_str() {
            "minute" | "minutes" => 60,
            "hour" | "hours" => 3600,
            "day" | "days" => 24 * 3600,
            _ => return Err(format!("\"{unit}\" is not minutes, hours or days; {FORM}")),
        };
        let number = number_of(number).ok_or_else(|| format!("\"{number}\" is not a whole number; {FORM}"))?;
        Self::of_seconds(number.saturating_mul(unit))
    }

    /// From the duration of `@every 1h30m`.
    pub(super) fn parse_every(text: &str) -> Result<Self, String> {
        let mut seconds = 0_u64;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = rest.split_at(digits);
            let number = number_of(number).ok_or(EVERY)?;
            let mut letters = after.chars();
            let unit = match letters.next() {
                Some('d') => 24 * 3600,
                Some('h') => 3600,
                Some('m') => 60,
                Some('s') => 1,
                _ => return Err(EVERY.to_owned()),
            };
            seconds = seconds.saturating_add(number.saturating_mul(unit));
            rest = letters.as_str();
        }
        if text.is_empty() { Err(EVERY.to_owned()) } else { Self::of_seconds(seconds) }
    }

    fn of_seconds(seconds: u64) -> Result<Self, String> {
        if seconds < 60 {
            return Err("a rate is at least 1 minute".to_owned());
        }
        if seconds > u64::from(limits::RATE_MINUTES) * 60 {
            let days = limits::RATE_MINUTES / (24 * 60);
            return Err(format!("a rate is at most {days} days; what is rarer has a date, such as 0 0 1 1 *"));
        }
        let minutes = u32::try_from(seconds / 60).ok().filter(|_| seconds.is_multiple_of(60));
        minutes.map(|minutes| Self { minutes }).ok_or_else(|| format!("a rate has whole minutes; {EVERY}"))
    }

    pub fn minutes(self) -> u32 {
        self.minutes
    }

    pub(super) fn next_after(self, after: Timestamp, anchor: Timestamp) -> Option<Timestamp> {
        let elapsed = after.as_nanosecond() - first(anchor);
        self.nth(anchor, if elapsed < 0 { 0 } else { elapsed / self.period() + 1 })
    }

    pub(super) fn last_before(self, before: Timestamp, anchor: Timestamp) -> Option<Timestamp> {
        let elapsed = before.as_nanosecond() - first(anchor);
        if elapsed > 0 { self.nth(anchor, (elapsed - 1) / self.period()) } else { None }
    }

    fn nth(self, anchor: Timestamp, n: i128) -> Option<Timestamp> {
        Timestamp::from_nanosecond(first(anchor) + n * self.period()).ok()
    }

    fn period(self) -> i128 {
        i128::from(self.minutes) * 60 * SECOND
    }
}

const SECOND: i128 = 1_000_000_000;

/// The anchor's second: timers are set to whole ones.
fn first(anchor: Timestamp) -> i128 {
    anchor.as_nanosecond().div_euclid(SECOND) * SECOND
}

fn number_of(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self.minutes {
            minutes if minutes.is_multiple_of(24 * 60) => (minutes / (24 * 60), "day"),
            minutes if minutes.is_multiple_of(60) => (minutes / 60, "hour"),
            minutes => (minutes, "minute"),
        };
        write!(f, "rate({number} {unit}{})", if number == 1 { "" } else { "s" })
    }
}
