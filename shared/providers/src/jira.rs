//! Jira Cloud: comments on issues. Their text is a document (ADF), in which nothing can be hidden: what a comment is found
//! by is a property of it, which people do not see.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ozma_domain::id::RunId;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Error;
use crate::http::{Answer, BaseUrl, Call, Credentials, Http};

/// A site, spoken to as the owner of an API token.
#[derive(Clone)]
pub struct Jira {
    http: Http,
    /// `https://acme.atlassian.net`.
    site: BaseUrl,
    token: SecretString,
    /// `Basic …`.
    header: SecretString,
}

/// The property that names a comment's run: `{"run_id": "…"}`.
const PROPERTY: &str = "ozma.run";
const PAGE: u64 = 100;
const PAGES: u64 = 10;

#[derive(Serialize)]
struct Written {
    body: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<[Value; 1]>,
}

#[derive(Deserialize)]
struct Comment {
    id: String,
    author: Option<Account>,
    #[serde(default)]
    properties: Vec<Property>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    account_id: String,
}

#[derive(Deserialize)]
struct Property {
    key: String,
    value: Value,
}

impl Jira {
    pub fn new(http: Http, site: BaseUrl, email: &str, token: SecretString) -> Self {
        let header = format!("Basic {}", STANDARD.encode(format!("{email}:{}", token.expose_secret())));
        Self { http, site, token, header: SecretString::from(header) }
    }

    /// The id of the account that we are.
    pub async fn account(&self) -> Result<String, Error> {
        Ok(self.send(Method::GET, &["myself"], |call| call).await?.json::<Account>()?.account_id)
    }

    /// Comments on an issue, which is named by its key or id; the comment's id. Paragraphs stand between empty lines.
    pub async fn create_comment(&self, issue: &str, run: RunId, text: &str) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Made {
            id: String,
        }
        let property = json!({"key": PROPERTY, "value": {"run_id": run.to_string()}});
        let written = Written { body: document(text), properties: Some([property]) };
        let path = ["issue", issue, "comment"];
        Ok(self.send(Method::POST, &path, |call| call.json(&written)).await?.json::<Made>()?.id)
    }

    pub async fn update_comment(&self, issue: &str, comment: &str, text: &str) -> Result<(), Error> {
        let written = Written { body: document(text), properties: None };
        self.send(Method::PUT, &["issue", issue, "comment", comment], |call| call.json(&written)).await.map(drop)
    }

    /// The comment that `account`, which is ours, made about a run: the answer to its making may have been lost. Newest
    /// comments are looked at first. Fails rather than say that there is none, if there are too many to look through.
    pub async fn find_comment(&self, issue: &str, run: RunId, account: &str) -> Result<Option<String>, Error> {
        #[derive(Deserialize)]
        struct Page {
            comments: Vec<Comment>,
        }
        let page_size = PAGE.to_string();
        for page in 0..PAGES {
            let start = (page * PAGE).to_string();
            let query = [("orderBy", "-created"), ("startAt", &*start), ("maxResults", &*page_size)];
            let path = ["issue", issue, "comment"];
            let Page { comments } = self.send(Method::GET, &path, |call| call.query(&query)).await?.json()?;
            let is_ours = |comment: &&Comment| comment.author.as_ref().is_some_and(|by| by.account_id == account);
            let ours: Vec<u64> =
                comments.iter().filter(is_ours).filter_map(|comment| comment.id.parse().ok()).collect();
            if let Some(found) = self.with_property(&ours, run).await? {
                return Ok(Some(found));
            }
            if (comments.len() as u64) < PAGE {
                return Ok(None);
            }
        }
        Err(Error::refused(200, &format!("there are more than {} comments to look through", PAGES * PAGE)))
    }

    /// The list of an issue's comments does not have their properties; the list of comments by id does.
    async fn with_property(&self, comments: &[u64], run: RunId) -> Result<Option<String>, Error> {
        #[derive(Serialize)]
        struct Ids<'a> {
            ids: &'a [u64],
        }
        #[derive(Deserialize)]
        struct Page {
            values: Vec<Comment>,
        }
        if comments.is_empty() {
            return Ok(None);
        }
        let (path, query) = (["comment", "list"], [("expand", "properties")]);
        let answer = self.send(Method::POST, &path, |call| call.query(&query).json(&Ids { ids: comments })).await?;
        let Page { values } = answer.json()?;
        let run = run.to_string();
        let tells = |property: &Property| property.key == PROPERTY && property.value["run_id"] == *run;
        Ok(values.into_iter().find(|comment| comment.properties.iter().any(tells)).map(|comment| comment.id))
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        with: impl FnOnce(Call<'_>) -> Call<'_>,
    ) -> Result<Answer, Error> {
        let url = self.site.at(&[&["rest", "api", "3"], path].concat());
        let credentials = Credentials::Basic { header: &self.header, of: &self.token };
        self.http.send(with(Call::new(method, url, credentials))).await
    }
}

/// A text as a document: paragraphs, and within them lines. ADF has no empty text.
fn document(text: &str) -> Value {
    let text = text.replace("\r\n", "\n");
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.trim_matches('\n')).filter(|text| !text.is_empty());
    let paragraphs = paragraphs.map(|paragraph| {
        let mut content = Vec::new();
        for (at, line) in paragraph.lines().enumerate() {
            if at > 0 {
                content.push(json!({"type": "hardBreak"}));
            }
            if !line.is_empty() {
                content.push(json!({"type": "text", "text": line}));
            }
        }
        json!({"type": "paragraph", "content": content})
    });
    json!({"type": "doc", "version": 1, "content": paragraphs.collect::<Vec<_>>()})
}

impl fmt::Debug for Jira {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jira").field("site", &self.site).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of each paragraph.
    fn told(document: &Value) -> Vec<Vec<String>> {
        let content = |node: &Value| node["content"].as_array().cloned().unwrap_or_default();
        let lines = |paragraph: &Value| {
            let mut lines = vec![String::new()];
            for node in content(paragraph) {
                match node["text"].as_str() {
                    Some(text) => lines.last_mut().unwrap().push_str(text),
                    None => lines.push(String::new()),
                }
            }
            lines
        };
        content(document).iter().map(lines).collect()
    }

    #[test]
    fn empty_lines_stand_between_paragraphs() {
        let check = |text: &str, expected: &[&[&str]]| assert_eq!(told(&document(text)), expected, "{text:?}");
        check("", &[]);
        check("a", &[&["a"]]);
        check("a\nb", &[&["a", "b"]]);
        check("a\r\n\r\nb\n", &[&["a"], &["b"]]);
        check("\n\n\na\n\n\n\nb", &[&["a"], &["b"]]);
    }
}
