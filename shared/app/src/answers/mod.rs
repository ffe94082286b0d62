//! Answers: where a run was asked for, people are told how it stands. What there is to tell follows from the run as it is.
//! That somebody tells it is noted first, and what came of it after, so that of two who would one does; whoever comes
//! meanwhile leaves a sign, and the one who is at it looks again.
//!
//! | provider | is told by |
//! | --- | --- |
//! | GitHub | a comment that is edited in place, and a check run beside the commit |
//! | GitLab | a note, as that comment |
//! | Jira | a comment, as that comment |
//! | Linear | activities of the session, or a comment on the issue |
//! | Slack | a message in the thread that is edited in place, and one more for each end |

mod ask;
mod github;
mod gitlab;
mod jira;
mod linear;
mod link;
mod lost;
mod say;
mod slack;

use std::time::Duration;

use jiff::Timestamp;
use ozma_domain::answer::{Again, Answer, Due, Posted, Said};
use ozma_domain::id::RunId;
use ozma_domain::limits;
use ozma_domain::provider::Place;
use ozma_domain::run::Run;
use ozma_domain::text::chain;
use ozma_providers::{Disposition, Error, Item};
use ozma_store::{Owed, SavedAnswer, StoreError, Written};
use tokio::time::timeout;

pub(crate) use self::ask::{address_of, origin_of};
use self::link::{Link, link, webhook_config};
pub use self::lost::look_for_lost;
pub use self::say::{SayError, say};
use crate::App;
use crate::app::after;
use crate::ports::QueueMessage;

/// What a provider answers is no error here: that is noted.
#[derive(Debug, thiserror::Error)]
#[error("what was told of a run could not be noted")]
pub struct AnswerError(#[from] StoreError);

/// Why something could not be told, or asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    pub(crate) again: Again,
}

/// What is to be told, and where.
struct Telling<'a> {
    said: &'a Said,
    place: &'a Place,
    /// The commit that it is about.
    commit: Option<&'a str>,
    created_at: Timestamp,
    now: Timestamp,
}

/// Tells how a run stands, if that is to be told and is not yet.
pub async fn tell(app: &App, run_id: RunId) -> Result<(), AnswerError> {
    loop {
        let Some(run) = app.store.run(run_id).await? else { return Ok(()) };
        let Some(request) = app.store.request(&run.team, run_id).await? else { return Ok(()) };
        let event = request.event.as_ref();
        let Some((webhook, place)) = event.and_then(|event| event.answered_at()) else {
            return settle(app, &run).await;
        };
        let said = Said::of(&run, &request, app.settings.public_url.as_ref());
        let (mark, end) = (said.mark_at(place), said.end_at(place));
        let now = app.now();
        let saved = match app.store.answer(run_id).await? {
            Some(saved) => saved,
            None => SavedAnswer {
                answer: Answer::new(run_id, run.team.clone()),
                version: 0,
                expires: after(now, limits::ANSWER_KEPT_SECONDS).as_second(),
            },
        };
        let begun = match saved.answer.due(&mark, end, now) {
            Due::Nothing => return settle(app, &run).await,
            Due::Later(_) => return Ok(()),
            // Whoever is at it finds another version of the row, and looks again.
            Due::Busy(_) => match app.store.write_answer(&saved, &saved).await? {
                Written::Now => return Ok(()),
                Written::Lost => continue,
            },
            Due::Attempt(begun) => SavedAnswer { answer: *begun, ..saved.clone() },
        };
        let config = webhook_config(app, &run.team, webhook).await?;
        if config.as_ref().is_some_and(|config| config.connection.is_none()) {
            // Nobody is told.
            return settle(app, &run).await;
        }
        if app.store.write_answer(&saved, &begun).await? == Written::Lost {
            continue;
        }
        let begun = SavedAnswer { version: saved.version + 1, ..begun };
        let commit = event.and_then(|event| event.commit.as_deref());
        let telling = Telling { said: &said, place, commit, created_at: request.created_at, now };
        // From here on it is known what was begun: an id or a beginning that is not noted is that of whoever died.
        let mut answer = Answer { busy_until: begun.answer.busy_until, ..saved.answer.clone() };
        let attempt = async {
            let link = link(app, &run.team, webhook, config, place.provider()).await?;
            tell_at(&link, &telling, &mut answer).await
        };
        let answer = match in_time(attempt).await {
            Ok(()) => {
                tracing::info!(run.id = %run_id, stage = ?said.stage, "told how a run stands");
                answer.after_success(&mark)
            }
            Err(Failure { reason, again }) => {
                tracing::warn!(run.id = %run_id, webhook.id = %webhook, reason, "could not tell how a run stands");
                answer.after_failure(&mark, &reason, again, app.now())
            }
        };
        note(app, &run, begun, answer).await?;
    }
}

async fn tell_at(link: &Link, telling: &Telling<'_>, answer: &mut Answer) -> Result<(), Failure> {
    match telling.place {
        Place::GithubItem { .. } | Place::GithubCommit { .. } => github::tell(link, telling, answer).await,
        Place::GitlabItem { project, kind, iid, discussion } => {
            let item = Item { project: *project, kind: *kind, iid: *iid, discussion: discussion.as_deref() };
            Ok(gitlab::tell(link, item, telling, &mut answer.message).await?)
        }
        Place::JiraIssue { issue } => Ok(jira::tell(link, issue, telling, &mut answer.message).await?),
        Place::LinearSession { session } => Ok(linear::tell_session(link, session, telling).await?),
        Place::LinearIssue { issue } => Ok(linear::tell_issue(link, issue, telling, &mut answer.message).await?),
        Place::SlackThread { channel, thread, .. } => slack::tell(link, channel, Some(thread), telling, answer).await,
        Place::SlackChannel { channel, .. } => slack::tell(link, channel, None, telling, answer).await,
    }
}

async fn in_time<T>(attempt: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let within = Duration::from_secs(limits::ANSWER_ATTEMPT_SECONDS);
    let too_long = || Failure::soon(format!("no end within {} s", within.as_secs()));
    timeout(within, attempt).await.unwrap_or_else(|_| Err(too_long()))
}

/// Writes what was told, and sets the timer for the next attempt. Without one the sweep sends what an end owes on its way.
async fn note(app: &App, run: &Run, begun: SavedAnswer, answer: Answer) -> Result<(), StoreError> {
    let mut was = begun;
    loop {
        let is = SavedAnswer { answer: answer.clone(), ..was.clone() };
        if app.store.write_answer(&was, &is).await? == Written::Now {
            break;
        }
        match app.store.answer(run.run_id).await? {
            // Somebody left a sign that there is more to tell.
            Some(found) if found.answer == was.answer => was = found,
            _ => {
                tracing::warn!(run.id = %run.run_id, "somebody else has taken over telling how a run stands");
                return Ok(());
            }
        }
    }
    if let Some(at) = answer.trouble.and_then(|trouble| trouble.next_at) {
        let message = QueueMessage::Answer { team: run.team.clone(), run: run.run_id };
        if let Err(err) = app.timer.send_at(at, message).await {
            tracing::warn!(run.id = %run.run_id, error = %chain(&err), "could not set a timer for an answer; the sweep will see to it");
        }
    }
    Ok(())
}

/// Strikes off what the end of a run owes of this.
async fn settle(app: &App, run: &Run) -> Result<(), AnswerError> {
    while let Some(ended) = app.store.ended(run).await?.filter(|ended| ended.owed.contains(&Owed::Answer)) {
        let still: Vec<Owed> = ended.owed.iter().copied().filter(|owed| *owed != Owed::Answer).collect();
        if app.store.settle_owed(run, &ended.owed, &still).await? == Written::Now {
            break;
        }
    }
    Ok(())
}

/// Edits what is there, finds what may be there because somebody set out to make it and was not heard of again, or makes it.
async fn post(
    posted: &mut Posted,
    find: impl AsyncFnOnce() -> Result<Option<String>, Error>,
    make: impl AsyncFnOnce() -> Result<String, Error>,
    edit: impl AsyncFnOnce(&str) -> Result<(), Error>,
) -> Result<(), Error> {
    if posted.id.is_none() && posted.begun {
        posted.id = find().await?;
    }
    if let Some(id) = &posted.id {
        // Where somebody took it away, that is their answer.
        return match edit(id).await {
            Err(Error::NotFound) => Ok(()),
            edited => edited,
        };
    }
    posted.begun = true;
    match make().await {
        Ok(id) => {
            posted.id = Some(id);
            Ok(())
        }
        Err(err) => {
            // What was surely refused is not there.
            posted.begun = matches!(err, Error::Unreachable { .. } | Error::Refused { status: 200..300 | 500.., .. });
            Err(err)
        }
    }
}

/// By what a provider edits it, where that is a number.
fn number(id: &str) -> Result<u64, Error> {
    id.parse().map_err(|_| Error::NotFound)
}

impl Failure {
    fn soon(reason: String) -> Self {
        Self { reason, again: Again::Soon }
    }

    /// What we could not do ourselves.
    fn because(err: &(dyn std::error::Error + 'static)) -> Self {
        Self::soon(chain(err).to_string())
    }

    /// Nothing changes that until somebody does something about it.
    fn never(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), again: Again::Never }
    }
}

impl From<Error> for Failure {
    fn from(err: Error) -> Self {
        let again = match err.disposition() {
            Disposition::Retry => Again::Soon,
            Disposition::RetryAfter { seconds } => Again::After { seconds },
            Disposition::Park => Again::Never,
        };
        Self { reason: err.to_string(), again }
    }
}
