//! Reading the audit trail back: the manifest, the list of segments, and each as it is stored.

use ozma_domain::audit::SignedManifest;
use ozma_domain::audit::manifest::SegmentEntry;
use ozma_domain::id::{ExecutionId, RunId, TeamId};
use ozma_store::{ArchiveKey, Object, Owed, StoreError};

use crate::App;

/// What there is of a run's trail.
#[derive(Clone, Debug)]
pub struct Trail {
    /// Whether the trail has been sealed. Without a manifest, somebody took it away.
    pub sealed: bool,
    pub manifest: Option<SignedManifest>,
    /// Of the signing key, 32 bytes in base64; empty before the installation has one. Keep a copy of your own: one that comes with the data proves nothing.
    pub public_key: String,
    pub segments: Vec<TrailSegment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrailSegment {
    pub key: String,
    pub execution: u32,
    pub sequence: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("there is no run {0}")]
    Unknown(RunId),
    #[error("there is no such segment")]
    NoSegment,
    #[error("the audit trail could not be read")]
    Store(#[from] StoreError),
}

pub async fn trail(app: &App, team: &TeamId, run_id: RunId) -> Result<Trail, AuditError> {
    let run = app.store.run(run_id).await?.filter(|run| run.team == *team).ok_or(AuditError::Unknown(run_id))?;
    let key = ArchiveKey::Manifest { team, run: run_id, executions: run.executions };
    let public_key = app.store.audit_key().await?.unwrap_or_default();
    if let Some(object) = app.archive.read(&key).await? {
        let unreadable = |cause| StoreError::Unreadable { what: key.to_string(), cause };
        let manifest: SignedManifest = serde_json::from_slice(&object.bytes).map_err(|err| unreadable(err.into()))?;
        // What was sealed and nothing else. Changed by somebody, it lists nothing, and whoever verifies it is told.
        let sealed = manifest.open(&public_key).map(|opened| opened.segments).unwrap_or_default();
        let segment =
            |entry: SegmentEntry| TrailSegment { key: entry.key, execution: entry.execution, sequence: entry.sequence };
        let segments = sealed.into_iter().map(segment).collect();
        return Ok(Trail { sealed: true, manifest: Some(manifest), public_key, segments });
    }
    let mut segments = Vec::new();
    for execution in 1..=run.executions {
        for sequence in 1..=run.last_segment(execution) {
            let key = ArchiveKey::Segment { team, execution: ExecutionId::new(run_id, execution), sequence };
            if app.archive.metadata(&key).await?.is_none() {
                break;
            }
            segments.push(TrailSegment { key: key.to_string(), execution, sequence });
        }
    }
    let sealed = app.store.ended(&run).await?.is_some_and(|ended| !ended.owed.contains(&Owed::Seal));
    Ok(Trail { sealed, manifest: None, public_key, segments })
}

/// A segment as it is stored: gzipped JSON lines.
pub async fn segment(app: &App, team: &TeamId, execution: ExecutionId, sequence: u32) -> Result<Object, AuditError> {
    let run = app.store.run(execution.run).await?.filter(|run| run.team == *team);
    run.ok_or(AuditError::Unknown(execution.run))?;
    let key = ArchiveKey::Segment { team, execution, sequence };
    app.archive.read(&key).await?.ok_or(AuditError::NoSegment)
}
