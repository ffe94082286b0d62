//! The texts that are read, how they are spelled again, and what is said of those that are not.

use super::*;

/// What is read, as it is spelled again.
#[track_caller]
fn reads(text: &str, expected: &str) {
    let schedule = Timetable::parse(text, None).unwrap();
    assert_eq!(schedule.to_string(), expected);
    assert_eq!(Timetable::parse(expected, None).unwrap(), schedule, "{text}");
}

/// What the refusal of a text contains.
#[track_caller]
fn refuses(text: &str, expected: &str) {
    let err = Timetable::parse(text, Some("Europe/Berlin")).expect_err(text);
    assert!(err.field == "cron_schedule" && err.reason.contains(expected), "{text}: {err}");
    assert!(!err.reason.ends_with('.'), "{err}");
}

#[track_caller]
fn refuses_zone(name: &str, expected: &str) {
    let err = Timetable::parse("@daily", Some(name)).expect_err(name);
    assert!(err.field == "timezone" && err.reason.contains(expected), "{name}: {err}");
}

#[test]
fn one_meaning_has_one_spelling() {
    reads("0 9 * * MON-FRI", "0 9 * * MON-FRI");
    reads("  0\t9  *  *  1-5 ", "0 9 * * MON-FRI");
    reads("cron(0 9 ? * mon-fri)", "0 9 * * MON-FRI");
    reads("CRON( 00 09 * * Mon,Tue,Wed,Thu,Fri )", "0 9 * * MON-FRI");
    reads("*/15 * * * *", "*/15 * * * *");
    reads("0,15,30,45 0-23 * * *", "*/15 * * * *");
    reads("0/15 */1 */1 * ?", "*/15 * * * *");
    reads("5/15 9-17/2 * * *", "5-59/15 9,11,13,15,17 * * *");
    reads("0,30 1,2,3,5 * JAN,feb,DEC *", "0,30 1-3,5 * 1,2,12 *");
    reads("0 0 */2 * *", "0 0 1-31/2 * *");
    reads("0 0 1-31 * 0-7", "0 0 1-31 * SUN-SAT");
    reads("0 0 L,3,LW,15w,1W,L-3 * *", "0 0 3,1W,15W,L,L-3,LW * *");
    reads("0 0 * * 5L,7#1,mon#2,0", "0 0 * * SUN,SUN#1,MON#2,FRIL");
    reads("0 0 * * 5-7", "0 0 * * SUN,FRI,SAT");
    reads("0 0 * * FRI-SUN", "0 0 * * SUN,FRI,SAT");
    reads("0 0 * * */2", "0 0 * * SUN,TUE,THU,SAT");

    reads("@hourly", "0 * * * *");
    reads("@Daily", "0 0 * * *");
    reads("@midnight", "0 0 * * *");
    reads("@weekly", "0 0 * * SUN");
    reads("@monthly", "0 0 1 * *");
    reads("@yearly", "0 0 1 1 *");
    reads("@annually", "0 0 1 1 *");

    reads("rate(5 minutes)", "rate(5 minutes)");
    reads("rate(1 minutes)", "rate(1 minute)");
    reads("Rate( 60  Minute )", "rate(1 hour)");
    reads("rate(48 hours)", "rate(2 days)");
    reads("rate(366 days)", "rate(366 days)");
    reads("@every 90m", "rate(90 minutes)");
    reads("@every  1h30m0s", "rate(90 minutes)");
    reads("@EVERY 120S", "rate(2 minutes)");
    reads("@every 1d", "rate(1 day)");

    reads("at(2026-12-24T18:00:00)", "at(2026-12-24T18:00:00)");
    reads("AT( 2026-12-24t18:00 )", "at(2026-12-24T18:00:00)");
}

#[test]
fn what_has_no_meaning_or_two_is_refused_with_what_to_write() {
    refuses("", "needed");
    refuses(" ", "needed");
    refuses("every day", "has 2 fields, needs 5");
    refuses("* * * *", "rate(5 minutes)");
    refuses("cron()", "has 0 fields");
    refuses("0 0 9 * * *", "leave out seconds in front and AWS's year");
    refuses("cron(0 9 ? * 2-6 *)", "which AWS counts from 1 for Sunday");
    refuses("0 9 * * * 2026 x y", "has 8 fields");
    refuses("0 9 * * ä", "visible ASCII");
    refuses("0 9 * *\n*", "visible ASCII");
    refuses(&"*".repeat(1025), "at most 1024");

    refuses("60 * * * *", "minute: \"60\" is not a number from 0 to 59");
    refuses("* 24 * * *", "hour: \"24\" is not a number from 0 to 23");
    refuses("* * 0 * *", "day of month: \"0\"");
    refuses("* * 32 * *", "from 1 to 31");
    refuses("* * * 13 *", "month: \"13\" is not a number from 1 to 12 or JAN to DEC");
    refuses("* * * * 8", "day of week: \"8\" is not a number from 0 to 7 or SUN to SAT");
    refuses("* * * * MONDAY", "\"MONDAY\"");
    refuses("* * * MON *", "month: \"MON\"");
    refuses("-1 * * * *", "\"\" is not");
    refuses("+1 * * * *", "\"+1\" is not");
    refuses("001 * * * *", "\"001\" is not");
    refuses("1, * * * *", "\"\" is not");
    refuses("1--2 * * * *", "is not");
    refuses("*,5 * * * *", "stands alone");
    refuses("? * * * *", "stands alone");
    refuses("* * *,5 * *", "stands alone");
    refuses("30-10 * * * *", "\"30-10\" ends before it begins");
    refuses("* * * * SAT-MON", "ends before it begins");
    refuses("* * * * 7-2", "ends before it begins");
    refuses("*/0 * * * *", "the step \"0\" is not a number from 1");
    refuses("*/x * * * *", "the step \"X\"");
    refuses("*/5/5 * * * *", "the step \"5/5\"");
    refuses("*/90 * * * *", "leaves 0 alone; for what does not fit the field, write a rate such as rate(90 minutes)");
    refuses("*/60 * * * *", "leaves 0 alone");
    refuses("10-20/15 * * * *", "leaves 10 alone");
    refuses("55/10 * * * *", "leaves 55 alone");

    refuses("0 0 W * *", "day of month: \"\"");
    refuses("0 0 32W * *", "day of month: \"32\"");
    refuses("0 0 1-5W * *", "day of month: \"1-5\"");
    refuses("0 0 L-0 * *", "L-1 to L-30");
    refuses("0 0 L-31 * *", "L-1 to L-30");
    refuses("0 0 5L * *", "day of month: \"5L\"");
    refuses("0 0 * * L", "FRIL is the last Friday");
    refuses("0 0 * * MON#6", "1 to 5");
    refuses("0 0 * * MON#0", "1 to 5");
    refuses("0 0 * * #2", "day of week: \"\"");
    refuses("0 0 * * 15W", "day of week: \"15W\"");
    refuses("0 0 */2 * MON", "write 1-31 for the *");
    refuses("0 0 1 * 1,*/2", "write 0-6 for the *");

    refuses("0 0 30 2 *", "never fires");
    refuses("0 0 31 4,6 *", "never fires");
    refuses("0 0 31W 2,9 *", "never fires");
    refuses("0 0 L-29 2 *", "never fires");

    refuses("@reboot", "is not @hourly");
    refuses("@daily 5", "is not @hourly");
    refuses("@everyday", "is not @hourly");
    refuses("@every", "such as @every 90m");
    refuses("@every 90", "such as @every 90m");
    refuses("@every m", "such as @every 90m");
    refuses("@every 1.5h", "such as @every 90m");
    refuses("@every 90s", "whole minutes");
    refuses("@every 30s", "at least 1 minute");
    refuses("@every 99999999999999999999d", "such as @every 90m");
    refuses("@every 9999999999999999999d", "at most 366 days");
    refuses("rate(0 minutes)", "at least 1 minute");
    refuses("rate(5)", "such as rate(5 minutes)");
    refuses("rate(-5 minutes)", "\"-5\" is not a whole number");
    refuses("rate(5 weeks)", "\"weeks\" is not minutes, hours or days");
    refuses("rate(30 seconds)", "\"seconds\" is not minutes");
    refuses("rate(367 days)", "at most 366 days");
    refuses("rate(5 minutes", "has 2 fields");

    refuses("at(2026-02-29T00:00:00)", "is not a date and time from 1970 on, such as at(2026-12-24T18:00:00)");
    refuses("at(2026-12-24)", "such as at(2026-12-24T18:00:00)");
    refuses("at(2026-12-24 18:00:00)", "such as at(2026-12-24T18:00:00)");
    refuses("at(2026-12-24T18:00:60)", "such as");
    refuses("at(2026-12-24T18:00:00.5)", "such as");
    refuses("at(2026-12-24T18:00:00Z)", "its zone is the field timezone");
    refuses("at(2026-12-24T18:00:00+01:00)", "its zone is the field timezone");
    refuses("at(0026-12-24T18:00:00)", "such as");
    refuses(
        "at(2026-03-29T02:30:00)",
        "2026-03-29T02:30:00 does not exist in Europe/Berlin, where clocks go forward over it; write a time that does, \
         such as 2026-03-29T01:59:59 or 2026-03-29T03:00:00",
    );
    refuses("at(2026-03-29T02:00:00)", "such as 2026-03-29T01:59:59 or 2026-03-29T03:00:00");
    refuses("at(2026-03-29T02:59:59)", "such as 2026-03-29T01:59:59 or 2026-03-29T03:00:00");
}

#[test]
fn zones_are_found_in_any_case_and_those_that_were_meant_are_named() {
    let zone = |name| Timetable::parse("@daily", name).unwrap().timezone().to_owned();
    assert_eq!(zone(None), "UTC");
    assert_eq!(zone(Some("utc")), "UTC");
    assert_eq!(zone(Some("europe/berlin")), "Europe/Berlin");
    assert_eq!(zone(Some("US/Eastern")), "US/Eastern");
    refuses_zone("", "1 to 64");
    refuses_zone("Etc/Unknown", "is not a time zone");
    refuses_zone(&"x".repeat(65), "1 to 64");
    refuses_zone("Europe/Berlin\n", "1 to 64");
    refuses_zone("+02:00", "is not a time zone");
    refuses_zone("Mars/Olympus", "is not a time zone; write an IANA name such as Europe/Berlin, or UTC");
    refuses_zone("Berlin", "close to it: Europe/Berlin");
    refuses_zone("Europe/Belrin", "close to it: Europe/Berlin");
    refuses_zone("new york", "close to it: America/New_York");
    refuses_zone("America/NewYork", "close to it: America/New_York");
    refuses_zone("../../etc/passwd", "is not a time zone");
    let err = Timetable::parse("@daily", Some("GMT+2")).unwrap_err();
    assert!(!err.reason.contains("Etc/"), "{err}");
}

#[test]
fn each_zone_of_the_database_has_a_next_and_a_last() {
    let now: Timestamp = "2026-11-22T10:00:30Z".parse().unwrap();
    let mut count = 0;
    for name in jiff::tz::TimeZoneDatabase::bundled().available() {
        let Ok(schedule) = Timetable::parse("* * * * *", Some(name.as_str())) else {
            assert_eq!(name.as_str(), "Etc/Unknown");
            continue;
        };
        let (last, next) = (schedule.last_before(now, now).unwrap(), schedule.next_after(now, now).unwrap());
        assert!(last < now && now < next && next.duration_since(last).as_mins() == 1, "{name}");
        assert!(name.as_str().len() <= limits::TIMEZONE_BYTES);
        count += 1;
    }
    assert!(count > 400, "{count}");
}

#[test]
fn it_is_stored_as_its_two_fields() {
    let schedule = Timetable::parse("@daily", Some("europe/berlin")).unwrap();
    let stored = serde_json::to_value(&schedule).unwrap();
    assert_eq!(stored, serde_json::json!({"cron_schedule": "0 0 * * *", "timezone": "Europe/Berlin"}));
    assert_eq!(serde_json::from_value::<Timetable>(stored).unwrap(), schedule);
    let read = |text: &str| serde_json::from_str::<Timetable>(text).map_err(|err| err.to_string());
    assert_eq!(read(r#"{"cron_schedule": "@daily"}"#).unwrap().timezone(), "UTC");
    assert!(read(r#"{"cron_schedule": "* *"}"#).unwrap_err().starts_with("cron_schedule: has 2 fields"));
    // A zone that leaves the time out since it was stored: it fires as much later.
    let moved = read(r#"{"cron_schedule": "at(2026-03-29T02:30:00)", "timezone": "Europe/Berlin"}"#).unwrap();
    let next = moved.next_after(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(next.to_string(), "2026-03-29T01:30:00Z");
}
