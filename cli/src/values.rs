//! Values as people write and read them.

use std::fmt::Display;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ozma_domain::aws::{InvalidArn, SecretReference};
use ozma_domain::id::{InvalidId, SecretName};

use crate::exit::Failure;

/// A length of time: `90s`, `10m`, `1h 30m`, or plain seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("\"{text}\" is not a length of time, such as 90s, 10m or 1h30m");
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let seconds = text.parse().ok().filter(|seconds| *seconds > 0);
        return seconds.map(Duration::from_secs).ok_or_else(expected);
    }
    let parsed: SignedDuration = text.parse().map_err(|_| expected())?;
    Duration::try_from(parsed).ok().filter(|parsed| *parsed >= Duration::from_secs(1)).ok_or_else(expected)
}

/// `NAME=value`. The name is a variable's.
pub(crate) fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("\"{text}\" is not NAME=value"))?;
    let valid = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if valid { Ok((name.to_owned(), value.to_owned())) } else { Err(format!("\"{name}\" is not a variable's name")) }
}

/// `NAME=ARN`: a variable, and the secret or parameter that its value is read from.
pub(crate) fn secret_reference(text: &str) -> Result<(SecretName, SecretReference), String> {
    let (name, arn) = text.split_once('=').ok_or_else(|| format!("\"{text}\" is not NAME=ARN"))?;
    let name = name.parse().map_err(|err: InvalidId| err.to_string())?;
    Ok((name, arn.parse().map_err(|err: InvalidArn| err.to_string())?))
}

/// How long something took, as precise as it matters.
pub(crate) fn took(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// From one time to a later one; nothing if the clocks disagree.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// How long ago something was.
pub(crate) fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = between(at, now).as_secs();
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

/// Dollars, with the digits that small amounts need.
pub(crate) fn usd(amount: f64) -> String {
    if amount != 0.0 && amount < 0.1 { format!("${amount:.4}") } else { format!("${amount:.2}") }
}

/// Takes an item from a list. Removing what is not there is an error: it is a slip.
pub(crate) fn take<T>(
    list: &mut Vec<T>,
    whose: &str,
    item: &impl Display,
    is_it: impl Fn(&T) -> bool,
) -> Result<(), Failure> {
    let at = list.iter().position(is_it);
    list.remove(at.ok_or_else(|| does_not_have(whose, item))?);
    Ok(())
}

pub(crate) fn does_not_have(whose: &str, item: &impl Display) -> Failure {
    Failure::usage(format!("the {whose} does not have {item}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, seconds: Option<u64>) {
        assert_eq!(duration(text).ok().map(|duration| duration.as_secs()), seconds, "{text}");
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        check("90", Some(90));
        check("90s", Some(90));
        check("10m", Some(600));
        check("1h30m", Some(5_400));
        check("1h 30m", Some(5_400));
        check("2 hours", Some(7_200));
        check("PT10M", Some(600));
        check("-5m", None);
        check("100ms", None);
        check("soon", None);
        check("", None);
    }

    #[test]
    fn variables_have_a_name_and_a_value() {
        assert_eq!(variable("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert_eq!(variable("A="), Ok(("A".to_owned(), String::new())));
        for invalid in ["A", "=b", "1A=b", "A B=c"] {
            assert!(variable(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn quantities_are_short() {
        let row = |seconds: f64| took(Duration::from_secs_f64(seconds));
        assert_eq!(
            [row(0.04), row(4.26), row(59.9), row(61.0), row(7_325.0)],
            ["0.0 s", "4.3 s", "59 s", "1 min 01 s", "2 h 02 min"]
        );
        let at: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let row = |seconds| age(at, at + SignedDuration::from_secs(seconds));
        assert_eq!(
            [row(-5), row(59), row(60), row(7_300), row(172_800)],
            ["0 s ago", "59 s ago", "1 min ago", "2 h ago", "2 d ago"]
        );
        assert_eq!([bytes(5), bytes(1_536), bytes(3 << 30)], ["5 B", "1.5 KiB", "3.0 GiB"]);
        assert_eq!([usd(0.0), usd(0.001_645), usd(1.5)], ["$0.00", "$0.0016", "$1.50"]);
    }
}
