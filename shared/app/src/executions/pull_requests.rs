//! Pull requests: what an agent's task says that it made is kept on its run.

use ozma_domain::id::ExecutionId;
use ozma_domain::limits;
use ozma_domain::protocol::Reply;
use ozma_domain::pull_request::{Added, InvalidPullRequest, Reported, add};
use ozma_domain::run::Run;
use ozma_store::Written;

use super::claim::masker;
use super::{ExecutionError, authorize, reply};
use crate::App;

/// Keeps it, once by its URL.
pub async fn report_pull_request(
    app: &App,
    execution: ExecutionId,
    token: &str,
    reported: &Reported,
) -> Result<Reply, ExecutionError> {
    loop {
        let run = authorize(app, execution, token).await?;
        let masker = masker(app, &run, execution).await?;
        let [url, branch] = [reported.url.as_str(), reported.branch.as_str()].map(|text| masker.mask(text));
        let masked = Reported { url: url.parse()?, branch: branch.parse()? };
        let pull_requests = match add(&run.pull_requests, &masked, app.now()) {
            Added::Now(pull_requests) => pull_requests,
            Added::Already => return Ok(reply(app, &run)),
            Added::Full => {
                let why = format!("a run has at most {} pull requests", limits::PULL_REQUESTS);
                return Err(ExecutionError::Malformed(why));
            }
        };
        let new = Run { pull_requests, ..run.clone() };
        if app.store.update_run_row(&run, &new).await? == Written::Now {
            return Ok(reply(app, &new));
        }
    }
}

impl From<InvalidPullRequest> for ExecutionError {
    fn from(err: InvalidPullRequest) -> Self {
        Self::Malformed(err.to_string())
    }
}
