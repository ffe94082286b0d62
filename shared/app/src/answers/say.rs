//! What is said to somebody beside how a run stands: that they may not start one, or how runs are.

use ozma_domain::answer::Again;
use ozma_domain::id::{DeliveryId, RunId, TeamId, WebhookId};
use ozma_domain::provider::Place;
use ozma_providers::{Activity, Error, Item, Message};

use super::link::{Link, link, webhook_config};
use super::{Failure, github, in_time, linear};
use crate::App;

/// It could not be said, and may be when it is tried again.
#[derive(Debug, thiserror::Error)]
#[error("it could not be said: {0}")]
pub struct SayError(String);

/// Says `text` at a place, as an answer to what came in by `delivery`; where a provider can, to that person alone. Said again, it
/// may be there twice, but in Linear. What can never be said counts as said.
pub async fn say(
    app: &App,
    team: &TeamId,
    webhook: &WebhookId,
    place: &Place,
    person: Option<&str>,
    text: &str,
    delivery: DeliveryId,
) -> Result<(), SayError> {
    let said = async {
        let config = webhook_config(app, team, webhook).await.map_err(|err| Failure::because(&err))?;
        if config.as_ref().is_some_and(|config| config.connection.is_none()) {
            return Ok(());
        }
        let link = link(app, team, webhook, config, place.provider()).await?;
        at(app, &link, place, person, text, delivery).await
    };
    match in_time(said).await {
        Ok(()) => Ok(()),
        Err(Failure { reason, again: Again::Never }) => {
            tracing::warn!(delivery.id = %delivery, webhook.id = %webhook, reason, "somebody could not be answered");
            Ok(())
        }
        Err(Failure { reason, .. }) => Err(SayError(reason)),
    }
}

async fn at(
    app: &App,
    link: &Link,
    place: &Place,
    person: Option<&str>,
    text: &str,
    delivery: DeliveryId,
) -> Result<(), Failure> {
    // What is said of a delivery is marked with its id, as what is said of a run is with the run's.
    let mark = || delivery.to_string().parse::<RunId>().map_err(|err| Failure::never(err.to_string()));
    match place {
        Place::GithubItem { repository, number } => github::say(link, repository, *number, text, app.now()).await?,
        // Nobody talks there.
        Place::GithubCommit { .. } => {}
        Place::GitlabItem { project, kind, iid, discussion } => {
            let item = Item { project: *project, kind: *kind, iid: *iid, discussion: discussion.as_deref() };
            link.to.gitlab().create_note(item, text).await?;
        }
        Place::JiraIssue { issue } => {
            link.to.jira().create_comment(issue, mark()?, text).await?;
        }
        // A thought leaves the session as it is.
        Place::LinearSession { session } => {
            let id = linear::id_of(&delivery.to_string());
            link.to.linear().agent_activity(session, id, &Activity::Thought { body: text }).await?;
        }
        Place::LinearIssue { issue } => {
            link.to.linear().comment_create(issue, linear::id_of(&delivery.to_string()), text).await?;
        }
        Place::SlackThread { channel, thread, .. } => {
            at_slack(link, channel, Some(thread), person, text, mark()?).await?;
        }
        Place::SlackChannel { channel, .. } => at_slack(link, channel, None, person, text, mark()?).await?,
    }
    Ok(())
}

async fn at_slack(
    link: &Link,
    channel: &str,
    thread: Option<&str>,
    person: Option<&str>,
    text: &str,
    mark: RunId,
) -> Result<(), Failure> {
    let api = link.to.slack()?;
    let message = Message { text, blocks: None, run: mark, end: None };
    let Some(person) = person else {
        api.post_message(channel, thread, &message).await?;
        return Ok(());
    };
    match api.post_ephemeral(channel, thread, person, text).await {
        // A command can be typed where we are not: then it is said to them directly.
        Err(Error::NotFound) => {}
        Err(Error::Refused { message, .. }) if message == "not_in_channel" => {}
        said => return Ok(said?),
    }
    api.post_message(person, None, &message).await?;
    Ok(())
}
