//! Rows for what is written in the module's table; laws against a naive oracle in `oracle`, and for looks in `look`.

mod look;
mod oracle;
mod text;

use jiff::SignedDuration;
use jiff::civil::date;

use super::*;

/// The next times after a wall time of the zone, as wall times there.
#[track_caller]
fn check(expression: &str, timezone: &str, after: &str, expected: &[&str]) {
    let schedule = Timetable::parse(expression, Some(timezone)).unwrap();
    let after = schedule.zone.to_timestamp(after.parse().unwrap()).unwrap();
    let shown = |at: Timestamp| at.to_zoned(schedule.zone.clone()).strftime("%Y-%m-%d %H:%M %:z").to_string();
    let found: Vec<String> = schedule.upcoming(after, after).take(expected.len()).map(shown).collect();
    assert_eq!(found, expected, "{expression} in {timezone}");
}

/// The days on which it fires at midnight, of a year.
#[track_caller]
fn check_days(fields: &str, year: i16, expected: &str) {
    let schedule = Timetable::parse(&format!("0 0 {fields}"), None).unwrap();
    let [from, to] = [year, year + 1].map(|year| TimeZone::UTC.to_timestamp(date(year, 1, 1).at(0, 0, 0, 0)).unwrap());
    let days = schedule.upcoming(from - SignedDuration::from_nanos(1), from).take_while(|at| *at < to);
    let days: Vec<String> = days.map(|at| at.strftime("%-m/%-d").to_string()).collect();
    assert_eq!(days.join(" "), expected, "{fields} of {year}");
}

#[test]
fn a_wall_time_that_is_left_out_is_skipped_for_that_day() {
    check(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-28T00:00",
        &["2026-03-28 02:30 +01:00", "2026-03-30 02:30 +02:00", "2026-03-31 02:30 +02:00"],
    );
    check("30 2 * * *", "America/New_York", "2027-03-13T12:00", &["2027-03-15 02:30 -04:00"]);
    // The first minute of the gap is left out, the first after it is not.
    check("0 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00", &["2026-03-29 03:00 +02:00", "2026-03-30 02:00 +02:00"]);
    // Lord Howe's clocks go forward by half an hour, from 02:00.
    check(
        "*/15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-04T01:00",
        &["2026-10-04 02:30 +11:00", "2026-10-04 02:45 +11:00", "2026-10-05 02:00 +11:00"],
    );
    // Samoa went over the date line: there was no 30 December.
    check("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00", &["2011-12-29 12:00 -10:00", "2011-12-31 12:00 +14:00"]);
    check("0 0 30 12 *", "Pacific/Apia", "2011-01-01T00:00", &["2012-12-30 00:00 +14:00"]);
    check("59 23 * * *", "Pacific/Apia", "2011-12-29T12:00", &["2011-12-29 23:59 -10:00", "2011-12-31 23:59 +14:00"]);
    // Morocco's clocks go back for Ramadan and forward after it.
    check(
        "30 2 * * *",
        "Africa/Casablanca",
        "2026-03-21T00:00",
        &["2026-03-21 02:30 +00:00", "2026-03-23 02:30 +01:00"],
    );
    // Cairo begins summer at midnight.
    check("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00", &["2026-04-25 00:00 +03:00"]);
}

#[test]
fn a_wall_time_that_exists_twice_fires_once_at_the_first() {
    check(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-24T00:00",
        &["2026-10-24 02:30 +02:00", "2026-10-25 02:30 +02:00", "2026-10-26 02:30 +01:00"],
    );
    check(
        "30 1 * * *",
        "America/New_York",
        "2026-11-01T00:00",
        &["2026-11-01 01:30 -04:00", "2026-11-02 01:30 -05:00"],
    );
    check(
        "45 1 * * *",
        "Australia/Lord_Howe",
        "2026-04-05T00:00",
        &["2026-04-05 01:45 +11:00", "2026-04-06 01:45 +10:30"],
    );
    // No exception for what fires each hour or quarter: the repeated hour is silent.
    check(
        "0 * * * *",
        "Europe/Berlin",
        "2026-10-25T01:30",
        &["2026-10-25 02:00 +02:00", "2026-10-25 03:00 +01:00", "2026-10-25 04:00 +01:00"],
    );
    check(
        "*/30 * * * *",
        "America/New_York",
        "2027-11-07T00:45",
        &["2027-11-07 01:00 -04:00", "2027-11-07 01:30 -04:00", "2027-11-07 02:00 -05:00"],
    );
    check(
        "*/30 * * * *",
        "Africa/Casablanca",
        "2026-02-15T01:45",
        &["2026-02-15 02:00 +01:00", "2026-02-15 02:30 +01:00", "2026-02-15 03:00 +00:00"],
    );
}

#[test]
fn between_the_two_hours_and_in_the_second_it_is_silent() {
    let schedule = Timetable::parse("*/15 * * * *", Some("Europe/Berlin")).unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    for after in ["2026-10-25T00:45:00Z", "2026-10-25T00:59:59Z", "2026-10-25T01:00:00Z", "2026-10-25T01:59:59Z"] {
        assert_eq!(schedule.next_after(at(after), at(after)), Some(at("2026-10-25T02:00:00Z")), "{after}");
    }
    for before in ["2026-10-25T00:45:01Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"] {
        assert_eq!(schedule.last_before(at(before), at(before)), Some(at("2026-10-25T00:45:00Z")), "{before}");
    }
}

#[test]
fn rates_count_from_their_anchor_through_any_change_of_clocks() {
    check("rate(1 day)", "Europe/Berlin", "2026-03-28T09:00", &["2026-03-29 10:00 +02:00", "2026-03-30 10:00 +02:00"]);
    check(
        "rate(12 hours)",
        "Europe/Berlin",
        "2026-10-24T20:00",
        &["2026-10-25 07:00 +01:00", "2026-10-25 19:00 +01:00"],
    );
    check("@every 30m", "Europe/Berlin", "2026-10-25T01:50", &["2026-10-25 02:20 +02:00", "2026-10-25 02:50 +02:00"]);

    let schedule = Timetable::parse("rate(90 minutes)", None).unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    // Of the anchor, the fraction of a second is dropped.
    let anchor = at("2026-11-22T10:00:00.7Z");
    let next = |after: &str| schedule.next_after(at(after), anchor).unwrap().to_string();
    let last = |before: &str| schedule.last_before(at(before), anchor).map(|at| at.to_string());
    assert_eq!(next("2020-01-01T00:00:00Z"), "2026-11-22T10:00:00Z");
    assert_eq!(next("2026-11-22T10:00:00.7Z"), "2026-11-22T11:30:00Z");
    assert_eq!(next("2026-11-22T11:29:59.9Z"), "2026-11-22T11:30:00Z");
    assert_eq!(next("2026-11-22T11:30:00Z"), "2026-11-22T13:00:00Z");
    assert_eq!(last("2026-11-22T10:00:00Z"), None);
    assert_eq!(last("2026-11-22T11:30:00Z").as_deref(), Some("2026-11-22T10:00:00Z"));
    assert_eq!(last("2026-11-22T11:30:00.1Z").as_deref(), Some("2026-11-22T11:30:00Z"));
}

#[test]
fn a_single_time_fires_once_and_the_first_where_it_exists_twice() {
    let once = |text: &str, zone: &str| {
        let schedule = Timetable::parse(text, Some(zone)).unwrap();
        let all: Vec<String> =
            schedule.upcoming(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH).map(|at| at.to_string()).collect();
        let [at] = all.try_into().unwrap();
        assert_eq!(schedule.next_after(at.parse().unwrap(), Timestamp::UNIX_EPOCH), None);
        at
    };
    assert_eq!(once("at(2026-12-24T18:00:00)", "Europe/Berlin"), "2026-12-24T17:00:00Z");
    assert_eq!(once("at(2026-12-24T18:00)", "UTC"), "2026-12-24T18:00:00Z");
    assert_eq!(once("at(2026-10-25T02:30:00)", "Europe/Berlin"), "2026-10-25T00:30:00Z");
    assert_eq!(once("at(1999-12-31T23:59:59)", "America/New_York"), "2000-01-01T04:59:59Z");
}

#[test]
fn days_by_their_place_in_the_month() {
    check_days("L * *", 2026, "1/31 2/28 3/31 4/30 5/31 6/30 7/31 8/31 9/30 10/31 11/30 12/31");
    check_days("L 2 *", 2028, "2/29");
    check_days("L-2 1-3 *", 2026, "1/29 2/26 3/29");
    check_days("L-30 * *", 2026, "1/1 3/1 5/1 7/1 8/1 10/1 12/1");
    check_days("LW 1-6 *", 2026, "1/30 2/27 3/31 4/30 5/29 6/30");
    // 1 August 2026 is a Saturday, 1 November a Sunday; 15 August a Saturday, 15 November a Sunday.
    check_days("1W 8,11 *", 2026, "8/3 11/2");
    check_days("15W 8,11 *", 2026, "8/14 11/16");
    check_days("31W 1,2,5 *", 2026, "1/30 5/29");
    check_days("1,15,L 2 *", 2026, "2/1 2/15 2/28");
    check_days("*/10 1 *", 2026, "1/1 1/11 1/21 1/31");
    check_days("20/5 2 *", 2026, "2/20 2/25");
}

#[test]
fn days_by_their_name() {
    check_days("* 11 MON#2", 2026, "11/9");
    check_days("* 1-3 SUN#5,FRI#1", 2026, "1/2 2/6 3/6 3/29");
    check_days("* 2 5L", 2026, "2/27");
    check_days("* 11 FRIL", 2026, "11/27");
    check_days("? 2 SAT-SUN", 2026, "2/1 2/7 2/8 2/14 2/15 2/21 2/22 2/28");
    check_days("? 2 6-7", 2026, "2/1 2/7 2/8 2/14 2/15 2/21 2/22 2/28");
    check_days("* FEB 0", 2026, "2/1 2/8 2/15 2/22");
    check_days("* feb 7", 2026, "2/1 2/8 2/15 2/22");
    check_days("* feb Fri-Sun", 2026, "2/1 2/6 2/7 2/8 2/13 2/14 2/15 2/20 2/21 2/22 2/27 2/28");
    check_days("* 2 1", 2026, "2/2 2/9 2/16 2/23");
}

#[test]
fn of_two_restricted_days_either_fires() {
    check_days("13 2 FRI", 2026, "2/6 2/13 2/20 2/27");
    check_days("1 2 MON#1", 2026, "2/1 2/2");
    check_days("1-31/15 2 MON", 2026, "2/1 2/2 2/9 2/16 2/23");
    check_days("1-31 2 MON", 2025, &(1..=28).map(|day| format!("2/{day}")).collect::<Vec<_>>().join(" "));
    check_days("* 2 MON", 2026, "2/2 2/9 2/16 2/23");
    check_days("30 2 TUE#1", 2026, "2/3");
}

#[test]
fn leap_days_come_over_2100_and_on_a_given_day_of_the_week() {
    let row = |expected: [&str; 2]| expected.map(|day| format!("{day} 00:00 +00:00"));
    let [a, b] = row(["2096-02-29", "2104-02-29"]);
    check("0 0 29 2 *", "UTC", "2095-01-01T00:00", &[&a, &b]);
    let [a, b] = row(["2072-02-29", "2112-02-29"]);
    check("0 0 * 2 MON#5", "UTC", "2044-03-01T00:00", &[&a, &b]);
    check("0 0 1 1 *", "Asia/Tokyo", "2026-12-31T23:59", &["2027-01-01 00:00 +09:00", "2028-01-01 00:00 +09:00"]);
    check("59 23 31 12 *", "UTC", "2026-12-31T23:58", &["2026-12-31 23:59 +00:00", "2027-12-31 23:59 +00:00"]);
}

#[test]
fn what_falls_into_each_gap_has_no_next_and_the_end_of_time_is_no_panic() {
    let schedule = Timetable::parse("30 2 * 3 SUNL", Some("Europe/Berlin")).unwrap();
    let now = "2026-11-22T00:00:00Z".parse().unwrap();
    assert_eq!(schedule.next_after(now, now), None);
    // In 1980 summer began on another day, which is longer ago than is looked for.
    assert_eq!(schedule.last_before(now, now), None);
    for text in ["* * * * *", "0 0 29 2 *", "rate(366 days)", "at(2026-01-01T00:00:00)"] {
        for zone in ["UTC", "Europe/Berlin", "Pacific/Apia"] {
            let schedule = Timetable::parse(text, Some(zone)).unwrap();
            for edge in [Timestamp::MIN, Timestamp::MAX] {
                let (next, last) = (schedule.next_after(edge, edge), schedule.last_before(edge, edge));
                assert!(next.is_none_or(|at| at > edge) && last.is_none_or(|at| at < edge), "{text} {zone}");
            }
        }
    }
}
