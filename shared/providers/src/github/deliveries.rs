//! What GitHub could not deliver. It never tries again by itself, so that somebody has to look and ask it to; it keeps
//! deliveries for three days.

use std::collections::HashMap;

use jiff::Timestamp;
use reqwest::Method;
use reqwest::Url;
use serde::Deserialize;

use super::{App, PER_PAGE};
use crate::error::Error;

const PAGES: usize = 30;

/// What was lost of an app's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deliveries {
    /// Oldest first.
    pub lost: Vec<Lost>,
    /// Whether everything since then was looked at. What is missing is the oldest.
    pub is_whole: bool,
}

/// An event of which no attempt arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The same for all attempts, and what the header `X-GitHub-Delivery` says.
    pub guid: String,
    /// Of the latest attempt, for [`App::redeliver`].
    pub id: u64,
    pub event: String,
    pub action: Option<String>,
    /// Of the first attempt that was looked at.
    pub first_at: Timestamp,
    /// Of the latest attempt.
    pub at: Timestamp,
    pub attempts: u32,
}

#[derive(Deserialize)]
struct Attempt {
    id: u64,
    guid: String,
    delivered_at: Timestamp,
    status_code: u16,
    event: String,
    action: Option<String>,
}

impl App {
    /// The events since then of which every attempt failed. The list is newest first, and what succeeds does so after it
    /// failed: so nothing is called lost because only a part of its attempts was looked at.
    pub async fn deliveries(&self, since: Timestamp, now: Timestamp) -> Result<Deliveries, Error> {
        let (mut attempts, mut cursor) = (Vec::new(), None::<String>);
        let mut is_whole = false;
        for _ in 0..PAGES {
            let mut query = vec![("per_page", PER_PAGE)];
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let path = ["app", "hook", "deliveries"];
            let answer = self.send(Method::GET, &path, now, |call| call.query(&query)).await?;
            let page: Vec<Attempt> = answer.json()?;
            let next = answer.header("link").and_then(next_cursor);
            let is_past = page.last().is_none_or(|last| last.delivered_at < since);
            attempts.extend(page.into_iter().filter(|attempt| attempt.delivered_at >= since));
            if is_past || next.is_none() {
                is_whole = true;
                break;
            }
            cursor = next;
        }
        Ok(Deliveries { lost: lost(attempts), is_whole })
    }

    /// Where GitHub sends the app's events. None: nowhere.
    pub async fn hook_url(&self, now: Timestamp) -> Result<Option<String>, Error> {
        #[derive(Deserialize)]
        struct Hook {
            url: Option<String>,
        }
        let Hook { url } = self.send(Method::GET, &["app", "hook", "config"], now, |call| call).await?.json()?;
        Ok(url.filter(|url| !url.is_empty()))
    }

    /// Asks for another attempt.
    pub async fn redeliver(&self, delivery: u64, now: Timestamp) -> Result<(), Error> {
        let delivery = delivery.to_string();
        let path = ["app", "hook", "deliveries", &delivery, "attempts"];
        self.send(Method::POST, &path, now, |call| call).await.map(drop)
    }
}

fn lost(attempts: Vec<Attempt>) -> Vec<Lost> {
    let mut by_guid: HashMap<String, (Vec<Attempt>, bool)> = HashMap::new();
    for attempt in attempts {
        let (attempts, arrived) = by_guid.entry(attempt.guid.clone()).or_default();
        *arrived |= (200..300).contains(&attempt.status_code);
        attempts.push(attempt);
    }
    let failed = by_guid.into_values().filter(|(_, arrived)| !arrived);
    let mut lost: Vec<Lost> = failed
        .filter_map(|(attempts, _)| {
            let count = attempts.len();
            let first_at = attempts.iter().map(|attempt| attempt.delivered_at).min()?;
            let last = attempts.into_iter().max_by_key(|attempt| (attempt.delivered_at, attempt.id))?;
            let Attempt { id, guid, delivered_at: at, event, action, .. } = last;
            Some(Lost { guid, id, event, action, first_at, at, attempts: count.try_into().unwrap_or(u32::MAX) })
        })
        .collect();
    lost.sort_by_key(|lost| (lost.at, lost.id));
    lost
}

/// Of the header `Link`, as in `<https://…?per_page=100&cursor=v1_17>; rel="next"`. Only the cursor is taken, because the
/// address would be one that somebody else chose.
fn next_cursor(link: &str) -> Option<String> {
    let next = link.split(',').find(|link| link.contains("rel=\"next\""))?;
    let url = next.split_once('<')?.1.split_once('>')?.0;
    let url = Url::parse(url).ok()?;
    url.query_pairs().find(|(name, _)| name == "cursor").map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(id: u64, guid: &str, second: i64, status_code: u16) -> Attempt {
        let delivered_at = Timestamp::from_second(second).unwrap();
        Attempt { id, guid: guid.to_owned(), delivered_at, status_code, event: "push".to_owned(), action: None }
    }

    #[track_caller]
    fn check(attempts: &[(u64, &str, i64, u16)], expected: &[(&str, u64, u32)]) {
        let attempts = attempts.iter().map(|(id, guid, second, status)| attempt(*id, guid, *second, *status)).collect();
        let lost = lost(attempts);
        let told: Vec<_> = lost.iter().map(|lost| (lost.guid.as_str(), lost.id, lost.attempts)).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn an_event_is_lost_if_no_attempt_arrived() {
        check(&[], &[]);
        check(&[(1, "a", 10, 200)], &[]);
        check(&[(1, "a", 10, 502)], &[("a", 1, 1)]);
        // Nobody answered at all, or answered with a redirect.
        check(&[(1, "a", 10, 0), (2, "b", 9, 302)], &[("b", 2, 1), ("a", 1, 1)]);
        check(&[(2, "a", 20, 202), (1, "a", 10, 502)], &[]);
        // Two of one second: the later has the greater id.
        check(&[(3, "a", 20, 500), (2, "a", 20, 500), (1, "a", 10, 502), (9, "b", 15, 204)], &[("a", 3, 3)]);
    }

    #[test]
    fn only_the_cursor_of_the_next_page_is_taken() {
        let check = |link: &str, expected: Option<&str>| assert_eq!(next_cursor(link).as_deref(), expected, "{link}");
        check("<https://api.github.com/app/hook/deliveries?per_page=100&cursor=v1_17>; rel=\"next\"", Some("v1_17"));
        check("<https://x/?cursor=a>; rel=\"prev\", <https://x/?cursor=b%2Bc>; rel=\"next\"", Some("b+c"));
        check("<https://x/?cursor=a>; rel=\"first\"", None);
        check("<https://x/>; rel=\"next\"", None);
        check("cursor=a; rel=\"next\"", None);
    }
}
