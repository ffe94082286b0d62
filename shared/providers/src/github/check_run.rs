//! Check runs: how a run stands, beside the commit that it is about. Only an App may keep them.

use ozma_domain::id::RunId;
use ozma_domain::text;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::{Created, Installation, PAGE, PER_PAGE, Repository};
use crate::error::Error;

/// GitHub takes no longer summary. In characters.
const SUMMARY: usize = 65_535;
const PAGES: u64 = 10;

/// What a check run shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRun {
    pub name: String,
    pub status: Status,
    /// One line.
    pub title: String,
    /// Markdown.
    pub summary: String,
    /// Where people read on.
    pub details_url: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Queued,
    InProgress,
    Completed(Conclusion),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    ActionRequired,
    Cancelled,
    Failure,
    Neutral,
    Skipped,
    Success,
    TimedOut,
}

#[derive(Serialize)]
struct Written<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    head_sha: Option<&'a str>,
    external_id: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    conclusion: Option<Conclusion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details_url: Option<&'a str>,
    output: Output<'a>,
}

#[derive(Serialize)]
struct Output<'a> {
    title: &'a str,
    summary: String,
}

impl CheckRun {
    fn written<'a>(&'a self, run: RunId, head_sha: Option<&'a str>) -> Written<'a> {
        let (status, conclusion) = match self.status {
            Status::Queued => ("queued", None),
            Status::InProgress => ("in_progress", None),
            Status::Completed(conclusion) => ("completed", Some(conclusion)),
        };
        Written {
            name: &self.name,
            head_sha,
            external_id: run.to_string(),
            status,
            conclusion,
            details_url: self.details_url.as_deref(),
            output: Output { title: &self.title, summary: text::shorten(&self.summary, SUMMARY) },
        }
    }
}

impl Installation {
    /// Makes the check run of a run at a commit; its id.
    pub async fn create_check_run(
        &self,
        repository: &Repository,
        head_sha: &str,
        run: RunId,
        check: &CheckRun,
    ) -> Result<u64, Error> {
        let path = repository.path(&["check-runs"]);
        let written = check.written(run, Some(head_sha));
        Ok(self.send(Method::POST, &path, |call| call.json(&written)).await?.json::<Created>()?.id)
    }

    pub async fn update_check_run(
        &self,
        repository: &Repository,
        check_run: u64,
        run: RunId,
        check: &CheckRun,
    ) -> Result<(), Error> {
        let check_run = check_run.to_string();
        let path = repository.path(&["check-runs", &check_run]);
        let written = check.written(run, None);
        self.send(Method::PATCH, &path, |call| call.json(&written)).await.map(drop)
    }

    /// The check run of a run at a commit, if `app_id`, which is ours, made one of that name. GitHub itself knows at most
    /// 1,000 of one name.
    pub async fn find_check_run(
        &self,
        repository: &Repository,
        head_sha: &str,
        name: &str,
        app_id: u64,
        run: RunId,
    ) -> Result<Option<u64>, Error> {
        #[derive(Deserialize)]
        struct Page {
            check_runs: Vec<Found>,
        }
        #[derive(Deserialize)]
        struct Found {
            id: u64,
            external_id: Option<String>,
        }
        let path = repository.path(&["commits", head_sha, "check-runs"]);
        let (app_id, run) = (app_id.to_string(), run.to_string());
        for page in 1..=PAGES {
            let page = page.to_string();
            let query =
                [("check_name", name), ("app_id", &app_id), ("filter", "all"), ("per_page", PER_PAGE), ("page", &page)];
            let Page { check_runs } = self.send(Method::GET, &path, |call| call.query(&query)).await?.json()?;
            if let Some(found) = check_runs.iter().find(|found| found.external_id.as_deref() == Some(&*run)) {
                return Ok(Some(found.id));
            }
            if (check_runs.len() as u64) < PAGE {
                return Ok(None);
            }
        }
        Err(Error::refused(200, &format!("there are more than {} check runs to look through", PAGES * PAGE)))
    }
}
