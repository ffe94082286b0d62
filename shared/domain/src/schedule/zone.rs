//! Time zones: their names, and what clocks in them show.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use crate::limits;
use crate::text::distance;

/// Longer than any zone has set its clocks back: by a day, where the date line moved.
const LONGEST_REPETITION: SignedDuration = SignedDuration::from_hours(25);
const NANOSECOND: SignedDuration = SignedDuration::from_nanos(1);

/// Looked up in the database that is compiled in, not in the machine's, and whatever its case.
pub(super) fn named(name: &str) -> Result<TimeZone, String> {
    const FORM: &str = "write an IANA name such as Europe/Berlin, or UTC";
    if name.is_empty()
        || name.len() > limits::TIMEZONE_BYTES
        || !name.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
    {
        return Err(format!("1 to {} visible characters: {FORM}", limits::TIMEZONE_BYTES));
    }
    // `Etc/Unknown` is jiff's word for none.
    if let Ok(zone) = TimeZoneDatabase::bundled().get(name)
        && zone.iana_name().is_some()
        && !zone.is_unknown()
    {
        return Ok(zone);
    }
    let close = close_to(name).join(", ");
    let close = if close.is_empty() { close } else { format!("; close to it: {close}") };
    Err(format!("\"{name}\" is not a time zone; {FORM}{close}"))
}

/// Names that may have been meant, the likeliest first. `Berlin` and `Europe/Belrin` find Europe/Berlin.
fn close_to(name: &str) -> Vec<String> {
    let wanted = name.to_ascii_lowercase().replace(' ', "_");
    let allowed = (wanted.len() / 4).min(3);
    let mut found = Vec::new();
    for known in TimeZoneDatabase::bundled().available() {
        let known = known.as_str();
        let lower = known.to_ascii_lowercase();
        let city = lower.rsplit_once('/').map_or(lower.as_str(), |(_, city)| city);
        // `GMT+2` of Etc is what others call UTC-2.
        if lower.starts_with("etc/") {
            continue;
        }
        let near = |name: &str| distance(&wanted, name, allowed).unwrap_or(usize::MAX);
        let away = if city == wanted { 0 } else { near(&lower).min(near(city).saturating_add(1)) };
        if away <= allowed {
            found.push((away, known.to_owned()));
        }
    }
    found.sort();
    found.into_iter().map(|(_, known)| known).take(3).collect()
}

/// The latest wall time that clocks have shown up to `at`. Every earlier one has been shown, or left out.
pub(super) fn shown(zone: &TimeZone, at: Timestamp) -> DateTime {
    let now = zone.to_datetime(at);
    // Past the end of time there is nothing to fire.
    let (Ok(since), Ok(until)) = (at.checked_sub(LONGEST_REPETITION), at.checked_add(NANOSECOND)) else { return now };
    let changes = zone.preceding(until).map(|change| change.timestamp()).take_while(|change| *change > since);
    let before = changes.filter_map(|change| change.checked_sub(NANOSECOND).ok()).map(|at| zone.to_datetime(at));
    before.fold(now, DateTime::max)
}

/// When clocks first show a wall time, unless they leave it out.
pub(super) fn first(zone: &TimeZone, wall: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            offset.to_timestamp(wall).ok()
        }
        AmbiguousOffset::Gap { .. } => None,
    }
}

/// What clocks show in the second before the last change up to `at`, and at it.
pub(super) fn around_change(zone: &TimeZone, at: Timestamp) -> Option<(DateTime, DateTime)> {
    let change = zone.preceding(at.checked_add(NANOSECOND).ok()?).next()?.timestamp();
    let before = change.checked_sub(SignedDuration::from_secs(1)).ok()?;
    Some((zone.to_datetime(before), zone.to_datetime(change)))
}
