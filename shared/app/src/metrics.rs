//! Measurements, as events of `tracing`: whoever wires a process decides what becomes of them. In a Lambda they are
//! metrics of CloudWatch; on a laptop they are dropped.

use jiff::Timestamp;
use ozma_domain::id::TeamId;
use ozma_domain::run::Run;

/// The target of these events. Their fields: `metric`, `value`, `unit` (CloudWatch's name of it), and what it is about.
pub const TARGET: &str = "ozma::metric";

/// How long a stage of a run took, in milliseconds.
pub(crate) fn stage(metric: &'static str, run: &Run, from: Timestamp, to: Timestamp) {
    let value = between(from, to);
    let (run_id, trace_id) = (run.run_id, run.run_id.trace_id());
    tracing::info!(target: TARGET, metric, value, unit = "Milliseconds", team = %run.team, run.id = %run_id, trace_id);
}

/// How long something has lasted by now, in seconds.
pub(crate) fn seconds(metric: &'static str, team: &TeamId, from: Timestamp, to: Timestamp) {
    tracing::info!(target: TARGET, metric, value = between(from, to) / 1_000, unit = "Seconds", team = %team);
}

/// So many times.
pub(crate) fn count(metric: &'static str, times: usize) {
    tracing::info!(target: TARGET, metric, value = u64::try_from(times).unwrap_or(u64::MAX), unit = "Count");
}

/// Clocks of two functions may disagree by a little; nothing took less than no time.
fn between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}
