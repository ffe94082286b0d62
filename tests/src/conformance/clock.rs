//! What every implementation of the port `Clock` must do.

use std::collections::HashSet;

use ozma_app::ports::Clock;

/// Whole milliseconds, and chance that does not repeat.
pub fn clock_conforms(clock: &dyn Clock) {
    let times: Vec<_> = (0..1000).map(|_| clock.now()).collect();
    assert!(times.iter().all(|time| time.subsec_nanosecond() % 1_000_000 == 0), "whole milliseconds");
    let drawn: HashSet<_> = (0..1000).map(|_| clock.random()).collect();
    assert_eq!(drawn.len(), 1000, "256 random bits do not come twice");
    for byte in 0..32 {
        assert!(drawn.iter().any(|random| random[byte] != 0), "byte {byte} is random too");
    }
}
