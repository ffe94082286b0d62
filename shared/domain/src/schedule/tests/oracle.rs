//! Random expressions, as what they mean and as text, against a scan of every minute and of every day.

use std::collections::HashSet;

use jiff::Span;
use jiff::civil::Date;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Africa/Cairo",
    "America/St_Johns",
    "Pacific/Apia",
];

#[derive(Clone, Debug)]
enum Item {
    All,
    One(u8),
    Range(u8, u8),
    Step(u8, u8, u8),
    Nearest(u8),
    FromEnd(u8),
    LastWeekday,
    LastNamed(u8),
    NthNamed(u8, u8),
}

#[derive(Clone, Debug)]
struct Fields([Vec<Item>; 5]);

impl Item {
    fn text(&self) -> String {
        match self {
            Self::All => "*".to_owned(),
            Self::One(n) => n.to_string(),
            Self::Range(a, b) => format!("{a}-{b}"),
            Self::Step(a, b, step) => format!("{a}-{b}/{step}"),
            Self::Nearest(n) => format!("{n}W"),
            Self::FromEnd(0) => "L".to_owned(),
            Self::FromEnd(n) => format!("L-{n}"),
            Self::LastWeekday => "LW".to_owned(),
            Self::LastNamed(day) => format!("{day}L"),
            Self::NthNamed(day, nth) => format!("{day}#{nth}"),
        }
    }

    fn has(&self, value: i8, date: Date) -> bool {
        let name = |date: Date| date.weekday().to_sunday_zero_offset();
        let works = |date: Date| (1..=5).contains(&name(date));
        let value = value.unsigned_abs();
        match *self {
            Self::All => true,
            Self::One(n) => value == n,
            Self::Range(a, b) => (a..=b).contains(&value),
            Self::Step(a, b, step) => (a..=b).contains(&value) && (value - a).is_multiple_of(step),
            // Of the weekdays of the month, none is nearer to the day.
            Self::Nearest(n) => {
                let away = |date: Date| date.day().abs_diff(n.cast_signed());
                let exists = n.cast_signed() <= date.days_in_month();
                let mut days =
                    (1..=date.days_in_month()).map(|day| date.first_of_month().with().day(day).build().unwrap());
                exists && works(date) && days.all(|other| !works(other) || away(other) >= away(date))
            }
            Self::FromEnd(n) => date.days_in_month() - date.day() == n.cast_signed(),
            Self::LastWeekday => {
                let later = (date.day() + 1)..=date.days_in_month();
                works(date) && later.into_iter().all(|day| !works(date.with().day(day).build().unwrap()))
            }
            Self::LastNamed(day) => name(date) == day.cast_signed() && date.day() + 7 > date.days_in_month(),
            Self::NthNamed(day, nth) => name(date) == day.cast_signed() && (date.day() + 6) / 7 == nth.cast_signed(),
        }
    }
}

impl Fields {
    fn text(&self) -> String {
        self.0.clone().map(|items| items.iter().map(Item::text).collect::<Vec<_>>().join(",")).join(" ")
    }

    /// The rule as it is written.
    fn has_day(&self, date: Date) -> bool {
        let [_, _, month_days, months, week_days] = &self.0;
        let any = |items: &[Item], value| items.iter().any(|item| item.has(value, date));
        let is_all = |items: &[Item]| matches!(items, [Item::All]);
        let by_month = any(month_days, date.day());
        let by_week = any(week_days, date.weekday().to_sunday_zero_offset());
        let either = if is_all(month_days) || is_all(week_days) { by_month && by_week } else { by_month || by_week };
        any(months, date.month()) && either
    }

    fn has(&self, wall: DateTime) -> bool {
        let any = |items: &[Item], value| items.iter().any(|item| item.has(value, wall.date()));
        any(&self.0[0], wall.minute()) && any(&self.0[1], wall.hour()) && self.has_day(wall.date())
    }
}

fn plain(first: u8, last: u8) -> impl Strategy<Value = Vec<Item>> {
    let pair = move || (first..=last, first..=last).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let step = (pair(), 2..=15_u8).prop_filter("leaves more than one", |((a, b), step)| b - a >= *step);
    let item = prop_oneof![
        3 => (first..=last).prop_map(Item::One),
        2 => pair().prop_map(|(a, b)| Item::Range(a, b)),
        1 => step.prop_map(|((a, b), step)| Item::Step(a, b, step)),
    ];
    prop_oneof![2 => Just(vec![Item::All]), 3 => vec(item, 1..4)]
}

fn month_days() -> impl Strategy<Value = Vec<Item>> {
    let special = prop_oneof![
        (1..=31_u8).prop_map(Item::Nearest),
        (0..=30_u8).prop_map(Item::FromEnd),
        Just(Item::LastWeekday),
        (1..=31_u8).prop_map(Item::One),
    ];
    prop_oneof![3 => plain(1, 31), 1 => vec(special, 1..4)]
}

fn week_days() -> impl Strategy<Value = Vec<Item>> {
    let special = prop_oneof![
        (0..=6_u8).prop_map(Item::LastNamed),
        (0..=6_u8, 1..=5_u8).prop_map(|(day, nth)| Item::NthNamed(day, nth)),
        (0..=6_u8).prop_map(Item::One),
    ];
    prop_oneof![3 => plain(0, 6), 1 => vec(special, 1..4)]
}

fn fields() -> impl Strategy<Value = Fields> {
    let all = (plain(0, 59), plain(0, 23), month_days(), plain(1, 12), week_days());
    all.prop_map(|(minutes, hours, days, months, names)| Fields([minutes, hours, days, months, names]))
}

/// Those that fire on most days, so that days on which clocks change are among them.
fn frequent() -> impl Strategy<Value = Fields> {
    let names = prop_oneof![3 => Just(vec![Item::All]), 1 => plain(0, 6)];
    (plain(0, 59), plain(0, 23), names).prop_map(|(minutes, hours, names)| {
        let all = || vec![Item::All];
        Fields([minutes, hours, all(), all(), names])
    })
}

/// An instant about a change of clocks, for a zone that has any.
fn near_change(zone: &TimeZone, change: usize, minutes: i64) -> Timestamp {
    let from: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let at = zone.following(from).nth(change).map_or(from, |change| change.timestamp());
    at + SignedDuration::from_mins(minutes)
}

/// Every minute whose wall time matches, and has not been shown before.
fn scan(fields: &Fields, zone: &TimeZone, after: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let mut shown = HashSet::new();
    let mut fires = Vec::new();
    let mut at = after - SignedDuration::from_hours(25);
    while at < until {
        let wall = zone.to_datetime(at);
        if shown.insert(wall) && at > after && fields.has(wall) {
            fires.push(at);
        }
        at += MINUTE;
    }
    fires
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn instants_are_those_of_a_scan_of_every_minute(
        fields in frequent(), zone in prop::sample::select(&ZONES), change in 0..4_usize, minutes in -1500_i64..120,
        seconds in 0..60_i64,
    ) {
        let schedule = Timetable::parse(&fields.text(), Some(zone)).unwrap();
        let after = near_change(&schedule.zone, change, minutes);
        let until = after + SignedDuration::from_hours(30);
        let expected = scan(&fields, &schedule.zone, after, until);
        let found: Vec<Timestamp> = schedule.upcoming(after, after).take_while(|at| *at < until).collect();
        prop_assert_eq!(&found, &expected);

        let mut back: Vec<Timestamp> = std::iter::successors(schedule.last_before(until, after), |at| {
            schedule.last_before(*at, after)
        }).take_while(|at| *at > after).collect();
        back.reverse();
        prop_assert_eq!(&back, &expected);

        // Within a minute too.
        let middle = after + SignedDuration::from_hours(15) + SignedDuration::from_secs(seconds);
        prop_assert_eq!(
            schedule.next_after(middle, after).filter(|at| *at < until),
            expected.iter().copied().find(|at| *at > middle)
        );
        prop_assert_eq!(
            schedule.last_before(middle, after).filter(|at| *at > after),
            expected.iter().copied().rfind(|at| *at < middle)
        );
    }
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn days_are_those_of_a_scan_of_every_day(fields in fields(), year in 1990..2110_i16, days in 0..1000_i64) {
        let Ok(schedule) = Timetable::parse(&fields.text(), None) else {
            // Refused since it never fires, which is so over 28 years with each kind of year.
            let mut day = date(2001, 1, 1);
            for _ in 0..28 * 366 {
                prop_assert!(!fields.has_day(day), "{day}");
                day = day.tomorrow().unwrap();
            }
            return Ok(());
        };
        let from = date(year, 1, 1) + Span::new().days(days);
        let until = from + Span::new().days(500);
        let mut expected = Vec::new();
        let mut day = from;
        while day < until {
            if fields.has_day(day) {
                expected.push(day);
            }
            day = day.tomorrow().unwrap();
        }
        let mut found = Vec::new();
        let mut after = TimeZone::UTC.to_timestamp(from.at(0, 0, 0, 0)).unwrap() - MINUTE;
        while let Some(at) = schedule.next_after(after, after) {
            let day = TimeZone::UTC.to_datetime(at).date();
            if day >= until {
                break;
            }
            found.push(day);
            after = TimeZone::UTC.to_timestamp(day.at(23, 59, 0, 0)).unwrap();
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn canonical_text_reads_as_the_same(fields in fields(), zone in prop::sample::select(&ZONES)) {
        if let Ok(schedule) = Timetable::parse(&fields.text(), Some(zone)) {
            let text = schedule.to_string();
            let again = Timetable::parse(&text, Some(schedule.timezone()));
            prop_assert_eq!(again.as_ref().map(ToString::to_string), Ok(text));
            prop_assert_eq!(again, Ok(schedule));
        }
    }

    #[test]
    fn canonical_rates_and_times_read_as_the_same(
        minutes in 1..=limits::RATE_MINUTES, year in 1970..9000_i16, second in 0..31_536_000_i64,
    ) {
        let at = date(year, 1, 1).at(0, 0, 0, 0) + SignedDuration::from_secs(second);
        for text in [format!("rate({minutes} minutes)"), format!("@every {minutes}m"), format!("at({at})")] {
            let schedule = Timetable::parse(&text, None).unwrap();
            prop_assert_eq!(Timetable::parse(&schedule.to_string(), None), Ok(schedule));
        }
    }

    #[test]
    fn rates_are_the_multiples_of_their_period(minutes in 1..2000_i64, anchor in -10_000..10_000_i64, after in -10_000..10_000_i64) {
        let schedule = Timetable::parse(&format!("rate({minutes} minutes)"), None).unwrap();
        let at = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
        let multiples: Vec<i64> = (0..).map(|k| anchor + k * minutes).take_while(|at| *at < 25_000).collect();
        let next = multiples.iter().find(|at| **at > after).map(|minute| at(*minute));
        let last = multiples.iter().rfind(|at| **at < after).map(|minute| at(*minute));
        prop_assert_eq!(schedule.next_after(at(after), at(anchor)), next);
        prop_assert_eq!(schedule.last_before(at(after), at(anchor)), last);
    }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn no_text_panics(text in "[0-9*/,#?LWa-z@() :T-]{0,40}", any in any::<String>(), zone in "[A-Za-z/+_ -]{0,20}") {
        let now = Timestamp::UNIX_EPOCH;
        for text in [&text, &any, &format!("cron({text})"), &format!("at({text})"), &format!("rate({text})")] {
            if let Ok(schedule) = Timetable::parse(text, None) {
                let _ = schedule.next_after(now, now);
            }
        }
        for zone in [&zone, &any] {
            let _ = Timetable::parse("@daily", Some(zone));
        }
    }
}
