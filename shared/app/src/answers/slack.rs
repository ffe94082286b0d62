//! Slack: a message in the thread, which is edited in place. Where there is no thread it begins one.

use ozma_domain::answer::{Markup, Posted};
use ozma_providers::{BaseUrl, Error, Message, Slack};

use super::link::Link;
use super::{Failure, Telling, post};

pub(super) async fn tell(
    link: &Link,
    channel: &str,
    thread: Option<&str>,
    telling: &Telling<'_>,
    posted: &mut Posted,
) -> Result<(), Failure> {
    let api = slack(link)?;
    let (run, text) = (telling.said.run, telling.said.text(Markup::Slack));
    let message = Message { text: &text, blocks: None, run };
    let find = async || match thread {
        Some(thread) => {
            let bot = api.bot().await?;
            api.find_message(channel, thread, run, &bot).await
        }
        // Nobody can look for it in a channel, and twice is worse than not at all.
        None => Err(Error::Refused { status: 200, message: "whether it was posted before is not known".to_owned() }),
    };
    let make = async || api.post_message(channel, thread, &message).await;
    Ok(post(posted, find, make, async |ts| api.update_message(channel, ts, &message).await).await?)
}

pub(super) fn slack(link: &Link) -> Result<Slack, Failure> {
    let hooks: BaseUrl = Slack::HOOKS.parse().map_err(|err| Failure::never(format!("{err}")))?;
    Ok(Slack::new(link.http.clone(), link.api.clone(), hooks, link.secret.clone()))
}
