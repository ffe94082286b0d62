//! GitHub: a comment on the issue or pull request, and a check run beside the commit.

use jiff::{SignedDuration, Timestamp};
use ozma_domain::answer::{Answer, Markup, Posted, Said, Stage};
use ozma_domain::provider::{Origin, Own, Place};
use ozma_providers::github::{App, CheckRun, Conclusion, Installation, Permissions, Repository, Status};
use ozma_providers::{Disposition, Error};

use super::link::Link;
use super::{Failure, Telling, number, post};

/// By how much GitHub's clock may be behind ours.
const SKEW: SignedDuration = SignedDuration::from_mins(10);

pub(super) async fn tell(link: &Link, telling: &Telling<'_>, answer: &mut Answer) -> Result<(), Failure> {
    let (repository, item, commit) = match telling.place {
        Place::GithubItem { repository, number } => (repository, Some(*number), telling.commit),
        Place::GithubCommit { repository, sha } => (repository, None, Some(sha.as_str())),
        _ => return Err(Failure::never("this is no place at GitHub")),
    };
    let speaker = Speaker::of(link, repository, telling.now).await?;
    let repository = &speaker.repository;
    if let Some(item) = item {
        let api = speaker.with(Permissions::COMMENT).await?;
        comment(&api, repository, item, telling, &link.own, &mut answer.message).await?;
    }
    if let Some(commit) = commit {
        let checked = async {
            let api = speaker.with(Permissions::CHECK).await?;
            check(&api, repository, commit, speaker.app.app_id(), telling.said, &mut answer.check).await
        };
        match checked.await {
            // Not every App may keep checks, and the comment says the same.
            Err(err) if item.is_some() && err.disposition() == Disposition::Park => {
                tracing::debug!(run.id = %telling.said.run, error = %err, "no check run is kept");
            }
            other => other?,
        }
    }
    Ok(())
}

/// Says something on an issue or pull request.
pub(super) async fn say(link: &Link, repository: &str, item: u64, text: &str, now: Timestamp) -> Result<(), Failure> {
    let speaker = Speaker::of(link, repository, now).await?;
    speaker.with(Permissions::COMMENT).await?.create_comment(&speaker.repository, item, text).await?;
    Ok(())
}

/// Whose code a pull request brings.
pub(super) async fn origin(link: &Link, repository: &str, number: u64, now: Timestamp) -> Result<Origin, Failure> {
    let speaker = Speaker::of(link, repository, now).await?;
    let needed = |err: Error| {
        let is_lacking = matches!(err, Error::Refused { status: 403 | 422, .. });
        let hint = if is_lacking { ". The App needs \"Pull requests\", to read at least" } else { "" };
        Failure { reason: format!("{err}{hint}"), ..err.into() }
    };
    let api = speaker.with(Permissions::JUDGE).await.map_err(needed)?;
    let pull = api.pull_request(&speaker.repository, number).await.map_err(needed)?;
    Ok(Origin {
        code: pull.code(),
        repository: pull.head_repository.map(|head| head.full_name),
        branch: pull.head_branch.parse().ok(),
    })
}

/// An App where it is installed.
struct Speaker {
    app: App,
    installation: u64,
    repository: Repository,
    now: Timestamp,
}

impl Speaker {
    async fn of(link: &Link, repository: &str, now: Timestamp) -> Result<Self, Failure> {
        let repository: Repository = repository.parse().map_err(|err| Failure::never(format!("{err}")))?;
        let app = link.to.github_app()?;
        let installation = app.installation_of(&repository, now).await?;
        Ok(Self { app, installation, repository, now })
    }

    async fn with(&self, permissions: Permissions) -> Result<Installation, Error> {
        let Self { app, installation, repository, now } = self;
        let token = app.installation_token(*installation, repository, &[], permissions, *now).await?;
        Ok(app.installation(token.token))
    }
}

async fn comment(
    api: &Installation,
    repository: &Repository,
    item: u64,
    telling: &Telling<'_>,
    own: &Own,
    posted: &mut Posted,
) -> Result<(), Error> {
    let (body, marker) = (telling.said.marked(), Own::marker(telling.said.run));
    let since = telling.created_at - SKEW;
    let find = async || {
        let found = api.find_comment(repository, item, &marker, own, since).await?;
        Ok(found.map(|id| id.to_string()))
    };
    let make = async || Ok(api.create_comment(repository, item, &body).await?.to_string());
    post(posted, find, make, async |id| api.update_comment(repository, number(id)?, &body).await).await
}

async fn check(
    api: &Installation,
    repository: &Repository,
    commit: &str,
    app_id: u64,
    said: &Said,
    posted: &mut Posted,
) -> Result<(), Error> {
    let check = check_run(said);
    let find = async || {
        let found = api.find_check_run(repository, commit, &check.name, app_id, said.run).await?;
        Ok(found.map(|id| id.to_string()))
    };
    let make = async || Ok(api.create_check_run(repository, commit, said.run, &check).await?.to_string());
    post(posted, find, make, async |id| api.update_check_run(repository, number(id)?, said.run, &check).await).await
}

fn check_run(said: &Said) -> CheckRun {
    let status = match said.stage {
        Stage::Waiting => Status::Queued,
        Stage::Working | Stage::Blocked => Status::InProgress,
        Stage::Succeeded => Status::Completed(Conclusion::Success),
        // A required check must not be passed by what never looked.
        Stage::Failed | Stage::Error => Status::Completed(Conclusion::Failure),
        Stage::Cancelled => Status::Completed(Conclusion::Cancelled),
    };
    CheckRun {
        name: format!("Ozma: {}", said.name),
        status,
        title: said.headline(Markup::Plain),
        summary: said.text(Markup::Markdown),
        details_url: said.page.clone(),
    }
}
