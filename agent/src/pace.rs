//! When the next segment is due.

use std::time::Duration;

use ozma_domain::limits::{FLUSH_UNWATCHED_SECONDS, FLUSH_WATCHED_SECONDS};

/// While somebody watches, the first flushes follow each other this fast: a person wants to see life.
const EAGER: Duration = Duration::from_millis(250);
const EAGER_FLUSHES: usize = 6;

/// What came after a silence is batched for this long.
const BATCH: Duration = Duration::from_millis(150);

/// All times count from the claim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) heartbeat: Duration,
    pub(crate) sent_at: Duration,
    pub(crate) segments: usize,
}

impl Pace {
    pub(crate) fn due(&self, watched: bool, waiting_since: Option<Duration>) -> Duration {
        let heartbeat = self.sent_at + self.heartbeat;
        let Some(since) = waiting_since else { return heartbeat };
        let flush = if watched {
            let gap = if self.segments < EAGER_FLUSHES { EAGER } else { Duration::from_secs(FLUSH_WATCHED_SECONDS) };
            (self.sent_at + gap).max(since + BATCH)
        } else {
            let step = self.segments.min(FLUSH_UNWATCHED_SECONDS.len() - 1);
            self.sent_at + Duration::from_secs(FLUSH_UNWATCHED_SECONDS[step])
        };
        flush.min(heartbeat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sent_at_ms: u64, segments: usize, watched: bool, waiting_since_ms: Option<u64>, expected_ms: u64) {
        let pace = Pace { heartbeat: Duration::from_secs(15), sent_at: Duration::from_millis(sent_at_ms), segments };
        let due = pace.due(watched, waiting_since_ms.map(Duration::from_millis));
        assert_eq!(due, Duration::from_millis(expected_ms));
    }

    #[test]
    fn a_watched_run_shows_soon_and_an_unwatched_one_costs_little() {
        check(0, 0, true, Some(0), 250);
        check(250, 1, true, Some(300), 500);
        check(10_000, 20, true, Some(10_100), 12_000);
        check(10_000, 20, true, Some(14_000), 14_150);
        check(0, 0, false, Some(100), 5_000);
        check(5_000, 1, false, Some(6_000), 15_000);
        check(15_000, 2, false, Some(16_000), 30_000);
        check(7_000, 3, true, None, 22_000);
        check(7_000, 3, false, None, 22_000);
    }
}
