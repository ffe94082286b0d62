//! Jira: a comment on the issue.

use ozma_domain::answer::{Markup, Posted};
use ozma_providers::{Error, Jira};

use super::link::Link;
use super::{Telling, post};

pub(super) async fn tell(link: &Link, issue: &str, telling: &Telling<'_>, posted: &mut Posted) -> Result<(), Error> {
    let account = link.connection.account.as_deref().unwrap_or_default();
    let api = Jira::new(link.http.clone(), link.api.clone(), account, link.secret.clone());
    let (run, text) = (telling.said.run, telling.said.text(Markup::Plain));
    let find = async || {
        let account = api.account().await?;
        api.find_comment(issue, run, &account).await
    };
    let make = async || api.create_comment(issue, run, &text).await;
    post(posted, find, make, async |id| api.update_comment(issue, id, &text).await).await
}
