//! Jira Cloud: documents against Atlassian's schema of them. Its REST API is described nowhere that a package has.

use ozma_providers::{Error, Jira};
use serde_json::{Value, json};

use crate::stand_in::{Reply, StandIn};
use crate::{http, published, run};

/// `ann@example.com:jira-token`.
const AUTHORIZATION: &str = "Basic YW5uQGV4YW1wbGUuY29tOmppcmEtdG9rZW4=";

fn jira(site: &StandIn) -> Jira {
    Jira::new(http(), site.base.clone(), "ann@example.com", "jira-token".into())
}

fn property() -> Value {
    json!({"key": "ozma.run", "value": {"run_id": run().to_string()}})
}

fn paragraph(lines: &[&str]) -> Value {
    let mut content: Vec<Value> = Vec::new();
    for line in lines {
        if !content.is_empty() {
            content.push(json!({"type": "hardBreak"}));
        }
        content.push(json!({"type": "text", "text": line}));
    }
    json!({"type": "paragraph", "content": content})
}

#[tokio::test]
async fn comments_are_made_and_edited() {
    let site = StandIn::saying(json!({"id": "10001"})).await;
    let jira = jira(&site);
    assert_eq!(jira.create_comment("WEB-12", run(), "On it.\n\nSee\nhttps://x").await, Ok("10001".to_owned()));
    jira.update_comment("WEB-12", "10001", "Done.").await.unwrap();
    let heard = site.heard();
    for request in &heard {
        assert_eq!(request.header("authorization"), Some(AUTHORIZATION));
        assert_eq!(request.header("user-agent"), Some("ozma"));
        published::atlassian_document(&request.body["body"]);
    }
    let expected =
        ["POST /rest/api/3/issue/WEB-12/comment", "PUT /rest/api/3/issue/WEB-12/comment/10001"].map(str::to_owned);
    assert_eq!(site.lines(), expected);
    let content = [paragraph(&["On it."]), paragraph(&["See", "https://x"])];
    let body = json!({"type": "doc", "version": 1, "content": content});
    assert_eq!(heard[0].body, json!({"body": body, "properties": [property()]}));
    // What is not said of its properties stays.
    let body = json!({"type": "doc", "version": 1, "content": [paragraph(&["Done."])]});
    assert_eq!(heard[1].body, json!({"body": body}));
}

#[tokio::test]
async fn odd_texts_are_documents_too() {
    for text in ["", "\n", "a\n\n\n\n\nb\n", "a\r\n\r\nb\r\nc", "\u{0}\t*_[x]", "a\n \nb", &"ä\n".repeat(1_000)] {
        let site = StandIn::saying(json!({"id": "1"})).await;
        jira(&site).create_comment("WEB-12", run(), text).await.unwrap();
        published::atlassian_document(&site.only().body["body"]);
    }
}

#[tokio::test]
async fn a_comment_whose_answer_is_lost_is_found_and_not_doubled() {
    let mut comments = vec![json!({"id": "1", "author": {"accountId": "ann"}})];
    let mut properties = vec![json!([])];
    let site = StandIn::new(move |request| match request.line().as_str() {
        "POST /rest/api/3/issue/WEB-12/comment" => {
            let id = (comments.len() + 1).to_string();
            comments.push(json!({"id": id, "author": {"accountId": "us"}}));
            properties.push(request.body["properties"].clone());
            Reply::Lost
        }
        "GET /rest/api/3/issue/WEB-12/comment" => Reply::Json(json!({"comments": comments, "total": comments.len()})),
        "POST /rest/api/3/comment/list" => {
            let asked: Vec<usize> = serde_json::from_value(request.body["ids"].clone()).unwrap();
            let found = asked.iter().map(|id| json!({"id": id.to_string(), "properties": properties[id - 1]}));
            Reply::Json(json!({"values": found.collect::<Vec<_>>()}))
        }
        line => panic!("{line}"),
    })
    .await;
    let jira = jira(&site);
    assert_eq!(jira.find_comment("WEB-12", run(), "us").await, Ok(None));
    let lost = jira.create_comment("WEB-12", run(), "On it.").await;
    assert!(matches!(lost, Err(Error::Unreachable { .. })), "{lost:?}");
    assert_eq!(jira.find_comment("WEB-12", run(), "us").await, Ok(Some("2".to_owned())));
    // Only ours are asked about.
    assert_eq!(jira.find_comment("WEB-12", run(), "somebody").await, Ok(None));
    let heard = site.heard();
    let last = heard.iter().find(|request| request.path.ends_with("/list")).unwrap();
    assert_eq!((&last.body, last.query("expand")), (&json!({"ids": [2]}), Some("properties")));
    let asked = ["orderBy", "startAt", "maxResults"].map(|name| heard[0].query(name).unwrap());
    assert_eq!(asked, ["-created", "0", "100"]);
}

#[tokio::test]
async fn pages_are_followed_but_not_for_ever() {
    let site = StandIn::new(|_| {
        let comments: Vec<Value> = (0..100).map(|id| json!({"id": id.to_string(), "author": null})).collect();
        Reply::Json(json!({"comments": comments}))
    })
    .await;
    let refused = jira(&site).find_comment("WEB-12", run(), "us").await.unwrap_err();
    assert!(refused.to_string().contains("more than 1000 comments"), "{refused}");
    let heard = site.heard();
    assert_eq!((heard.len(), heard[9].query("startAt")), (10, Some("900")));
}

#[tokio::test]
async fn the_account_is_known_by_its_token() {
    let site = StandIn::saying(json!({"accountId": "us", "emailAddress": "ann@example.com"})).await;
    assert_eq!(jira(&site).account().await, Ok("us".to_owned()));
    assert_eq!(site.only().line(), "GET /rest/api/3/myself");
}

#[tokio::test]
async fn a_refusal_says_which_field_is_meant() {
    let body = json!({"errorMessages": [], "errors": {"comment": "Comment body can not be empty!"}});
    let site = StandIn::new(move |_| Reply::status(400, &body)).await;
    let message = r#"{"comment":"Comment body can not be empty!"}"#.to_owned();
    let refused = jira(&site).create_comment("WEB-12", run(), "").await;
    assert_eq!(refused, Err(Error::Refused { status: 400, message }));
    assert_eq!(jira(&site).create_comment("..", run(), "a").await, Err(Error::NotFound));
}
