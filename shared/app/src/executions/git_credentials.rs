//! Credentials of git: an agent asks for a token that opens a repository of its run. GitHub makes it for an installation of an
//! App that the team has a connection with: for the run's repositories there, for an hour, and for no more than work on
//! them takes. Nothing of it is stored.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use ozma_domain::delivery::{DeliverySource, EventSnapshot};
use ozma_domain::id::{ExecutionId, TeamId};
use ozma_domain::limits;
use ozma_domain::protocol::{GitCredentials, GitQuestion};
use ozma_domain::provider::Provider;
use ozma_domain::repository::HttpRepository;
use ozma_domain::text::chain;
use ozma_domain::webhook::{Connection, github_apps};
use ozma_providers::Error;
use ozma_providers::github::{self, Permissions};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::claim::masker;
use super::{ExecutionError, authorize};
use crate::App;
use crate::connected::connect;
use crate::launch::environment_of;

/// What GitHub takes for the name of whoever has a token.
const USERNAME: &str = "x-access-token";

/// An App where it is installed, and the repository that it was found by.
struct Found<'a> {
    app: github::App,
    connection: &'a Connection,
    installation: u64,
    repository: github::Repository,
}

pub async fn git_credentials(
    app: &App,
    execution: ExecutionId,
    token: &str,
    question: &GitQuestion,
) -> Result<GitCredentials, ExecutionError> {
    let run = authorize(app, execution, token).await?;
    // The agent of a run that was cancelled has a last word, and no more work.
    if run.state.is_terminal() {
        return Err(refused("the run is over"));
    }
    let request = app.store.request(&run.team, run.run_id).await?.ok_or(ExecutionError::Stale(execution))?;
    let environment = environment_of(app, &request).await?.unwrap_or_default();
    let repositories = environment.repositories.iter().chain(&request.repositories);
    let mut of_run: Vec<HttpRepository> = Vec::new();
    for repository in repositories.filter_map(|repository| repository.url.over_http()) {
        if !of_run.contains(&repository) {
            of_run.push(repository);
        }
    }
    let asked = HttpRepository::of(&question.url);
    let Some(asked) = asked.filter(|asked| of_run.contains(asked)) else {
        return Err(refused("this is none of the run's repositories; tokens are for those alone"));
    };
    if let Some(why) = request.event.as_ref().and_then(EventSnapshot::no_secrets) {
        return Err(refused(format!(
            "{why}; so the run has no tokens, unless the automation's `allow.fork_secrets` says otherwise"
        )));
    }
    of_run.retain(|other| other.is_beside(&asked) && *other != asked);

    let webhooks = app.store.webhooks(&run.team).await?;
    let started_by = request.event.as_ref().and_then(|event| match &event.source {
        DeliverySource::Webhook(webhook) => Some(webhook),
        DeliverySource::Automation(_) | DeliverySource::Account(_) => None,
    });
    let apps = github_apps(webhooks.iter().map(|saved| &saved.webhook), started_by, asked.origin());
    let within = Duration::from_secs(limits::GIT_CREDENTIALS_SECONDS);
    let made = timeout(within, async {
        let found = find(app, &run.team, &apps, &asked).await?;
        mint(found, &asked, &of_run, app.now()).await
    });
    let (credentials, app_id) =
        made.await.unwrap_or_else(|_| Err(refused("GitHub takes too long to answer; ask again")))?;
    // Before anybody has it. Another process that stores what this agent says has the agent's own masking.
    masker(app, &run, execution).await?;
    app.maskers.hide(execution, &credentials.password.as_str().into());
    tracing::info!(
        run.id = %run.run_id,
        execution = %execution,
        app.id = app_id,
        repositories = credentials.repositories.len(),
        "gave out a token of an installation"
    );
    Ok(credentials)
}

/// The first of the Apps that is installed where the repository is.
async fn find<'a>(
    app: &App,
    team: &TeamId,
    apps: &[&'a Connection],
    repository: &HttpRepository,
) -> Result<Found<'a>, ExecutionError> {
    let full_name = repository.full_name();
    let name: github::Repository = full_name.parse().map_err(|err| refused(format!("{err}")))?;
    let mut why = Vec::new();
    for connection in apps {
        let id = connection.app_id.unwrap_or_default();
        let connected = connect(app, team, Provider::Github, connection).await;
        let github = match connected.and_then(|connected| connected.github_app()) {
            Ok(github) => github,
            Err(err) => {
                why.push(format!("the App {id} cannot be asked: {}", chain(&err)));
                continue;
            }
        };
        match github.installation_of(&name, app.now()).await {
            Ok(installation) => return Ok(Found { app: github, connection, installation, repository: name }),
            Err(Error::NotFound) => why.push(format!("the App {id} is not installed in {full_name}; install it there")),
            Err(err) => why.push(format!("GitHub does not say where the App {id} is installed: {err}")),
        }
    }
    Err(refused(if why.is_empty() {
        format!(
            "no webhook of the team answers with a GitHub App of {}; `oz webhook update NAME --answer-with SECRET \
             --app-id ID` names one",
            repository.origin()
        )
    } else {
        why.join("; ")
    }))
}

/// A token for the repository and those beside it that the same installation holds: one that it does not hold would cost the
/// token for all.
async fn mint(
    found: Found<'_>,
    asked: &HttpRepository,
    beside: &[HttpRepository],
    now: Timestamp,
) -> Result<(GitCredentials, u64), ExecutionError> {
    let Found { app, connection, installation, repository } = found;
    let held = join_all(beside.iter().map(async |other| {
        let name: github::Repository = other.full_name().parse().ok()?;
        let same = app.installation_of(&name, now).await == Ok(installation);
        same.then_some((other, name))
    }));
    let (others, names): (Vec<_>, Vec<_>) = held.await.into_iter().flatten().unzip();
    let made = app.installation_token(installation, &repository, &names, Permissions::WORK, now).await;
    let token = made.map_err(|err| {
        let told = format!("GitHub gives the App {} no token for {repository}: {err}", app.app_id());
        refused(match err {
            Error::Refused { status: 422, .. } => format!(
                "{told}. It needs \"Contents\" and \"Pull requests\", each to read and write; after a change of the App the \
                 owner of the installation has to accept them"
            ),
            Error::Unauthorized => format!("{told} ({})", connection.secret),
            _ => told,
        })
    })?;
    let credentials = GitCredentials {
        username: USERNAME.to_owned(),
        password: token.token.expose_secret().to_owned(),
        expires_at: token.expires_at,
        repositories: std::iter::once(asked).chain(others).map(HttpRepository::to_string).collect(),
    };
    Ok((credentials, app.app_id()))
}

fn refused(why: impl Into<String>) -> ExecutionError {
    ExecutionError::NoToken(why.into())
}
