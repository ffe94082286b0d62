//! Slack: a message in the thread, which is edited in place; where there is no thread it begins one. An edit notifies nobody,
//! so that each end is told in the thread by a message of its own.

use ozma_domain::answer::{Answer, Markup, Posted, PostedEnd};
use ozma_providers::{Disposition, Error, Message, Slack};

use super::link::Link;
use super::{Failure, Telling, post};

pub(super) async fn tell(
    link: &Link,
    channel: &str,
    thread: Option<&str>,
    telling: &Telling<'_>,
    answer: &mut Answer,
) -> Result<(), Failure> {
    let api = link.to.slack()?;
    let (said, run) = (telling.said, telling.said.run);
    let end = said.end_at(telling.place);
    let text = if end.is_some() { said.state(Markup::Slack) } else { said.text(Markup::Slack) };
    let state = Message { text: &text, blocks: None, run, end: None };
    let edited = one(&api, channel, thread, &state, &mut answer.message).await;
    let Some(end) = end else { return Ok(edited?) };
    let began = answer.message.id.clone();
    let thread = thread.or(began.as_deref());
    match edited {
        // That it cannot be edited, or found, keeps nobody from hearing how it ended.
        Err(err) if thread.is_some() && err.disposition() == Disposition::Park => {
            tracing::debug!(run.id = %run, error = %err, "the message that is edited in place stays as it is");
        }
        edited => edited?,
    }
    let text = said.text(Markup::Slack);
    let last = Message { text: &text, blocks: None, run, end: Some(end) };
    let message = answer.told_of(end);
    let told = answer.end.insert(PostedEnd { at: end, message });
    Ok(one(&api, channel, thread, &last, &mut told.message).await?)
}

/// One message, which is there once.
async fn one(
    api: &Slack,
    channel: &str,
    thread: Option<&str>,
    message: &Message<'_>,
    posted: &mut Posted,
) -> Result<(), Error> {
    let find = async || match thread {
        Some(thread) => {
            let bot = api.bot().await?;
            api.find_message(channel, thread, message, &bot).await
        }
        // Nobody can look for it in a channel, and twice is worse than not at all.
        None => Err(Error::Refused { status: 200, message: "whether it was posted before is not known".to_owned() }),
    };
    let make = async || api.post_message(channel, thread, message).await;
    post(posted, find, make, async |ts| api.update_message(channel, ts, message).await).await
}
