//! The simulation in small; `oz-sim` lives many more histories.

use ozma_tests::sim::{History, Mutant, Options, simulate};

fn live(seed: u64, faults: bool, mutant: Option<Mutant>) -> History {
    simulate(Options { seed, faults, mutant, trace: false })
}

#[track_caller]
fn check_lawful(seeds: std::ops::Range<u64>, faults: bool) {
    let mut sum = History::default();
    for seed in seeds {
        let history = live(seed, faults, None);
        assert_eq!(history.violations, [], "seed {seed}");
        sum.add(&history);
    }
    assert!(sum.runs > 50 && sum.checks > sum.runs, "{} runs, {} checks", sum.runs, sum.checks);
    assert_eq!(sum.faults.is_empty(), !faults);
}

#[test]
fn whatever_goes_wrong_the_laws_hold() {
    check_lawful(1..9, true);
}

#[test]
fn where_nothing_goes_wrong_the_sweep_has_nothing_to_do() {
    check_lawful(1..7, false);
}

#[test]
fn a_seed_is_a_history() {
    let story = |seed| simulate(Options { seed, faults: true, mutant: None, trace: true }).story;
    let first = story(3);
    assert!(first.len() > 100);
    assert_eq!(first, story(3));
    assert_ne!(first, story(4));
}

/// Lives histories of a broken product until a law catches it, from a seed on that shows it soon: `oz-sim --mutant` finds one.
#[track_caller]
fn check_caught(mutant: Mutant, seed: u64) {
    let faults = mutant.needs_faults();
    let broken =
        (seed..seed + 200).map(|seed| live(seed, faults, Some(mutant))).find(|history| !history.violations.is_empty());
    let broken = broken.unwrap_or_else(|| panic!("{mutant:?} is not caught"));
    let law = broken.violations[0].law;
    assert!(mutant.caught_by().contains(&law), "{mutant:?} is caught by {law:?}: {}", broken.violations[0].what);
}

macro_rules! mutants {
    ($($name:ident: $mutant:ident $seed:literal,)*) => {
        $(
            #[test]
            fn $name() {
                check_caught(Mutant::$mutant, $seed);
            }
        )*

        #[test]
        fn every_mutant_has_its_test() {
            assert_eq!([$(Mutant::$mutant),*], Mutant::ALL);
        }
    };
}

mutants! {
    accept_forgets_the_queue: AcceptForgetsTheQueue 1,
    slots_are_not_conditional: SlotsAreNotConditional 11,
    ends_keep_their_slots: EndsKeepTheirSlots 1,
    runs_are_not_conditional: RunsAreNotConditional 5,
    nothing_is_owed: NothingIsOwed 1,
    launches_are_not_idempotent: LaunchesAreNotIdempotent 20,
    segments_are_swallowed: SegmentsAreSwallowed 1,
    ticks_are_not_sent: TicksAreNotSent 1,
    keys_are_forgotten: KeysAreForgotten 1,
    nobody_sweeps: NobodySweeps 1,
    keys_are_not_exclusive: KeysAreNotExclusive 365,
    turns_are_not_taken: TurnsAreNotTaken 6,
    alarms_are_not_set: AlarmsAreNotSet 1,
}
