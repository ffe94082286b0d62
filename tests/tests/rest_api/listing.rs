//! The query string of the list of runs, row by row.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ozma_domain::id::RunId;
use serde_json::json;

use crate::api::{Api, shell};

async fn ids(api: &Api, query: &str) -> Vec<String> {
    let page = api.get(&format!("/agent/runs?{query}")).await;
    page["runs"].as_array().unwrap().iter().map(|run| run["run_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_named() {
    let api = Api::new("free").await;
    let check = async |query: &str, field: &str| {
        let expected = format!("400 invalid_request: {field}");
        api.check("GET", &format!("/agent/runs?{query}"), "", &expected).await;
    };
    for limit in ["0", "501", "-1", "x", "", "1e2", "99999999999999999999"] {
        check(&format!("limit={limit}"), "limit: ").await;
    }
    check("cursor=x", "cursor: the cursor is not one of this list").await;
    check("cursor=", "cursor: ").await;
    check("cursor=e30", "cursor: ").await;
    check("sort_by=age", "sort_by: ").await;
    check("sort_order=up", "sort_order: ").await;
    check("state=WAITING", "state: ").await;
    check("state=QUEUED&state=", "state: ").await;
    check("source=EMAIL", "source: ").await;
    check("execution_location=HERE", "execution_location: ").await;
    check("created_after=yesterday", "created_after: not a time such as").await;
    check("created_before=2026-11-21", "created_before: not a time").await;
    check("updated_after=", "updated_after: not a time").await;
    check("environment_id=web", "environment_id: \"web\" is not an environment id").await;
    check("ancestor_run_id=x", "ancestor_run_id: \"x\" is not a run id").await;
    check(&format!("ancestor_run_id={}", RunId::first_at(1)), "ancestor_run_id: there is no run").await;
    check("artifact_type=PICTURE", "artifact_type: \"PICTURE\" is not").await;
    let six: Vec<String> = (0..6).map(|n| format!("metadata[k{n}]=v")).collect();
    check(&six.join("&"), "metadata: at most 5 pairs").await;
    let five = "/agent/runs?".to_owned() + &six[..5].join("&");
    api.check("GET", &five, "", r#"200 {"runs":[],"page_info":{"has_next_page":false}}"#).await;
    api.check("GET", "/agent/runs?limit=1", "", "200 ").await;
    api.check("GET", "/agent/runs?limit=500&unknown=x&limit", "", "200 ").await;
}

#[tokio::test]
async fn both_clients_spellings_are_read() {
    let api = Api::new("free").await;
    let body = json!({
        "prompt": "build the web", "title": "Grüße & Küsse", "metadata": {"foo": "a b+c", "x.y": "1"},
        "config": {"harness": {"type": "shell"}, "name": "a b"},
    });
    let created = api.call("POST", "/agent/runs", body.to_string()).await.json();
    let run = created["run_id"].as_str().unwrap();
    api.create("something else").await;
    let finds = async |query: &str| assert_eq!(ids(&api, query).await, [run], "{query}");
    finds("metadata%5Bfoo%5D=a+b%2Bc").await;
    finds("metadata[foo]=a%20b%2Bc&metadata%5Bx.y%5D=1").await;
    finds("name=a+b").await;
    finds("name=a%20b").await;
    finds("q=WEB+build").await;
    finds("q=gr%C3%BC%C3%9Fe%20%26").await;
    assert_eq!(ids(&api, "q=web+missing").await, [""; 0]);
    assert_eq!(ids(&api, "metadata[foo]=a").await, [""; 0]);
    assert_eq!(ids(&api, "metadata[foo]=a+b%2Bc&metadata[x.y]=2").await, [""; 0]);
    assert_eq!(ids(&api, "state=QUEUED&state=FAILED").await.len(), 2);
    assert_eq!(ids(&api, "state=FAILED&state=ERROR").await.len(), 0);
}

#[tokio::test]
async fn a_time_is_read_in_any_form_of_rfc_3339() {
    let api = Api::new("free").await;
    // 08:00:00.001
    let run = api.create("true").await.to_string();
    let none: [String; 0] = [];
    for before in [
        "2026-11-21T08:00:00Z",
        "2026-11-21T08:00:00.000000+00:00",
        "2026-11-21T08:00:00.000000%2B00:00",
        "2026-11-21T09:00:00%2B01:00",
        "2026-11-21T07:30:00-00:30",
        "2026-11-21T08:00:00.000999999Z",
    ] {
        assert_eq!(ids(&api, &format!("created_after={before}")).await, [run.as_str()], "{before}");
        assert_eq!(ids(&api, &format!("updated_after={before}")).await, [run.as_str()], "{before}");
        assert_eq!(ids(&api, &format!("created_before={before}")).await, none, "{before}");
    }
    for after in ["2026-11-21T08:00:00.001001Z", "2026-11-21T08:00:01Z", "2026-11-21T10:00:00+01:00"] {
        for sort in ["created_at&sort_order=asc", "created_at", "updated_at", "updated_at&sort_order=asc", "title"] {
            assert_eq!(ids(&api, &format!("created_before={after}&sort_by={sort}")).await, [run.as_str()], "{after}");
            assert_eq!(ids(&api, &format!("created_after={after}&sort_by={sort}")).await, none, "{after}");
        }
    }
}

#[tokio::test]
async fn the_source_is_the_callers() {
    let api = Api::new("free").await;
    let agent = [("user-agent", "oz/0.1.0")];
    let by_command = api.call_with("POST", "/agent/runs", &agent, shell("true")).await.json();
    let python = [("user-agent", "OzAPI/Python 0.15.0")];
    let by_client = api.call_with("POST", "/agent/runs", &python, shell("true")).await.json();
    assert_eq!(ids(&api, "source=CLI").await, [by_command["run_id"].as_str().unwrap()]);
    assert_eq!(ids(&api, "source=API").await, [by_client["run_id"].as_str().unwrap()]);
}

#[tokio::test]
async fn a_cursor_belongs_to_its_order() {
    let api = Api::new("free").await;
    for _ in 0..3 {
        api.create("true").await;
    }
    let page = api.get("/agent/runs?limit=1&sort_by=created_at").await;
    let cursor = page["page_info"]["next_cursor"].as_str().unwrap();
    assert_eq!(page["page_info"]["has_next_page"], true);
    for other in ["", "&sort_by=created_at&sort_order=asc", "&sort_by=title", "&sort_by=agent"] {
        let path = format!("/agent/runs?limit=1&cursor={cursor}{other}");
        api.check("GET", &path, "", "400 invalid_request: cursor: ").await;
    }
    // The limit and the filters may change on the way.
    let rest = ids(&api, &format!("sort_by=created_at&sort_order=desc&state=QUEUED&cursor={cursor}")).await;
    assert_eq!(rest.len(), 2);
}

#[tokio::test]
async fn a_cursor_made_up_harms_nothing() {
    let api = Api::new("free").await;
    let run = api.create("true").await;
    for key in ["", "-1", "99999999999999999999", "9223372036854775807", "x", "\u{10ffff}"] {
        for (sort_by, order) in
            [("updated_at", "desc"), ("updated_at", "asc"), ("created_at", "desc"), ("title", "asc")]
        {
            for walk in
                [json!(null), json!({"as_of_ms": i64::MIN, "shown": []}), json!({"as_of_ms": i64::MAX, "shown": [0]})]
            {
                let place = json!({"missing": true, "key": key, "run": run});
                let cursor = json!({"sort_by": sort_by, "order": order, "place": place, "walk": walk}).to_string();
                let cursor = URL_SAFE_NO_PAD.encode(cursor);
                let path = format!("/agent/runs?sort_by={sort_by}&sort_order={order}&cursor={cursor}");
                api.check("GET", &path, "", r#"200 {"runs":["#).await;
            }
        }
    }
}
