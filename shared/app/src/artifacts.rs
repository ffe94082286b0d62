//! What a run's executions left in their workspaces, as it is read back.

use ozma_domain::artifact::{ArtifactId, SavedFile, SavedSet};
use ozma_domain::id::{ExecutionId, TeamId};
use ozma_domain::limits;
use ozma_domain::run::Run;
use ozma_store::{ArchiveKey, Object, StoreError};

use crate::App;
use crate::gzip::{GunzipError, unpack};

/// The set of one execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    pub execution: ExecutionId,
    pub set: SavedSet,
}

/// One file of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    pub id: ArtifactId,
    pub file: SavedFile,
    pub set: SavedSet,
}

#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    #[error("there is no such artifact")]
    Unknown,
    #[error("the artifacts could not be read")]
    Store(#[from] StoreError),
}

/// The latest set of a run. Each execution begins with the one before it, so that it says all. No row knows of it: the
/// archive is asked, so that this is for one run at a time.
pub async fn latest(app: &App, run: &Run) -> Result<Option<Saved>, StoreError> {
    // An execution at work has saved nothing yet.
    let at_work = run.execution.as_ref().is_some_and(|current| current.ended_at.is_none() && !current.closed);
    before(app, run, run.executions + u32::from(!at_work)).await
}

/// The latest set of the executions before that one.
pub async fn before(app: &App, run: &Run, number: u32) -> Result<Option<Saved>, StoreError> {
    for number in (1..number.min(run.executions + 1)).rev().take(limits::SAVED_LOOKBACK as usize) {
        let execution = ExecutionId::new(run.run_id, number);
        if let Some(set) = set(app, &run.team, execution).await? {
            return Ok(Some(Saved { execution, set }));
        }
    }
    Ok(None)
}

pub async fn find(app: &App, team: &TeamId, id: ArtifactId) -> Result<Artifact, ArtifactError> {
    let run = app.store.run(id.execution.run).await?.filter(|run| run.team == *team);
    run.ok_or(ArtifactError::Unknown)?;
    let set = set(app, team, id.execution).await?.ok_or(ArtifactError::Unknown)?;
    let file = set.files.iter().find(|file| file.number == id.number).cloned().ok_or(ArtifactError::Unknown)?;
    Ok(Artifact { id, file, set })
}

/// As it is stored: gzip.
pub async fn read(app: &App, team: &TeamId, artifact: &Artifact) -> Result<Object, ArtifactError> {
    let ArtifactId { execution, number } = artifact.id;
    let key = ArchiveKey::Artifact { team, execution, number };
    app.archive.read(&key).await?.ok_or(ArtifactError::Unknown)
}

/// What was stored, unpacked.
pub fn content(artifact: &Artifact, object: &Object) -> Result<Vec<u8>, ArtifactError> {
    let unreadable = |err: GunzipError| StoreError::Unreadable { what: artifact.id.to_string(), cause: err.into() };
    Ok(unpack(&object.bytes, limits::SAVED_FILE_UNPACKED_BYTES).map_err(unreadable)?)
}

async fn set(app: &App, team: &TeamId, execution: ExecutionId) -> Result<Option<SavedSet>, StoreError> {
    let key = ArchiveKey::ArtifactSet { team, execution };
    let Some(object) = app.archive.read(&key).await? else { return Ok(None) };
    let unreadable = |err: serde_json::Error| StoreError::Unreadable { what: key.to_string(), cause: err.into() };
    serde_json::from_slice(&object.bytes).map(Some).map_err(unreadable)
}
