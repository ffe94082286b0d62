//! Linear: activities of a session, each of which moves its state; else a comment on the issue. What is made has an id that
//! follows from the run, so that whatever is made twice is there once.

use ozma_domain::answer::{Markup, Posted, Stage};
use ozma_domain::audit::digest;
use ozma_providers::{Activity, Error};
use uuid::{Builder, Uuid};

use super::link::Link;
use super::{Telling, post};

pub(super) async fn tell_session(link: &Link, session: &str, telling: &Telling<'_>) -> Result<(), Error> {
    let said = telling.said;
    let text = said.text(Markup::Markdown);
    let body = text.as_str();
    let activity = match said.stage {
        Stage::Waiting | Stage::Working => Activity::Thought { body },
        Stage::Blocked => Activity::Elicitation { body },
        Stage::Succeeded | Stage::Cancelled => Activity::Response { body },
        Stage::Failed | Stage::Error => Activity::Error { body },
    };
    let id = id_of(&format!("{}\n{}", said.run, said.mark()));
    link.to.linear().agent_activity(session, id, &activity).await
}

pub(super) async fn tell_issue(
    link: &Link,
    issue: &str,
    telling: &Telling<'_>,
    posted: &mut Posted,
) -> Result<(), Error> {
    let api = link.to.linear();
    let body = telling.said.text(Markup::Markdown);
    let id = id_of(&telling.said.run.to_string());
    let make = async || {
        api.comment_create(issue, id, &body).await?;
        Ok(id.to_string())
    };
    // One that may be there already is edited, if it is.
    let find = async || match api.comment_update(id, &body).await {
        Ok(()) => Ok(Some(id.to_string())),
        Err(Error::NotFound) => Ok(None),
        Err(err) => Err(err),
    };
    post(posted, find, make, async |_| api.comment_update(id, &body).await).await
}

/// Of version 4, as Linear asks for.
pub(super) fn id_of(text: &str) -> Uuid {
    let hash = digest(text.as_bytes());
    let mut bits = [0; 16];
    bits.copy_from_slice(&hash.bytes()[..16]);
    Builder::from_random_bytes(bits).into_uuid()
}
