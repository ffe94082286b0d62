//! Looking at a schedule: each planned time is decided on once, whenever somebody looks.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::schedule::Overlap;

const TOLERANCE: SignedDuration = SignedDuration::from_secs(limits::SCHEDULE_TOLERANCE_SECONDS);

fn at(text: &str) -> Timestamp {
    format!("2026-11-22T{text}Z").parse().unwrap()
}

fn told(decision: &Decision) -> String {
    let time = |at: &Timestamp| at.strftime("%H:%M").to_string();
    let fire: Vec<String> = decision.fire.iter().map(time).collect();
    let skipped = decision.skipped.map_or_else(String::new, |skipped| {
        format!(" skip {} {}-{}", skipped.count, time(&skipped.first), time(&skipped.last))
    });
    let next = decision.next_look.as_ref().map_or_else(|| "never".to_owned(), time);
    format!("{}{skipped} next {next}", fire.join(" "))
}

/// Hourly from 06:30; the last decided was `last`.
#[track_caller]
fn check(policies: &Policies, last: Option<&str>, now: &str, expected: &str) {
    let schedule = Timetable::parse("@hourly", None).unwrap();
    let look = Look { anchor: at("06:30:00"), last_planned: last.map(at), now: at(now), tolerance: TOLERANCE };
    let decision = schedule.decide(policies, &look);
    assert_eq!(told(&decision), expected);
    let newest = decision.fire.last().copied().or(decision.skipped.map(|skipped| skipped.last)).or(look.last_planned);
    assert_eq!(decision.last_planned, newest);
}

fn missed(missed: Missed) -> Policies {
    Policies { missed, ..Policies::default() }
}

#[test]
fn what_is_on_time_fires_and_what_was_missed_goes_by_the_policy() {
    let [skip, latest, two] = [Missed::Skip, Missed::Latest, Missed::All(2)].map(missed);
    for policies in [&skip, &latest, &two] {
        check(policies, None, "06:30:00", " next 07:00");
        check(policies, None, "06:59:59", " next 07:00");
        check(policies, None, "07:00:00", "07:00 next 08:00");
        check(policies, None, "07:05:00", "07:00 next 08:00");
        check(policies, Some("07:00:00"), "07:05:00", " next 08:00");
        // A clock that went back.
        check(policies, Some("07:00:00"), "06:59:50", " next 08:00");
    }
    check(&skip, None, "07:05:01", " skip 1 07:00-07:00 next 08:00");
    check(&latest, None, "07:05:01", "07:00 next 08:00");
    check(&skip, Some("07:00:00"), "11:30:00", " skip 4 08:00-11:00 next 12:00");
    check(&latest, Some("07:00:00"), "11:30:00", "11:00 skip 3 08:00-10:00 next 12:00");
    check(&two, Some("07:00:00"), "11:30:00", "10:00 11:00 skip 2 08:00-09:00 next 12:00");
    check(&two, Some("09:00:00"), "11:30:00", "10:00 11:00 next 12:00");
    // What is on time fires beside what was missed.
    check(&skip, Some("07:00:00"), "11:02:00", "11:00 skip 3 08:00-10:00 next 12:00");
    check(&latest, Some("07:00:00"), "11:02:00", "10:00 11:00 skip 2 08:00-09:00 next 12:00");
}

#[test]
fn nothing_is_planned_before_the_start_or_from_the_end_on() {
    let dates = |starts: Option<&str>, ends: Option<&str>| Policies {
        starts_at: starts.map(at),
        ends_at: ends.map(at),
        missed: Missed::All(9),
        ..Policies::default()
    };
    check(&dates(Some("08:00:00"), None), None, "07:30:00", " next 08:00");
    check(&dates(Some("08:00:00"), None), None, "09:30:00", "08:00 09:00 next 10:00");
    check(&dates(Some("05:00:00"), None), None, "07:00:00", "07:00 next 08:00");
    // A start that was set later than what has been decided.
    check(&dates(Some("09:00:00"), None), Some("07:00:00"), "10:30:00", "09:00 10:00 next 11:00");
    check(&dates(None, Some("09:00:00")), None, "08:00:00", "07:00 08:00 next never");
    check(&dates(None, Some("09:00:01")), None, "08:00:00", "07:00 08:00 next 09:00");
    check(&dates(None, Some("09:00:00")), None, "12:00:00", "07:00 08:00 next never");
    check(&dates(None, Some("06:00:00")), None, "12:00:00", " next never");

    // A rate counts from the start, which is its first time.
    let rate = Timetable::parse("rate(50 minutes)", None).unwrap();
    let look = Look { anchor: at("06:30:00"), last_planned: None, now: at("09:00:00"), tolerance: TOLERANCE };
    assert_eq!(told(&rate.decide(&dates(Some("08:00:00"), None), &look)), "08:00 08:50 next 09:40");
    assert_eq!(told(&rate.decide(&dates(None, None), &look)), "07:20 08:10 09:00 next 09:50");

    let once = Timetable::parse("at(2026-11-22T07:00:00)", None).unwrap();
    assert_eq!(told(&once.decide(&dates(None, None), &look)), "07:00 next never");
}

#[test]
fn a_long_outage_is_counted_up_to_a_limit_and_a_long_list_comes_in_parts() {
    let schedule = Timetable::parse("* * * * *", None).unwrap();
    let anchor = at("00:00:00");
    let late = |days: i64, tolerance, policies: &Policies| {
        let now = anchor + SignedDuration::from_hours(days * 24);
        schedule.decide(policies, &Look { anchor, last_planned: None, now, tolerance })
    };
    let decision = late(40_000, TOLERANCE, &missed(Missed::Latest));
    let skipped = decision.skipped.unwrap();
    assert_eq!((skipped.count, decision.fire.len()), (limits::SCHEDULE_COUNTED, 7));
    assert_eq!(skipped.last, decision.fire[0] - SignedDuration::from_mins(1));

    let now = anchor + SignedDuration::from_hours(24);
    let decision = late(1, SignedDuration::from_hours(3), &missed(Missed::All(50)));
    assert_eq!((decision.fire.len(), decision.next_look), (limits::SCHEDULE_FIRES, Some(now)));
    assert_eq!(decision.skipped.unwrap().count, 24 * 60 - 181 - 50);
    let look = Look { anchor, last_planned: decision.last_planned, now, tolerance: SignedDuration::from_hours(3) };
    let rest = schedule.decide(&missed(Missed::All(50)), &look);
    assert_eq!(
        (rest.fire.len(), rest.skipped, rest.last_planned),
        (100, None, Some(now - SignedDuration::from_mins(31)))
    );

    for tolerance in [SignedDuration::MIN, SignedDuration::ZERO] {
        assert_eq!(late(1, tolerance, &missed(Missed::Skip)).fire, [now]);
    }
    assert_eq!(late(1, SignedDuration::MAX, &missed(Missed::Skip)).fire.len(), limits::SCHEDULE_FIRES);
}

#[test]
fn policies_that_cannot_be_are_refused_by_field() {
    #[track_caller]
    fn check(policies: &Policies, expected: &str) {
        assert_eq!(policies.check().map_or_else(|err| err.field, |()| "ok".to_owned()), expected);
    }
    let none = Policies::default;
    let dates = |starts, ends| Policies { starts_at: Some(at(starts)), ends_at: Some(at(ends)), ..none() };
    check(&none(), "ok");
    check(&missed(Missed::All(0)), "missed");
    check(&missed(Missed::All(limits::SCHEDULE_MISSED)), "ok");
    check(&missed(Missed::All(limits::SCHEDULE_MISSED + 1)), "missed");
    check(&Policies { jitter_seconds: 3600, ..none() }, "ok");
    check(&Policies { jitter_seconds: 3601, ..none() }, "jitter_seconds");
    check(&dates("07:00:00", "07:00:01"), "ok");
    check(&dates("07:00:00", "07:00:00"), "ends_at");
    check(&dates("07:00:00.5", "08:00:00"), "starts_at");
    check(&dates("07:00:00", "08:00:00.5"), "ends_at");
}

#[test]
fn policies_are_stored_by_their_names() {
    let stored = serde_json::json!({
        "missed": {"all": 3}, "overlap": "supersede", "jitter_seconds": 30, "ends_at": "2026-11-22T08:00:00Z",
    });
    let policies = Policies {
        missed: Missed::All(3),
        overlap: Overlap::Supersede,
        jitter_seconds: 30,
        starts_at: None,
        ends_at: Some(at("08:00:00")),
    };
    assert_eq!(serde_json::to_value(&policies).unwrap(), stored);
    assert_eq!(serde_json::from_value::<Policies>(stored).unwrap(), policies);
    assert_eq!(serde_json::from_str::<Policies>(r#"{"missed": "skip"}"#).unwrap(), missed(Missed::Skip));
    assert_eq!(serde_json::from_str::<Policies>("{}").unwrap(), Policies::default());
}

#[test]
fn starts_are_spread_over_all_of_the_jitter() {
    let policies = Policies { jitter_seconds: 9, ..Policies::default() };
    let jitter = |id: u32| policies.start(id, at("07:00:00")).duration_since(at("07:00:00")).as_secs();
    assert_eq!((0..200).map(jitter).collect::<BTreeSet<_>>(), (0..=9).collect());
    // Fixed: a repetition by the next version must come to the same.
    assert_eq!(policies.start("a", at("07:00:00")), at("07:00:09"));
}

fn any_missed() -> impl Strategy<Value = Missed> {
    prop_oneof![Just(Missed::Skip), Just(Missed::Latest), (1..=limits::SCHEDULE_MISSED).prop_map(Missed::All)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_planned_time_is_decided_once_however_one_looks(
        text in prop::sample::select(&["* * * * *", "*/7 * * * *", "0 * * * *", "30 2,3 * * *", "rate(11 minutes)", "at(2026-10-25T02:30:00)"]),
        missed in any_missed(),
        tolerance in prop::sample::select(&[0_i64, 300, 20_000]),
        starts in prop::option::of(-3000..40_000_i64),
        ends in prop::option::of(-3000..90_000_i64),
        // Mostly forward, from seconds to an outage of hours, and sometimes back by seconds.
        steps in vec(prop_oneof![4 => 0..400_i64, 2 => 0..30_000_i64, 1 => -20..0_i64], 1..30),
    ) {
        let schedule = Timetable::parse(text, Some("Europe/Berlin")).unwrap();
        // The day before clocks go back.
        let anchor: Timestamp = "2026-10-24T20:00:07Z".parse().unwrap();
        let after = |seconds| anchor + SignedDuration::from_secs(seconds);
        let policies = Policies { missed, starts_at: starts.map(after), ends_at: ends.map(after), ..Policies::default() };
        let tolerance = SignedDuration::from_secs(tolerance);

        let within = |at: &Timestamp| {
            *at > anchor
                && policies.starts_at.is_none_or(|starts| *at >= starts)
                && policies.ends_at.is_none_or(|ends| *at < ends)
        };
        let end = after(steps.iter().filter(|step| **step > 0).sum());
        let rate_anchor = policies.starts_at.unwrap_or(anchor);
        let all: Vec<Timestamp> =
            schedule.upcoming(after(-4000), rate_anchor).take_while(|at| *at <= end).filter(within).collect();
        let up_to = |now: Timestamp| &all[..all.partition_point(|at| *at <= now)];

        let mut decided = BTreeSet::new();
        let (mut now, mut newest, mut last_planned) = (anchor, anchor, None);
        for step in steps {
            now += SignedDuration::from_secs(step);
            // Until all of it is decided, as who looks at once again.
            for part in 0.. {
                let look = Look { anchor, last_planned, now, tolerance };
                let decision = schedule.decide(&policies, &look);
                let planned = up_to(now);
                let open: Vec<Timestamp> = planned.iter().copied().filter(|at| !decided.contains(at)).collect();
                let late: Vec<Timestamp> = open.iter().copied().filter(|at| now.duration_since(*at) > tolerance).collect();
                let fired_late: Vec<Timestamp> = decision.fire.iter().copied().filter(|at| late.contains(at)).collect();

                prop_assert!(decision.fire.len() <= limits::SCHEDULE_FIRES);
                prop_assert!(decision.fire.iter().all(|at| *at <= now), "none before its time");
                prop_assert!(decision.fire.is_sorted());
                let most = match missed { Missed::Skip => 0, Missed::Latest => 1, Missed::All(most) => usize::from(most) };
                prop_assert_eq!(&fired_late, &late[late.len().saturating_sub(most)..], "the newest that were missed");

                let skipped: Vec<Timestamp> = decision.skipped.map_or_else(Vec::new, |skipped| {
                    open.iter().copied().filter(|at| (skipped.first..=skipped.last).contains(at)).collect()
                });
                prop_assert_eq!(decision.skipped.map_or(0, |skipped| skipped.count as usize), skipped.len());
                prop_assert!(skipped.iter().all(|at| late.contains(at)), "only what was missed is skipped");
                for at in skipped.into_iter().chain(decision.fire.iter().copied()) {
                    prop_assert!(planned.contains(&at), "{at} is planned");
                    prop_assert!(decided.insert(at), "{at} is decided once");
                }
                last_planned = decision.last_planned;
                if decision.next_look != Some(now) {
                    prop_assert!(decision.next_look.is_none_or(|next| next > now));
                    let next = schedule.planned(&policies, anchor, now.max(newest)).next();
                    prop_assert_eq!(decision.next_look, next);
                    break;
                }
                prop_assert!(part < 20 && decision.fire.len() == limits::SCHEDULE_FIRES);
            }
            newest = newest.max(now);
        }
        prop_assert_eq!(&decided.into_iter().collect::<Vec<_>>(), up_to(newest), "each is decided");
    }

    #[test]
    fn jitter_keeps_its_bounds_and_is_the_same_again(
        seconds in 0..=limits::SCHEDULE_JITTER_SECONDS, id in "[a-z0-9]{1,22}", planned in -4_000_000_000..4_000_000_000_i64,
    ) {
        let policies = Policies { jitter_seconds: seconds, ..Policies::default() };
        let planned = Timestamp::from_second(planned).unwrap();
        let start = policies.start(&id, planned);
        let jitter = start.duration_since(planned);
        prop_assert!(!jitter.is_negative() && jitter <= SignedDuration::from_secs(seconds.into()));
        prop_assert_eq!(policies.start(id, planned), start);
    }
}
