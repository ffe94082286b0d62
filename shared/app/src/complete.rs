//! Complete: what the end of a run owes. The audit trail is sealed, the outcome published, and who subscribed is notified, each
//! at least once.

use futures_util::stream::{self, StreamExt};
use ozma_domain::audit::manifest::{Manifest, SegmentEntry, SignedManifest};
use ozma_domain::audit::{Digest, digest};
use ozma_domain::id::{ExecutionId, RunId};
use ozma_domain::lane::Lane;
use ozma_domain::run::{Prompt, Run, RunRequest};
use ozma_domain::state::RunState;
use ozma_store::{ArchiveKey, Owed, StoreError, Written};

use crate::App;
use crate::automations::after_run;
use crate::metrics;
use crate::notify::{self, send_answer};
use crate::ports::{PortError, RunEnded};

#[derive(Debug, thiserror::Error)]
pub enum CompleteError {
    #[error("an end could not be completed")]
    Store(#[from] StoreError),
    #[error("an outcome could not be published")]
    Bus(#[from] PortError),
}

/// Does what is owed of a run's end, as far as it can be done now. Returns what still is.
pub async fn complete(app: &App, run_id: RunId) -> Result<Vec<Owed>, CompleteError> {
    let Some(run) = app.store.run(run_id).await?.filter(|run| run.state.is_terminal()) else { return Ok(Vec::new()) };
    let Some(ended) = app.store.ended(&run).await?.filter(|ended| !ended.owed.is_empty()) else {
        return Ok(Vec::new());
    };
    let Some(request) = app.store.request(&run.team, run_id).await? else { return Ok(Vec::new()) };
    let mut still = ended.owed.clone();
    let mut failure = None;
    // None waits for another: a bus that is down keeps no trail unsealed. A cancelled agent may still be saying its
    // last words, so its trail is sealed when it is gone.
    if still.contains(&Owed::Publish) {
        note_end(app, &run).await?;
        match app.bus.publish(&event(&run, &request)).await {
            Ok(()) => still.retain(|owed| *owed != Owed::Publish),
            Err(err) => failure = Some(CompleteError::from(err)),
        }
    }
    if still.contains(&Owed::Notify) {
        match notify::ended(app, &run, &request).await {
            Ok(()) => still.retain(|owed| *owed != Owed::Notify),
            Err(err) => failure = Some(err.into()),
        }
    }
    // Whoever speaks to providers strikes it off.
    if still.contains(&Owed::Answer) {
        send_answer(app, &run).await;
    }
    if still.contains(&Owed::Seal) && run.held_slot().is_none() {
        match seal(app, &run, &request).await {
            Ok(()) => still.retain(|owed| *owed != Owed::Seal),
            Err(err) => failure = Some(err.into()),
        }
    }
    let mut was = ended.owed;
    while still != was {
        if app.store.settle_owed(&run, &was, &still).await? == Written::Now {
            if still.iter().all(|owed| *owed == Owed::Answer) {
                metrics::stage("Settle", &run, run.ended_at.unwrap_or(run.updated_at), app.now());
            }
            break;
        }
        // Done by somebody else as well: nothing that they have done is owed again.
        was = app.store.ended(&run).await?.map(|ended| ended.owed).unwrap_or_default();
        still.retain(|owed| was.contains(owed));
    }
    failure.map_or(Ok(still), Err)
}

/// Tells the automation that asked for the run how it ended. What somebody cancelled says nothing of it.
async fn note_end(app: &App, run: &Run) -> Result<(), StoreError> {
    let Lane::Automation(id) = &run.share.lane else { return Ok(()) };
    let succeeded = match run.state {
        RunState::Succeeded => true,
        RunState::Failed | RunState::Error => false,
        _ => return Ok(()),
    };
    after_run(app, id, run.run_id, succeeded, run.ended_at.unwrap_or(run.updated_at)).await
}

fn event(run: &Run, request: &RunRequest) -> RunEnded {
    RunEnded {
        id: format!("{}/{}/{}", run.run_id, run.executions, run.state),
        run_id: run.run_id,
        team: run.team.clone(),
        state: run.state,
        ended_at: run.ended_at.unwrap_or(run.updated_at),
        title: request.title.clone(),
        message: run.status.as_ref().map(|status| status.message.clone()).unwrap_or_default(),
    }
}

/// Writes the signed manifest. Sealed twice, the first stays: the object is written once.
async fn seal(app: &App, run: &Run, request: &RunRequest) -> Result<(), StoreError> {
    let mut executions = match run.executions {
        0 | 1 => Vec::new(),
        _ => app.store.past_executions(run.run_id).await?,
    };
    executions.extend(run.execution.clone());
    let mut segments = Vec::new();
    let mut complete = true;
    for execution in &executions {
        // An execution that was never claimed wrote nothing and is complete without a word.
        let last = execution.last_segment.or_else(|| execution.claimed_at.is_none().then_some(0));
        let stored = stored_segments(app, run, execution.number, last).await?;
        complete &= last.is_some_and(|last| usize::try_from(last) == Ok(stored.len()));
        segments.extend(stored);
    }
    let manifest = Manifest {
        run_id: run.run_id,
        team: run.team.clone(),
        state: run.state,
        created_at: run.created_at,
        ended_at: run.ended_at.unwrap_or(run.updated_at),
        sealed_at: app.now(),
        creator: request.creator.clone(),
        prompt_sha256: prompt_digest(app, request).await?,
        complete,
        segments,
    };
    let signed = SignedManifest::sign(&manifest, &app.settings.signing_seed);
    let bytes = serde_json::to_vec(&signed)
        .map_err(|err| StoreError::Unreadable { what: "the manifest".to_owned(), cause: err.into() })?;
    let key = ArchiveKey::Manifest { team: &run.team, run: run.run_id, executions: run.executions };
    app.archive.create(&key, bytes, [].into()).await?;
    tracing::info!(run.id = %run.run_id, segments = manifest.segments.len(), complete, "sealed the audit trail");
    Ok(())
}

/// Segments that are looked for at a time. An execution whose agent did not say how many there are is looked through up to
/// the first that is missing, and that many beyond.
const SEGMENTS_AT_ONCE: usize = 16;

/// The segments of an execution up to its `last`, if that is known, as long as they are without a gap.
async fn stored_segments(
    app: &App,
    run: &Run,
    execution: u32,
    last: Option<u32>,
) -> Result<Vec<SegmentEntry>, StoreError> {
    let id = ExecutionId::new(run.run_id, execution);
    let mut entries = Vec::new();
    let key = |sequence| ArchiveKey::Segment { team: &run.team, execution: id, sequence };
    // What arrives after the agent's last word is not its trail. A trail of a day has thousands of segments: many are
    // looked at a time.
    let mut stored = stream::iter(1..=last.unwrap_or(u32::MAX))
        .map(async |sequence| (sequence, app.archive.metadata(&key(sequence)).await))
        .buffered(SEGMENTS_AT_ONCE);
    while let Some((sequence, metadata)) = stored.next().await {
        let Some(metadata) = metadata? else { break };
        let key = key(sequence);
        let text = |name: &str| metadata.get(name).cloned().unwrap_or_default();
        let unreadable =
            |what: &str| StoreError::Unreadable { what: format!("{what} of {key}"), cause: "absent".into() };
        entries.push(SegmentEntry {
            key: key.to_string(),
            execution,
            sequence,
            sha256: text("sha256").parse::<Digest>().map_err(|_| unreadable("the hash"))?,
            events: text("events").parse().map_err(|_| unreadable("the event count"))?,
            head: text("head").parse::<Digest>().map_err(|_| unreadable("the chain"))?,
        });
    }
    Ok(entries)
}

async fn prompt_digest(app: &App, request: &RunRequest) -> Result<Digest, StoreError> {
    match &request.prompt {
        Prompt::Inline(prompt) => Ok(digest(prompt.as_bytes())),
        Prompt::Archived { key, .. } => {
            let object = app.archive.read_key(key).await?;
            Ok(digest(&object.map(|object| object.bytes).unwrap_or_default()))
        }
    }
}
