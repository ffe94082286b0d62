//! Jira: a comment on the issue.

use ozma_domain::answer::{Markup, Posted};
use ozma_providers::Error;

use super::link::Link;
use super::{Telling, post};

pub(super) async fn tell(link: &Link, issue: &str, telling: &Telling<'_>, posted: &mut Posted) -> Result<(), Error> {
    let api = link.to.jira();
    let (run, text) = (telling.said.run, telling.said.text(Markup::Plain));
    let find = async || {
        let account = api.account().await?;
        api.find_comment(issue, run, &account).await
    };
    let make = async || api.create_comment(issue, run, &text).await;
    post(posted, find, make, async |id| api.update_comment(issue, id, &text).await).await
}
