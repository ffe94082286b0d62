//! What a run's agent left in its workspace: saved as a set by its agent alone, and read back by its team alone.

use ozma_app::executions::{self, ExecutionError};
use ozma_domain::artifact::{LeftOut, SavedFile, SavedKind, SavedSet};
use ozma_domain::audit::digest;
use ozma_domain::limits;
use ozma_tests::world::gzip;
use serde_json::{Value, json};

use crate::api::Api;

#[tokio::test]
async fn what_an_agent_saved_is_listed_and_downloaded() {
    let api = Api::new("free").await;
    let run = api.create("true").await;
    let (path, attachments) = (format!("/agent/runs/{run}"), format!("/agent/runs/{run}/handoff/attachments"));
    api.world.drain().await;
    let agent = api.world.agent(run).await;
    agent.claim(&api.world).await.map(drop).unwrap();
    assert_eq!(api.get(&attachments).await, json!({"attachments": []}));
    agent.save(&api.world, &[("src/main.rs", "fn main() {}\n"), ("notes", "")]).await.unwrap();
    agent.save(&api.world, &[("src/main.rs", "fn main() {}\n"), ("notes", "")]).await.expect("a repetition is no harm");
    assert_eq!(api.get(&attachments).await, json!({"attachments": []}), "of an ended execution");
    agent.finish(&api.world, 0).await.unwrap();

    let list = api.get(&attachments).await;
    let first = &list["attachments"][0];
    let uid = format!("{run}-1-1");
    assert_eq!((&first["attachment_id"], &first["filename"]), (&json!(uid), &json!("main.rs")));
    assert_eq!((&first["filepath"], &first["size_bytes"]), (&json!("src/main.rs"), &json!(13)));
    assert_eq!(list["attachments"].as_array().unwrap().len(), 2);
    let artifacts = &api.get(&path).await["artifacts"];
    assert_eq!((&artifacts[0]["artifact_type"], &artifacts[0]["data"]["artifact_uid"]), (&json!("FILE"), &json!(uid)));
    assert_eq!(artifacts[0]["data"]["mime_type"], "application/octet-stream");
    let listed = &api.get("/agent/runs").await["runs"][0]["artifacts"];
    assert_eq!(*listed, json!([]), "a list does not look into the archive");

    let artifact = api.get(&format!("/agent/artifacts/{uid}")).await;
    assert_eq!((&artifact["artifact_type"], &artifact["data"]["filename"]), (&json!("FILE"), &json!("main.rs")));
    let url = first["download_url"].as_str().unwrap();
    assert_eq!(artifact["data"]["download_url"], url);
    let download = format!("/agent/artifacts/{uid}/download");
    assert!(url.ends_with(&download), "{url}");
    let plain = api.call("GET", &download, "").await;
    assert_eq!((plain.status, plain.bytes.as_slice()), (200, &b"fn main() {}\n"[..]));
    let packed = api.call_with("GET", &download, &[("accept-encoding", "br, gzip")], "").await;
    assert_eq!((packed.header("content-encoding"), packed.bytes.clone()), ("gzip", gzip("fn main() {}\n")));

    for uid in ["x", &format!("{run}-1-3"), &format!("{run}-2-1"), &format!("{run}-1-0"), &format!("{run}-1")] {
        api.check("GET", &format!("/agent/artifacts/{uid}"), "", "404 resource_not_found: there is no such artifact")
            .await;
        api.check("GET", &format!("/agent/artifacts/{uid}/download"), "", "404 ").await;
    }
    let others = api.of_another_team().await;
    for path in [&attachments, &format!("/agent/artifacts/{uid}"), &download] {
        others.check("GET", path, "", "404 ").await;
    }
}

#[tokio::test]
async fn a_set_is_there_once_its_list_is_and_holds_what_was_sent() {
    let api = Api::new("free").await;
    let run = api.create("true").await;
    api.world.drain().await;
    let agent = api.world.agent(run).await;
    agent.claim(&api.world).await.map(drop).unwrap();
    let app = &api.world.app;
    let put = async |number: u32, body: Vec<u8>| {
        executions::save_file(app, agent.execution, &agent.token, number, body).await.map(drop)
    };
    let file = |number: u32, path: &str, content: &str| SavedFile {
        number,
        path: path.to_owned(),
        kind: SavedKind::File { executable: false },
        bytes: content.len() as u64,
        sha256: digest(content.as_bytes()).to_string(),
    };
    let make = async |files: Vec<SavedFile>| {
        let set = SavedSet { files, ..SavedSet::default() };
        executions::save_set(app, agent.execution, &agent.token, &set).await.map(drop)
    };
    let refused = |answer: Result<(), ExecutionError>, expected: &str| {
        let told = answer.map_or_else(|err| err.to_string(), |()| "taken".to_owned());
        assert!(told.contains(expected), "{told}, and not {expected}");
    };
    put(1, gzip("one")).await.unwrap();
    put(1, gzip("one")).await.unwrap();
    refused(put(1, gzip("other")).await, "number 1 was written before, with other content");
    refused(put(0, gzip("x")).await, "files are numbered from 1 to 200");
    refused(put(201, gzip("x")).await, "files are numbered from 1 to 200");
    refused(put(2, b"x".to_vec()).await, "not gzip");
    refused(put(2, vec![0; limits::SAVED_FILE_BYTES + 1]).await, "more than");
    refused(put(2, gzip(&"0".repeat(limits::SAVED_FILE_UNPACKED_BYTES + 1))).await, "more than");
    let wrong = executions::save_file(app, agent.execution, "ozx_wrong", 2, gzip("x")).await.map(drop);
    refused(wrong, "token");

    refused(make(vec![file(1, "../one", "one")]).await, "not a relative path");
    refused(make(vec![file(1, "one", "other")]).await, "file 1 was not stored as it is listed");
    refused(make(vec![file(1, "one", "one"), file(2, "two", "two")]).await, "file 2 was not stored");
    agent.finish(&api.world, 0).await.unwrap();
    assert_eq!(api.get(&format!("/agent/runs/{run}")).await["artifacts"], json!([]), "half of a set is none");
    refused(put(2, gzip("two")).await, "not the current one");
    refused(make(vec![file(1, "one", "one")]).await, "not the current one");
}

#[tokio::test]
async fn a_cancelled_run_is_saved_and_a_later_execution_begins_with_what_was() {
    let api = Api::new("free").await;
    let cancelled = api.create("true").await;
    api.world.drain().await;
    let agent = api.world.agent(cancelled).await;
    agent.claim(&api.world).await.map(drop).unwrap();
    api.check("POST", &format!("/agent/runs/{cancelled}/cancel"), "", "200 ").await;
    agent.save(&api.world, &[("half", "done")]).await.expect("until the agent's last word");
    api.world.launcher.end(agent.execution);
    ozma_app::settle::container_gone(&api.world.app, agent.execution, None).await.unwrap();
    let artifacts = api.get(&format!("/agent/runs/{cancelled}")).await["artifacts"].clone();
    assert_eq!(artifacts[0]["data"]["filepath"], "half");

    let run = api.create("true").await;
    api.world.drain().await;
    let first = api.world.agent(run).await;
    assert_eq!(first.claim(&api.world).await.unwrap().restore, None);
    first.save(&api.world, &[("half", "done")]).await.unwrap();
    api.world.launcher.end(first.execution);
    ozma_app::settle::container_gone(&api.world.app, first.execution, None).await.unwrap();
    api.world.clock.forward(jiff::SignedDuration::from_secs(60));
    api.world.drain().await;
    let second = api.world.agent(run).await;
    let restore = second.claim(&api.world).await.unwrap().restore.expect("what the first execution saved");
    assert_eq!((restore.from, restore.set.files[0].path.as_str()), (1, "half"));
    let fetch = async |from, number| {
        executions::saved_file(&api.world.app, second.execution, &second.token, from, number).await.ok()
    };
    assert_eq!(fetch(1, 1).await, Some(gzip("done")));
    assert_eq!((fetch(1, 2).await, fetch(2, 1).await, fetch(0, 1).await, fetch(3, 1).await), (None, None, None, None));
    let set = SavedSet { left_out: vec![LeftOut { path: "x".into(), reason: "why".into() }], ..SavedSet::default() };
    executions::save_set(&api.world.app, second.execution, &second.token, &set).await.unwrap();
    second.finish(&api.world, 0).await.unwrap();
    let latest: Value = api.get(&format!("/agent/runs/{run}/handoff/attachments")).await;
    assert_eq!(latest, json!({"attachments": [], "left_out": [{"filepath": "x", "reason": "why"}]}));
}

#[tokio::test]
async fn a_pull_request_is_an_artifact_in_lists_as_well() {
    let api = Api::new("free").await;
    let run = api.create("true").await;
    api.world.drain().await;
    let agent = api.world.agent(run).await;
    agent.claim(&api.world).await.map(drop).unwrap();
    let path = format!("/agent/runs/{run}");
    assert_eq!(api.get("/agent/runs?artifact_type=PULL_REQUEST").await["runs"], json!([]));
    agent.made(&api.world, "https://github.com/acme/web/pull/12", "fix").await.unwrap();
    let data = json!({"url": "https://github.com/acme/web/pull/12", "branch": "fix"});
    let listed = &api.get("/agent/runs?artifact_type=PULL_REQUEST").await["runs"][0]["artifacts"];
    assert_eq!((&listed[0]["artifact_type"], &listed[0]["data"]), (&json!("PULL_REQUEST"), &data));
    assert_eq!(api.get(&path).await["artifacts"], *listed);
    assert_eq!(api.get("/agent/runs?artifact_type=FILE").await["runs"], json!([]));

    agent.save(&api.world, &[("notes", "")]).await.unwrap();
    agent.finish(&api.world, 0).await.unwrap();
    let artifacts = api.get(&path).await["artifacts"].clone();
    let kinds: Vec<_> = artifacts.as_array().unwrap().iter().map(|artifact| &artifact["artifact_type"]).collect();
    assert_eq!(kinds, ["PULL_REQUEST", "FILE"]);
}
