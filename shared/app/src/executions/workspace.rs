//! Workspace: what an execution leaves, file by file and then as a set, and what a later one of the run begins with.

use futures_util::future::try_join_all;
use ozma_domain::artifact::{SavedFile, SavedSet};
use ozma_domain::audit::digest;
use ozma_domain::id::ExecutionId;
use ozma_domain::limits;
use ozma_domain::protocol::Reply;
use ozma_domain::run::Run;
use ozma_store::{ArchiveKey, Created, StoredMetadata};

use super::claim::masker;
use super::{ExecutionError, authorize, reply};
use crate::App;
use crate::gzip::unpack;

/// Looked for at once when a set is made.
const LOOKS: usize = 16;

/// Stores file `number` of the workspace, counted from 1. Sent again with the same content, it is stored once.
pub async fn save_file(
    app: &App,
    execution: ExecutionId,
    token: &str,
    number: u32,
    body: Vec<u8>,
) -> Result<Reply, ExecutionError> {
    let run = authorize(app, execution, token).await?;
    if body.len() > limits::SAVED_FILE_BYTES {
        return Err(ExecutionError::TooLarge { limit: limits::SAVED_FILE_BYTES });
    }
    if !(1..=limits::SAVED_FILES).contains(&(number as usize)) {
        return Err(ExecutionError::Malformed(format!("files are numbered from 1 to {}", limits::SAVED_FILES)));
    }
    let content = unpack(&body, limits::SAVED_FILE_UNPACKED_BYTES)?;
    // A file with a part blotted out would be another file. The agent leaves such files out by itself.
    if masker(app, &run, execution).await?.finds(&content) {
        return Err(ExecutionError::Malformed("the file holds the value of a secret".to_owned()));
    }
    let sha256 = digest(&content).to_string();
    let metadata =
        StoredMetadata::from([("sha256".to_owned(), sha256.clone()), ("bytes".to_owned(), content.len().to_string())]);
    let key = ArchiveKey::Artifact { team: &run.team, execution, number };
    if app.archive.create(&key, body, metadata).await? == Created::Already {
        let stored = app.archive.metadata(&key).await?.unwrap_or_default();
        if stored.get("sha256") != Some(&sha256) {
            return Err(ExecutionError::Conflict(number));
        }
    }
    Ok(reply(app, &run))
}

/// Makes a set of the files that were stored: all that it lists have to be there. The first set of an execution is its
/// only one.
pub async fn save_set(app: &App, execution: ExecutionId, token: &str, set: &SavedSet) -> Result<Reply, ExecutionError> {
    let run = authorize(app, execution, token).await?;
    set.check().map_err(|err| ExecutionError::Malformed(err.to_string()))?;
    let masker = masker(app, &run, execution).await?;
    if set.files.iter().any(|file| masker.finds(file.path.as_bytes())) {
        return Err(ExecutionError::Malformed("path: holds the value of a secret".to_owned()));
    }
    let mut set = SavedSet { saved_at: None, ..set.clone() };
    for left_out in &mut set.left_out {
        left_out.path = masker.mask(&left_out.path);
        left_out.reason = masker.mask(&left_out.reason);
    }
    let sent = digest(&serde_json::to_vec(&set).unwrap_or_default()).to_string();
    for files in set.files.chunks(LOOKS) {
        try_join_all(files.iter().map(|file| is_stored(app, &run, execution, file))).await?;
    }

    set.saved_at = Some(app.now());
    let object = serde_json::to_vec(&set).unwrap_or_default();
    let key = ArchiveKey::ArtifactSet { team: &run.team, execution };
    let metadata = StoredMetadata::from([("sent-sha256".to_owned(), sent.clone())]);
    if app.archive.create(&key, object, metadata).await? == Created::Already {
        let stored = app.archive.metadata(&key).await?.unwrap_or_default();
        if stored.get("sent-sha256") != Some(&sent) {
            return Err(ExecutionError::Conflict(0));
        }
    }
    Ok(reply(app, &run))
}

async fn is_stored(app: &App, run: &Run, execution: ExecutionId, file: &SavedFile) -> Result<(), ExecutionError> {
    let number = file.number;
    let key = ArchiveKey::Artifact { team: &run.team, execution, number };
    let stored = app.archive.metadata(&key).await?.unwrap_or_default();
    let is_it = stored.get("sha256") == Some(&file.sha256) && stored.get("bytes") == Some(&file.bytes.to_string());
    if is_it { Ok(()) } else { Err(ExecutionError::Malformed(format!("file {number} was not stored as it is listed"))) }
}

/// A file that an earlier execution of the run saved, as it is stored: gzip.
pub async fn saved_file(
    app: &App,
    execution: ExecutionId,
    token: &str,
    from: u32,
    number: u32,
) -> Result<Vec<u8>, ExecutionError> {
    let run = authorize(app, execution, token).await?;
    let no_file = || ExecutionError::NoFile;
    if !(1..execution.number).contains(&from) {
        return Err(no_file());
    }
    let key = ArchiveKey::Artifact { team: &run.team, execution: ExecutionId::new(execution.run, from), number };
    Ok(app.archive.read(&key).await?.ok_or_else(no_file)?.bytes.into())
}
