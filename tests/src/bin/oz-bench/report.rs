//! What is printed: lines and tables that go into `docs/benchmarks.md` as they are.

use std::time::Duration;

/// Measured times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The time within which `percent` of them are. The smallest such that was measured, so p50 of two is the first.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    /// Such as `p50 1.2 ms, p95 3.4 ms`.
    pub(crate) fn percentiles(&self, percents: &[usize]) -> String {
        let one = |percent: &usize| format!("p{percent} {}", time(self.percentile(*percent)));
        percents.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        Self(times.into_iter().collect())
    }
}

pub(crate) fn line(name: &str, value: &str) {
    anstream::println!("{name:40} {value}");
}

/// A table in Markdown, its columns aligned. The first row is the head.
pub(crate) fn table(rows: &[Vec<String>]) {
    let Some(head) = rows.first() else { return };
    let width = |column: usize| rows.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for (at, row) in rows.iter().enumerate() {
        let cell = |(column, text): (usize, &String)| match column {
            0 => format!("{text:<width$}", width = widths[column]),
            _ => format!("{text:>width$}", width = widths[column]),
        };
        anstream::println!("| {} |", row.iter().enumerate().map(cell).collect::<Vec<_>>().join(" | "));
        if at == 0 {
            let dashes = |(column, width): (usize, &usize)| match column {
                0 => "-".repeat(*width),
                _ => format!("{}:", "-".repeat(width.saturating_sub(1))),
            };
            anstream::println!("| {} |", widths.iter().enumerate().map(dashes).collect::<Vec<_>>().join(" | "));
        }
    }
}

/// Three digits of it.
pub(crate) fn time(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1_000.0;
    match ms {
        _ if ms < 10.0 => format!("{ms:.2} ms"),
        _ if ms < 100.0 => format!("{ms:.1} ms"),
        _ if ms < 1_000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.2} s", ms / 1_000.0),
    }
}

pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ms: &[u64], percent: usize, expected: &str) {
        let times: Times = ms.iter().map(|ms| Duration::from_millis(*ms)).collect();
        assert_eq!(time(times.percentile(percent)), expected);
    }

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        check(&[], 50, "0.00 ms");
        check(&[7], 99, "7.00 ms");
        check(&[20, 10], 50, "10.0 ms");
        check(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 1_234], 90, "9.00 ms");
        check(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 1_234], 95, "1.23 s");
    }
}
