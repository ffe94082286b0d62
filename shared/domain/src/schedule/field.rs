//! The text of a cron expression's fields: strict to read, and one spelling for each meaning.

use std::fmt;

use super::FORMS;
use super::cron::{Cron, MonthDays, Set, WeekDays, bit, has, members, range};

struct Field {
    name: &'static str,
    first: u8,
    last: u8,
    /// Of the numbers from `first` on.
    names: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", first: 0, last: 59, names: &[] };
const HOUR: Field = Field { name: "hour", first: 0, last: 23, names: &[] };
const MONTH_DAY: Field = Field { name: "day of month", first: 1, last: 31, names: &[] };
const MONTH: Field = Field {
    name: "month",
    first: 1,
    last: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
};
const WEEK_DAY: Field =
    Field { name: "day of week", first: 0, last: 6, names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] };

pub(super) fn parse(text: &str) -> Result<Cron, String> {
    let upper = text.to_ascii_uppercase();
    let fields: Vec<&str> = upper.split_ascii_whitespace().collect();
    let [minute, hour, month_day, month, week_day] = fields[..] else {
        return Err(match fields.len() {
            6 | 7 => format!(
                "has {} fields, needs 5: minute, hour, day of month, month, day of week; leave out seconds in front and \
                 AWS's year at the end, and name days of the week, which AWS counts from 1 for Sunday",
                fields.len()
            ),
            count => format!("has {count} fields, needs 5: minute, hour, day of month, month, day of week; {FORMS}"),
        });
    };
    let days = |text: &str| !matches!(text, "*" | "?" | "*/1");
    if days(month_day) && days(week_day) {
        for (field, text, all) in [(&MONTH_DAY, month_day, "1-31"), (&WEEK_DAY, week_day, "0-6")] {
            if text.split(',').any(|item| item.starts_with("*/")) {
                return Err(field.no(format!(
                    "a step over * beside a day in the other field has two meanings among crons; write {all} for the * \
                     to have either of the days fire, or * in one of the fields"
                )));
            }
        }
    }
    let month_days = if days(month_day) { Some(month_days(month_day)?) } else { None };
    let week_days = if days(week_day) { Some(week_days(week_day)?) } else { None };
    Ok(Cron { minutes: MINUTE.set(minute)?, hours: HOUR.set(hour)?, months: MONTH.set(month)?, month_days, week_days })
}

fn month_days(text: &str) -> Result<MonthDays, String> {
    let mut all = MonthDays::default();
    for item in text.split(',') {
        let day = |text: &str| MONTH_DAY.value(text);
        if item == "LW" {
            all.last_weekday = true;
        } else if item == "L" {
            all.from_end |= bit(0);
        } else if let Some(before) = item.strip_prefix("L-") {
            let reason = || MONTH_DAY.no(format!("\"{item}\" is not L-1 to L-30, days before the last"));
            all.from_end |= bit(number(before).filter(|n| (1..=30).contains(n)).ok_or_else(reason)?);
        } else if let Some(near) = item.strip_suffix('W') {
            all.nearest |= bit(day(near)?);
        } else {
            all.days |= MONTH_DAY.values(item)?;
        }
    }
    Ok(all)
}

fn week_days(text: &str) -> Result<WeekDays, String> {
    let mut all = WeekDays::default();
    for item in text.split(',') {
        let day = |text: &str| WEEK_DAY.value(text).map(|day| day % 7);
        if item == "L" {
            return Err(WEEK_DAY.no("L needs a day: FRIL is the last Friday of the month".to_owned()));
        } else if let Some(last) = item.strip_suffix('L') {
            all.last |= bit(day(last)?);
        } else if let Some((name, nth)) = item.split_once('#') {
            let reason = || WEEK_DAY.no(format!("\"{item}\" is not a day and # and 1 to 5, such as MON#2"));
            let nth = number(nth).filter(|nth| (1..=5).contains(nth)).ok_or_else(reason)?;
            all.nth[usize::from(nth - 1)] |= bit(day(name)?);
        } else {
            all.days |= WEEK_DAY.values(item)?;
        }
    }
    Ok(all)
}

impl Field {
    fn set(&self, text: &str) -> Result<Set, String> {
        if text == "*" {
            return Ok(range(self.first, self.last));
        }
        text.split(',').try_fold(0, |set, item| Ok(set | self.values(item)?))
    }

    /// A number, a range or a step.
    fn values(&self, item: &str) -> Result<Set, String> {
        if item == "*" || item == "?" {
            return Err(self.no(format!("\"{item}\" stands alone, not in a list")));
        }
        let (span, step) = item.split_once('/').map_or((item, None), |(span, step)| (span, Some(step)));
        let (start, end) = match span.split_once('-') {
            _ if span == "*" => (self.first, self.last),
            Some((start, end)) => (self.value(start)?, self.value(end)?),
            None if step.is_some() => (self.value(span)?, self.last),
            None => (self.value(span)?, self.value(span)?),
        };
        // A week may end with its Sunday.
        let end = if self.is_week() && end == 0 && start > 0 { 7 } else { end };
        if end < start {
            return Err(self.no(format!("\"{span}\" ends before it begins; write two ranges")));
        }
        let step = match step {
            None => 1,
            Some(text) => number(text)
                .filter(|step| *step > 0)
                .ok_or_else(|| self.no(format!("the step \"{text}\" is not a number from 1")))?,
        };
        // `*/90` in the minutes would fire at minute 0 alone, which nobody means.
        if step > 1 && step > end - start {
            let hint = "for what does not fit the field, write a rate such as rate(90 minutes)";
            return Err(self.no(format!("the step of \"{item}\" leaves {start} alone; {hint}")));
        }
        let set = (start..=end).step_by(usize::from(step)).fold(0, |set, n| set | bit(n));
        Ok(if self.is_week() && has(set, 7) { (set & !bit(7)) | bit(0) } else { set })
    }

    /// For Sunday, 0 or 7.
    fn value(&self, text: &str) -> Result<u8, String> {
        let named = (self.first..).zip(self.names).find(|(_, name)| **name == text).map(|(n, _)| n);
        let last = if self.is_week() { 7 } else { self.last };
        let value = named.or_else(|| number(text).filter(|n| (self.first..=last).contains(n)));
        value.ok_or_else(|| {
            let names = match self.names {
                [first, .., last] => format!(" or {first} to {last}"),
                _ => String::new(),
            };
            self.no(format!("\"{text}\" is not a number from {} to {last}{names}", self.first))
        })
    }

    fn is_week(&self) -> bool {
        self.name == WEEK_DAY.name
    }

    fn no(&self, reason: impl fmt::Display) -> String {
        format!("{}: {reason}", self.name)
    }

    /// The spelling of a set that is not empty. For days without `*`, which has another meaning.
    fn spell(&self, set: Set) -> String {
        let is_days = self.is_week() || self.name == MONTH_DAY.name;
        // Days of the week by name, since AWS counts them otherwise.
        let spell = |n: u8| match self.names.get(usize::from(n)) {
            Some(name) if self.is_week() => (*name).to_owned(),
            _ => n.to_string(),
        };
        let all: Vec<u8> = members(set).collect();
        if set == range(self.first, self.last) && !is_days {
            return "*".to_owned();
        }
        if let [first, second, _, ..] = all[..]
            && second > first + 1
            && !self.is_week()
            && (first..=self.last).step_by(usize::from(second - first)).eq(all.iter().copied())
        {
            let step = second - first;
            let span = if first == self.first && !is_days { "*".to_owned() } else { format!("{first}-{}", self.last) };
            return format!("{span}/{step}");
        }
        let mut runs: Vec<(u8, u8)> = Vec::new();
        for n in all {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == n => *last = n,
                _ => runs.push((n, n)),
            }
        }
        let spelled = runs.into_iter().map(|(first, last)| match last - first {
            0 => spell(first),
            1 => format!("{},{}", spell(first), spell(last)),
            _ => format!("{}-{}", spell(first), spell(last)),
        });
        spelled.collect::<Vec<_>>().join(",")
    }
}

fn number(text: &str) -> Option<u8> {
    let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

pub(super) fn write(f: &mut fmt::Formatter<'_>, cron: &Cron) -> fmt::Result {
    let month_days = cron.month_days.map_or_else(|| "*".to_owned(), spell_month_days);
    let week_days = cron.week_days.map_or_else(|| "*".to_owned(), spell_week_days);
    let [minutes, hours, months] = [MINUTE.spell(cron.minutes), HOUR.spell(cron.hours), MONTH.spell(cron.months)];
    write!(f, "{minutes} {hours} {month_days} {months} {week_days}")
}

fn spell_month_days(all: MonthDays) -> String {
    let mut items = Vec::new();
    if all.days != 0 {
        items.push(MONTH_DAY.spell(all.days));
    }
    items.extend(members(all.nearest).map(|day| format!("{day}W")));
    items.extend(members(all.from_end).map(|n| if n == 0 { "L".to_owned() } else { format!("L-{n}") }));
    if all.last_weekday {
        items.push("LW".to_owned());
    }
    items.join(",")
}

fn spell_week_days(all: WeekDays) -> String {
    let mut items = Vec::new();
    if all.days != 0 {
        items.push(WEEK_DAY.spell(all.days));
    }
    let name = |day: u8| WEEK_DAY.spell(bit(day));
    for (nth, days) in (1..).zip(all.nth) {
        items.extend(members(days).map(|day| format!("{}#{nth}", name(day))));
    }
    items.extend(members(all.last).map(|day| format!("{}L", name(day))));
    items.join(",")
}
