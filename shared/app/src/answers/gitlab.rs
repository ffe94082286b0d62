//! GitLab: a note on the issue or merge request, in its discussion where it has one.

use ozma_domain::answer::Posted;
use ozma_domain::provider::Own;
use ozma_providers::{Error, Item};

use super::link::Link;
use super::{Telling, number, post};

pub(super) async fn tell(link: &Link, item: Item<'_>, telling: &Telling<'_>, posted: &mut Posted) -> Result<(), Error> {
    let api = link.to.gitlab();
    let (body, marker) = (telling.said.marked(), Own::marker(telling.said.run));
    let find = async || {
        let author = api.user().await?;
        Ok(api.find_note(item, &marker, author).await?.map(|id| id.to_string()))
    };
    let make = async || Ok(api.create_note(item, &body).await?.to_string());
    post(posted, find, make, async |id| api.update_note(item, number(id)?, &body).await).await
}
