//! Record: what an agent did goes into the archive, numbered, chained and masked outside the agent's reach.

use std::sync::Arc;

use ozma_domain::audit::{Chain, Digest, digest};
use ozma_domain::id::ExecutionId;
use ozma_domain::limits;
use ozma_domain::mask::Masker;
use ozma_domain::protocol::{Reply, Usage};
use ozma_domain::receipt;
use ozma_domain::run::Run;
use ozma_store::{ArchiveKey, Created, StoredMetadata, Written};
use serde_json::Value;

use super::claim::masker;
use super::{ExecutionError, authorize, reply};
use crate::App;
use crate::budget::keep_up;
use crate::gzip::{GunzipError, pack, unpack};

/// What an agent says beside the events of a segment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// The id of the last message that it heard.
    pub last_message: &'a str,
    /// What the answer to the segment before said; without it, that segment is looked for.
    pub receipt: Option<&'a str>,
    /// The sum so far of this execution.
    pub usage: Option<Usage>,
}

/// Stores segment `sequence`, counted from 1. Sent again with the same content, it is stored once.
pub async fn segment(
    app: &App,
    execution: ExecutionId,
    token: &str,
    sequence: u32,
    body: &[u8],
    beside: Beside<'_>,
) -> Result<Reply, ExecutionError> {
    let run = authorize(app, execution, token).await?;
    if body.len() > limits::SEGMENT_BYTES {
        return Err(ExecutionError::TooLarge { limit: limits::SEGMENT_BYTES });
    }
    if !(1..=999_999).contains(&sequence) {
        return Err(ExecutionError::Malformed("segments are numbered from 1 to 999999".to_owned()));
    }
    let claim_key = &app.settings.claim_key;
    let mut chain = match beside.receipt.and_then(|text| receipt::check(claim_key, execution, sequence - 1, text)) {
        Some(chain) => chain,
        None => chain_before(app, &run, execution, sequence).await?,
    };
    let events = unpack(body, limits::SEGMENT_UNPACKED_BYTES)?;
    let masker = masker(app, &run, execution).await?;
    let lines = chained(&mut chain, &masker, &events)?;
    let object = pack(lines.as_bytes());
    let metadata = StoredMetadata::from([
        ("sha256".to_owned(), digest(&object).to_string()),
        ("events".to_owned(), chain.events.to_string()),
        ("head".to_owned(), chain.head.to_string()),
        ("sent-sha256".to_owned(), digest(body).to_string()),
    ]);
    let key = ArchiveKey::Segment { team: &run.team, execution, sequence };
    if app.archive.create(&key, object, metadata).await? == Created::Already {
        let stored = app.archive.metadata(&key).await?.unwrap_or_default();
        if stored.get("sent-sha256") != Some(&digest(body).to_string()) {
            return Err(ExecutionError::Conflict(sequence));
        }
        // What was stored first counts: a secret that was replaced since would be masked otherwise today.
        chain = chain_after(&key, &stored)?;
    }
    let run = beat(app, execution, token, run).await?;
    let mut reply = reply(app, &run);
    reply.over_budget = keep_up(app, execution, run, beside.usage).await?;
    reply.messages = app.store.has_messages(execution.run, beside.last_message).await?;
    reply.receipt = Some(receipt::issue(claim_key, execution, sequence, chain));
    Ok(reply)
}

/// Stores part `part` of the long output of command `command`, both counted from 1.
pub async fn output(
    app: &App,
    execution: ExecutionId,
    token: &str,
    (command, part): (u32, u32),
    body: &[u8],
) -> Result<Reply, ExecutionError> {
    let run = authorize(app, execution, token).await?;
    if body.len() > limits::OUTPUT_PART_BYTES {
        return Err(ExecutionError::TooLarge { limit: limits::OUTPUT_PART_BYTES });
    }
    if !(1..=999_999).contains(&command) || !(1..=999_999).contains(&part) {
        return Err(ExecutionError::Malformed("command and part are numbered from 1".to_owned()));
    }
    let bytes = unpack(body, limits::SEGMENT_UNPACKED_BYTES)?;
    let masker: Arc<Masker> = masker(app, &run, execution).await?;
    let key = ArchiveKey::OutputPart { team: &run.team, execution, command, part };
    app.archive.create(&key, pack(&masker.mask_bytes(&bytes)), [].into()).await?;
    let run = beat(app, execution, token, run).await?;
    Ok(reply(app, &run))
}

/// Where the chain stands before segment `sequence`: the segment before it must be there.
async fn chain_before(app: &App, run: &Run, execution: ExecutionId, sequence: u32) -> Result<Chain, ExecutionError> {
    if sequence == 1 {
        return Ok(Chain::genesis(execution));
    }
    let key = ArchiveKey::Segment { team: &run.team, execution, sequence: sequence - 1 };
    let Some(metadata) = app.archive.metadata(&key).await? else {
        // Counts from the start: this is the way of a broken agent, not of every segment.
        let mut expected = 1;
        while app
            .archive
            .metadata(&ArchiveKey::Segment { team: &run.team, execution, sequence: expected })
            .await?
            .is_some()
        {
            expected += 1;
        }
        return Err(ExecutionError::OutOfOrder { expected, found: sequence });
    };
    chain_after(&key, &metadata)
}

/// Where the chain stands after a stored segment, by what it was stored with.
fn chain_after(key: &ArchiveKey<'_>, metadata: &StoredMetadata) -> Result<Chain, ExecutionError> {
    let head = metadata.get("head").and_then(|head| head.parse::<Digest>().ok());
    let events = metadata.get("events").and_then(|events| events.parse().ok());
    match (events, head) {
        (Some(events), Some(head)) => Ok(Chain { events, head }),
        _ => Err(ExecutionError::Malformed(format!("{key} lacks the metadata that it was stored with"))),
    }
}

/// The agent's lines, masked once more and chained, each with its line end.
fn chained(chain: &mut Chain, masker: &Masker, events: &[u8]) -> Result<String, ExecutionError> {
    let text =
        std::str::from_utf8(events).map_err(|_| ExecutionError::Malformed("the lines are not UTF-8".to_owned()))?;
    let mut lines = String::with_capacity(text.len() + text.len() / 4);
    for (at, line) in text.lines().enumerate() {
        let Ok(Value::Object(mut event)) = serde_json::from_str(line) else {
            return Err(ExecutionError::Malformed(format!("line {} is not a JSON object", at + 1)));
        };
        let kind = event.get("type").cloned();
        let mut value = Value::Object(event);
        masker.mask_json(&mut value);
        let Value::Object(masked) = value else { continue };
        event = masked;
        // A secret that is also the name of a record type must not make the record unreadable.
        if let Some(kind) = kind {
            event.insert("type".to_owned(), kind);
        }
        lines.push_str(&chain.add(&event));
        lines.push('\n');
        // Numbering adds some 90 bytes to each event, which millions of empty ones turn into a flood.
        if lines.len() > limits::SEGMENT_CHAINED_BYTES {
            return Err(ExecutionError::TooLarge { limit: limits::SEGMENT_CHAINED_BYTES });
        }
    }
    Ok(lines)
}

/// Every segment is a sign of life; the lease is written only when a heartbeat of it is used up.
async fn beat(app: &App, execution: ExecutionId, token: &str, mut run: Run) -> Result<Run, ExecutionError> {
    while let Some(beaten) = run.beaten(app.now(), app.settings.heartbeat_seconds, app.settings.lease_seconds) {
        if app.store.update_run_row(&run, &beaten).await? == Written::Now {
            return Ok(beaten);
        }
        run = authorize(app, execution, token).await?;
    }
    Ok(run)
}

impl From<GunzipError> for ExecutionError {
    fn from(err: GunzipError) -> Self {
        match err {
            GunzipError::NotGzip => Self::Malformed(err.to_string()),
            GunzipError::TooLarge { limit } => Self::TooLarge { limit },
        }
    }
}
