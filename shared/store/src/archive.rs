//! The archive: objects that are written once and never changed.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use jiff::Timestamp;
use ozma_domain::id::{DeliveryId, ExecutionId, RunId, TeamId};

use crate::error::{StoreError, code};
use crate::table::Created;

#[derive(Clone, Debug)]
pub struct Archive {
    client: Client,
    bucket: String,
}

/// Every kind of object there is. Nothing else spells a key.
#[derive(Clone, Copy, Debug)]
pub enum ArchiveKey<'a> {
    /// Audit events, gzipped JSON lines, partitioned for Athena.
    Segment {
        team: &'a TeamId,
        execution: ExecutionId,
        sequence: u32,
    },
    /// The signed manifest of a run that ended with that many executions.
    Manifest {
        team: &'a TeamId,
        run: RunId,
        executions: u32,
    },
    /// A piece of a command's output that was too long to stream.
    OutputPart {
        team: &'a TeamId,
        execution: ExecutionId,
        command: u32,
        part: u32,
    },
    /// A file that an execution left in its workspace.
    Artifact {
        team: &'a TeamId,
        execution: ExecutionId,
        number: u32,
    },
    /// The list of those files: without it, they are no set.
    ArtifactSet {
        team: &'a TeamId,
        execution: ExecutionId,
    },
    Prompt {
        team: &'a TeamId,
        run: RunId,
    },
    /// The body of a delivery.
    Payload {
        team: &'a TeamId,
        delivery: DeliveryId,
    },
}

/// An object as read.
#[derive(Clone, Debug)]
pub struct Object {
    pub bytes: Bytes,
    pub metadata: StoredMetadata,
}

/// Between the tries of a write that raced with another.
const CONFLICT_PAUSES: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(800)];

/// What is kept beside an object: short names and values.
pub type StoredMetadata = HashMap<String, String>;

impl Archive {
    pub fn new(client: Client, bucket: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into() }
    }

    /// Writes an object that must not exist: `If-None-Match: *`, which the bucket's policy demands as well.
    pub async fn create(
        &self,
        key: &ArchiveKey<'_>,
        bytes: Vec<u8>,
        metadata: StoredMetadata,
    ) -> Result<Created, StoreError> {
        // Requests are boxed, here and below: what the SDK does for one is as deep as all use cases above it together.
        let bytes = Bytes::from(bytes);
        let mut pauses = CONFLICT_PAUSES.into_iter();
        loop {
            let put = self
                .client
                .put_object()
                .bucket(&self.bucket)
                .key(key.to_string())
                .if_none_match("*")
                .set_metadata(Some(metadata.clone()))
                .content_type(key.content_type())
                .body(ByteStream::from(bytes.clone()));
            let err = match Box::pin(put.send()).await {
                Ok(_) => return Ok(Created::Now),
                Err(err) if code(&err) == Some("PreconditionFailed") => return Ok(Created::Already),
                Err(err) => err,
            };
            // A race with another request for the same key that decides nothing: S3 asks for the upload to be repeated.
            match pauses.next() {
                Some(pause) if code(&err) == Some("ConditionalRequestConflict") => tokio::time::sleep(pause).await,
                _ => return Err(StoreError::service("write to the archive")(err)),
            }
        }
    }

    pub async fn read(&self, key: &ArchiveKey<'_>) -> Result<Option<Object>, StoreError> {
        self.read_key(&key.to_string()).await
    }

    /// Reads an object by the key that a row or a manifest holds.
    pub async fn read_key(&self, key: &str) -> Result<Option<Object>, StoreError> {
        let get = self.client.get_object().bucket(&self.bucket).key(key);
        let object = match Box::pin(get.send()).await {
            Ok(object) => object,
            Err(err) if code(&err) == Some("NoSuchKey") => return Ok(None),
            Err(err) => return Err(StoreError::service("read from the archive")(err)),
        };
        let metadata = object.metadata.unwrap_or_default();
        let bytes = object.body.collect().await.map_err(StoreError::service("read from the archive"))?;
        Ok(Some(Object { bytes: bytes.into_bytes(), metadata }))
    }

    pub async fn metadata(&self, key: &ArchiveKey<'_>) -> Result<Option<StoredMetadata>, StoreError> {
        let head = self.client.head_object().bucket(&self.bucket).key(key.to_string());
        match Box::pin(head.send()).await {
            Ok(head) => Ok(Some(head.metadata.unwrap_or_default())),
            // HEAD has no body to carry a code: the SDK knows it by the status.
            Err(err) if matches!(code(&err), Some("NotFound" | "NoSuchKey")) => Ok(None),
            Err(err) if err.raw_response().is_some_and(|raw| raw.status().as_u16() == 404) => Ok(None),
            Err(err) => Err(StoreError::service("look into the archive")(err)),
        }
    }
}

impl ArchiveKey<'_> {
    fn content_type(&self) -> &'static str {
        match self {
            Self::Segment { .. } | Self::OutputPart { .. } | Self::Artifact { .. } => "application/gzip",
            Self::Manifest { .. } | Self::ArtifactSet { .. } | Self::Payload { .. } => "application/json",
            Self::Prompt { .. } => "text/plain; charset=utf-8",
        }
    }
}

impl fmt::Display for ArchiveKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment { team, execution, sequence } => {
                let ExecutionId { run, number } = execution;
                write!(f, "audit/v1/team={team}/date={}/run={run}/{number:06}-{sequence:06}.jsonl.gz", date(*run))
            }
            Self::Manifest { team, run, executions } => {
                write!(f, "manifest/v1/team={team}/date={}/run={run}/{executions:06}.json", date(*run))
            }
            Self::OutputPart { team, execution, command, part } => {
                let ExecutionId { run, number } = execution;
                let date = date(*run);
                write!(f, "output/v1/team={team}/date={date}/run={run}/{number:06}-{command:06}-{part:06}.gz")
            }
            Self::Artifact { team, execution: ExecutionId { run, number }, number: file } => {
                write!(f, "artifacts/v1/team={team}/date={}/run={run}/{number:06}/{file:06}.gz", date(*run))
            }
            Self::ArtifactSet { team, execution: ExecutionId { run, number } } => {
                write!(f, "artifacts/v1/team={team}/date={}/run={run}/{number:06}/set.json", date(*run))
            }
            Self::Prompt { team, run } => {
                write!(f, "prompt/v1/team={team}/date={}/run={run}/prompt.txt", date(*run))
            }
            Self::Payload { team, delivery } => {
                write!(f, "payload/v1/team={team}/date={}/{delivery}.json", day(delivery.unix_ms()))
            }
        }
    }
}

/// The day a run was accepted, in UTC: its id tells.
fn date(run: RunId) -> String {
    day(run.unix_ms())
}

fn day(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    at.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_there_is() {
        let team: TeamId = "local".parse().unwrap();
        let run = RunId::new(1_795_226_584_005, [7; 10]);
        let execution = ExecutionId::new(run, 1);
        let keys = [
            ArchiveKey::Segment { team: &team, execution, sequence: 12 },
            ArchiveKey::Manifest { team: &team, run, executions: 1 },
            ArchiveKey::OutputPart { team: &team, execution, command: 2, part: 3 },
            ArchiveKey::Artifact { team: &team, execution, number: 4 },
            ArchiveKey::ArtifactSet { team: &team, execution },
            ArchiveKey::Prompt { team: &team, run },
            ArchiveKey::Payload { team: &team, delivery: DeliveryId::new(1_795_226_584_005, [7; 10]) },
        ];
        insta::assert_snapshot!(keys.map(|key| key.to_string()).join("\n"));
    }
}
