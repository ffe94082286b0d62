//! Finish: the agent's last word.

use ozma_domain::id::ExecutionId;
use ozma_domain::limits;
use ozma_domain::outcome::Outcome;
use ozma_domain::protocol::{Reply, Report};
use ozma_domain::text;

use super::claim::masker;
use super::{ExecutionError, check_token};
use crate::App;
use crate::settle::{Settled, settle_run};

pub async fn finish(app: &App, execution: ExecutionId, token: &str, report: &Report) -> Result<Reply, ExecutionError> {
    let run = app.store.run(execution.run).await?.ok_or(ExecutionError::Stale(execution))?;
    check_token(&run, execution, token)?;
    if !run.is_current(execution) {
        // The token is right and the execution is the last one. If the run has ended, the answer to its report was lost;
        // if it waits for another execution, this one was given up.
        return if run.state.is_terminal() { Ok(Reply::default()) } else { Err(ExecutionError::Stale(execution)) };
    }
    let masker = masker(app, &run, execution).await?;
    let tidy = |text: &str| text::shorten(masker.mask(&text::printable(text.as_bytes())).trim(), limits::STATUS_CHARS);
    let outcome = match &report.outcome {
        Outcome::Succeeded { summary } => Outcome::Succeeded { summary: tidy(summary) },
        Outcome::Failed { class, message } => Outcome::Failed { class: *class, message: tidy(message) },
        Outcome::Cancelled => Outcome::Cancelled,
    };
    match settle_run(app, run, execution, &outcome, Some(report.last_segment), report.usage).await? {
        Settled::Now(_) | Settled::Already => Ok(Reply::default()),
        Settled::Stale => Err(ExecutionError::Stale(execution)),
    }
}
