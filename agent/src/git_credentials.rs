//! Tokens for the repositories of the run, for whoever works on them: git asks by a credential helper, which is the agent's
//! own program, and that asks here. The control plane has them made; they live for an hour, and a run may last a day.
//!
//! What is handed out is masked from before it is. The task's git never writes it down.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ozma_domain::protocol::{GIT_CREDENTIALS_VARIABLES, GitCredentials, GitQuestion};
use ozma_domain::repository::{HttpRepository, Repository};
use serde_json::json;

use crate::agent::Agent;
use crate::kept::{Kept, Perishable};
use crate::loopback::{Loopback, Refusal};
use crate::recorder::Recorder;
use crate::variables::Variables;

/// Longer than a fetch or a push of anything usual.
const RENEWED_BEFORE: SignedDuration = SignedDuration::from_mins(10);
/// Each refusal may have cost calls to GitHub.
const REFUSED_FOR: Duration = Duration::from_secs(10);

pub(crate) struct Endpoint {
    loopback: Loopback,
    /// Of the run.
    repositories: Vec<HttpRepository>,
    kept: Kept<GitCredentials>,
}

impl Perishable for GitCredentials {
    fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    fn is_for(&self, question: &str) -> bool {
        self.repositories.iter().any(|url| url.eq_ignore_ascii_case(question))
    }
}

impl Endpoint {
    /// None: no repository of the run is one for which there could be a token.
    pub(crate) async fn open(recorder: &Recorder, repositories: &[Repository]) -> io::Result<Option<Self>> {
        let repositories: Vec<_> = repositories.iter().filter_map(|repository| repository.url.over_http()).collect();
        if repositories.is_empty() {
            return Ok(None);
        }
        let loopback = Loopback::open(recorder, GIT_CREDENTIALS_VARIABLES).await?;
        Ok(Some(Self { loopback, repositories, kept: Kept::new(RENEWED_BEFORE, REFUSED_FOR) }))
    }

    /// What tells git's helper where to ask.
    pub(crate) fn variables(&self) -> Variables {
        self.loopback.variables()
    }
}

/// Answers what the helper asks, for as long as it is polled.
pub(crate) async fn serve(agent: Arc<Agent>) {
    let Some(endpoint) = &agent.git_credentials else { return };
    let agent = &*agent;
    endpoint
        .loopback
        .serve(|question| async move { get(agent, endpoint, &question).await.map(|given| json!(given)) })
        .await;
}

async fn get(agent: &Agent, endpoint: &Endpoint, question: &str) -> Result<GitCredentials, Refusal> {
    let url = asked(&endpoint.repositories, question)?.to_string();
    let fetch = async {
        let given = agent.client.git_credentials(&GitQuestion { url: url.clone() }).await?;
        agent.recorder.hide(&[given.password.as_str().into()]);
        Ok(given)
    };
    endpoint.kept.get(&url, fetch).await
}

/// Which repository is meant: by its address or that of something in it, by `owner/name`, or by nothing at all where one
/// token is for all that there are.
fn asked<'a>(repositories: &'a [HttpRepository], question: &str) -> Result<&'a HttpRepository, Refusal> {
    let found = match question {
        "" => match repositories {
            [first, others @ ..] if others.iter().all(|other| other.is_beside(first)) => Some(first),
            _ => None,
        },
        url if url.contains("://") => {
            let asked = HttpRepository::of(url);
            repositories.iter().find(|repository| asked.as_ref() == Some(*repository))
        }
        name => repositories.iter().find(|repository| repository.full_name().eq_ignore_ascii_case(name)),
    };
    found.ok_or_else(|| {
        let names: Vec<String> = repositories.iter().map(HttpRepository::full_name).collect();
        Refusal::new(404, "no_repository", format!("tokens are for the run's repositories: {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_for_the_repositories_of_the_run_alone() {
        #[track_caller]
        fn check(repositories: &[&str], question: &str, expected: Option<&str>) {
            let repositories: Vec<_> = repositories.iter().filter_map(|url| HttpRepository::of(url)).collect();
            let found = asked(&repositories, question);
            assert_eq!(found.ok().map(HttpRepository::to_string).as_deref(), expected, "{question}");
        }
        let [web, api, other] =
            ["https://github.com/acme/web", "https://github.com/acme/api", "https://github.com/umbrella/web"];
        check(&[web, api], "https://github.com/acme/api.git", Some(api));
        check(&[web, api], "https://github.com/acme/web.git/info/lfs", Some(web));
        check(&[web, api], "https://github.com/acme/secret.git", None);
        check(&[web, api], "https://git.example.com/acme/web.git", None);
        check(&[web, api], "http://github.com/acme/web.git", None);
        check(&[web, api], "https://github.com/", None);
        check(&[web, other], "Umbrella/web", Some(other));
        check(&[web, other], "web", None);
        check(&[web, api], "", Some(web));
        check(&[web, other], "", None);
    }
}
