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

/// Lives histories of a broken product until a law catches it.
#[track_caller]
fn check_caught(mutant: Mutant) {
    let faults = mutant.needs_faults();
    let broken = (1..200).map(|seed| live(seed, faults, Some(mutant))).find(|history| !history.violations.is_empty());
    let broken = broken.unwrap_or_else(|| panic!("{mutant:?} is not caught"));
    let law = broken.violations[0].law;
    assert!(mutant.caught_by().contains(&law), "{mutant:?} is caught by {law:?}: {}", broken.violations[0].what);
}

macro_rules! mutants {
    ($($name:ident: $mutant:ident,)*) => {
        $(
            #[test]
            fn $name() {
                check_caught(Mutant::$mutant);
            }
        )*

        #[test]
        fn every_mutant_has_its_test() {
            assert_eq!([$(Mutant::$mutant),*], Mutant::ALL);
        }
    };
}

mutants! {
    accept_forgets_the_queue: AcceptForgetsTheQueue,
    slots_are_not_conditional: SlotsAreNotConditional,
    ends_keep_their_slots: EndsKeepTheirSlots,
    runs_are_not_conditional: RunsAreNotConditional,
    nothing_is_owed: NothingIsOwed,
    launches_are_not_idempotent: LaunchesAreNotIdempotent,
    segments_are_swallowed: SegmentsAreSwallowed,
    ticks_are_not_sent: TicksAreNotSent,
    keys_are_forgotten: KeysAreForgotten,
    nobody_sweeps: NobodySweeps,
    keys_are_not_exclusive: KeysAreNotExclusive,
    turns_are_not_taken: TurnsAreNotTaken,
    alarms_are_not_set: AlarmsAreNotSet,
}
