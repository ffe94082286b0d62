//! The payloads in `events/`: each is one that really comes in, and the type it belongs to reads all of it.

use std::path::Path;

use ozma_api::wire::CreateRunRequest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Parses it, and writes it again: what the type does not know would be lost.
fn reads_whole<T: DeserializeOwned + Serialize>(payload: &Value) -> Result<(), String> {
    let read: T = serde_json::from_value(payload.clone()).map_err(|err| err.to_string())?;
    let written = serde_json::to_value(&read).map_err(|err| err.to_string())?;
    if written == *payload { Ok(()) } else { Err(format!("reads as {written}")) }
}

#[test]
fn each_payload_is_read_by_its_type() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events");
    let mut payloads = 0;
    for entry in std::fs::read_dir(&folder).expect("events/") {
        let path = entry.expect("a file").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a text");
        let payload: Value = serde_json::from_str(&text).unwrap_or_else(|err| panic!("{name}: {err}"));
        let read = match name.as_str() {
            name if name.starts_with("api-create-run") => reads_whole::<CreateRunRequest>(&payload),
            _ => Err("belongs to no type; give it a line here".to_owned()),
        };
        read.unwrap_or_else(|err| panic!("{name}: {err}"));
        payloads += 1;
    }
    assert!(payloads >= 2, "the payloads are found");
}
