//! Secrets that rotate: for a day after, the one before is still good.

use jiff::{SignedDuration, Timestamp};

use crate::limits;

/// Whether the secret before the last rotation is good at `now`. A clock that is behind the one that rotated shuts nobody out.
pub(crate) fn overlaps(rotated_at: Option<Timestamp>, now: Timestamp) -> bool {
    let overlap = SignedDuration::from_secs(limits::SECRET_OVERLAP_SECONDS);
    rotated_at.is_some_and(|rotated| now.duration_since(rotated) < overlap)
}

/// The numbers of the secrets that are good at `now`, the newest first. They count from 1.
pub(crate) fn generations(newest: u32, rotated_at: Option<Timestamp>, now: Timestamp) -> impl Iterator<Item = u32> {
    let before = newest.checked_sub(1).filter(|before| *before > 0 && overlaps(rotated_at, now));
    std::iter::once(newest).chain(before)
}
