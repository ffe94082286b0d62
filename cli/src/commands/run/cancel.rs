//! `oz run cancel`.

use ozma_domain::id::RunId;
use serde_json::json;

use crate::args::Global;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output;

pub(crate) async fn run(global: &Global, run: RunId, cascade: bool) -> Result<Exit, Failure> {
    connect::with(global, async |client| Ok(client.cancel(run, cascade).await?)).await?;
    output::item(global.output_format, &json!({"run_id": run}), |_| vec![("Cancelled", run.to_string())])?;
    Ok(Exit::Succeeded)
}
