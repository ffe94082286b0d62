//! `oz audit`: read what an agent did, and prove that nobody changed the record.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use flate2::read::MultiGzDecoder;
use ozma_api::wire::AuditIndex;
use ozma_domain::audit::verify::{StoredSegment, Verified, verify};
use ozma_domain::audit::{Event, Manifest, SignedManifest};
use ozma_domain::id::RunId;
use ozma_domain::limits;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::args::{Format, Global};
use crate::client::Client;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::output::{self, DIM, GREEN, YELLOW, styled};
use crate::transcript;

const EXAMPLES: &str = "\
Examples:
  oz audit show RUN                                      every event, in order
  oz audit verify RUN                                    check the seal and the chain
  oz audit verify RUN --dir archive/ --public-key k.pub  the same without any server";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum AuditCommand {
    /// Print a run's audit trail
    #[command(after_help = EXAMPLES)]
    Show { run: RunId },
    /// Prove that a run's audit trail is what was sealed
    #[command(after_help = EXAMPLES)]
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    run: RunId,

    /// A copy of the archive, to verify without a control plane
    #[arg(long, value_name = "DIR", requires = "public_key")]
    dir: Option<PathBuf>,

    /// A file with the key that must have signed (32 bytes in base64); without it, the control plane is asked for its own
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
}

/// The events of a run, as JSON.
#[derive(Serialize)]
struct Shown<'a> {
    index: &'a AuditIndex,
    events: Vec<Box<RawValue>>,
}

/// The proof, as JSON.
#[derive(Serialize)]
struct Proof {
    run_id: RunId,
    state: String,
    verified: bool,
    complete: bool,
    segments: usize,
    events: u64,
    sealed_at: jiff::Timestamp,
    prompt_sha256: String,
    public_key: String,
}

pub(crate) async fn run(global: &Global, command: AuditCommand) -> Result<Exit, Failure> {
    match command {
        AuditCommand::Show { run } => connect::with(global, async |client| show(global, client, run).await).await,
        AuditCommand::Verify(args) => {
            let key = args.public_key.as_deref().map(read_key).transpose()?;
            match (&args.dir, key) {
                (Some(dir), Some(key)) => {
                    let (manifest, root) = find_manifest(dir, args.run)?;
                    let read = |key: &str| read_segment(dir, &root, key);
                    prove(global.output_format, args.run, &manifest, &key, read)
                }
                (_, key) => {
                    connect::with(global, async |client| verify_online(global, client, args.run, key).await).await
                }
            }
        }
    }?;
    Ok(Exit::Succeeded)
}

async fn show(global: &Global, client: &Client, run: RunId) -> Result<(), Failure> {
    let index = client.audit(run).await?;
    let people = matches!(global.output_format, Format::Pretty | Format::Text);
    if people {
        let sealed = if index.sealed { styled(GREEN, "sealed") } else { styled(YELLOW, "not sealed yet") };
        output::line(format_args!("audit trail of {run}: {sealed}"))?;
    }
    let mut all = Vec::new();
    let mut objects = BTreeMap::new();
    let mut execution = None;
    for segment in &index.segments {
        if people && execution.replace(segment.execution) != Some(segment.execution) {
            output::line(styled(DIM, format_args!("execution {}", segment.execution)))?;
        }
        let object = match client.segment(run, segment.execution, segment.sequence).await {
            Ok(object) => object,
            // What is sealed and gone is told of below.
            Err(err) if err.is_not_found() && index.sealed => continue,
            Err(err) => return Err(err.into()),
        };
        let lines = unpack(&object).ok_or_else(|| Failure::new(format!("cannot unpack {}", segment.key)))?;
        for text in lines.lines() {
            match global.output_format {
                Format::Ndjson => output::raw(&format!("{text}\n"))?,
                Format::Json => all.extend(RawValue::from_string(text.to_owned()).ok()),
                Format::Pretty | Format::Text => match serde_json::from_str::<Event>(text) {
                    Ok(event) => output::line(transcript::describe(&event))?,
                    Err(_) => output::line(text)?,
                },
            }
        }
        objects.insert(segment.key.clone(), object);
    }
    if global.output_format == Format::Json {
        output::json(&Shown { index: &index, events: all })?;
    }
    // What was shown is not to be believed unless it is what was sealed.
    match &index.manifest {
        Some(signed) => check(run, signed, &index.public_key, |key| objects.remove(key)).map(drop),
        None if index.sealed => Err(tampered().because("its manifest is not in the archive any more")),
        None => Ok(()),
    }
}

async fn verify_online(global: &Global, client: &Client, run: RunId, key: Option<String>) -> Result<(), Failure> {
    let index = client.audit(run).await?;
    let Some(signed) = &index.manifest else {
        if index.sealed {
            return Err(tampered().because("the run was sealed, and its manifest is not in the archive any more"));
        }
        return Err(Failure::new(format!("the audit trail of {run} is not sealed yet"))
            .hint(format!("wait for the run's end with `oz run wait {run}`")));
    };
    let key = key.unwrap_or(index.public_key);
    let manifest = signed.open(&key).map_err(|err| tampered().because(err))?;
    let mut objects = BTreeMap::new();
    for entry in &manifest.segments {
        match client.segment(run, entry.execution, entry.sequence).await {
            Ok(object) => drop(objects.insert(entry.key.clone(), object)),
            // The proof names it.
            Err(err) if err.is_not_found() => {}
            Err(err) => return Err(err.into()),
        }
    }
    prove(global.output_format, run, signed, &key, |key| objects.remove(key))
}

/// Checks the signature, that it is this run's, and every segment; prints what was found.
fn prove(
    format: Format,
    run: RunId,
    signed: &SignedManifest,
    key: &str,
    read: impl FnMut(&str) -> Option<Vec<u8>>,
) -> Result<(), Failure> {
    let (manifest, verified) = check(run, signed, key, read)?;
    let proof = Proof {
        run_id: run,
        state: manifest.state.to_string(),
        verified: true,
        complete: verified.complete,
        segments: verified.segments,
        events: verified.events,
        sealed_at: manifest.sealed_at,
        prompt_sha256: manifest.prompt_sha256.to_string(),
        public_key: key.trim().to_owned(),
    };
    output::item(format, &proof, |proof| {
        let complete = if proof.complete {
            "yes: every segment that was written is there"
        } else {
            "no: an agent died without a last word, and what it did at the very end is not known"
        };
        vec![
            ("Verified", styled(GREEN, "yes: signature, segments and chain hold")),
            ("Complete", complete.to_owned()),
            ("Run", format!("{} ({})", proof.run_id, proof.state)),
            ("Content", format!("{} events in {} segments", proof.events, proof.segments)),
            ("Sealed", proof.sealed_at.to_string()),
            ("Prompt", format!("sha256 {}", proof.prompt_sha256)),
            ("Key", proof.public_key.clone()),
        ]
    })
}

fn check(
    run: RunId,
    signed: &SignedManifest,
    key: &str,
    mut read: impl FnMut(&str) -> Option<Vec<u8>>,
) -> Result<(Manifest, Verified), Failure> {
    let manifest = signed.open(key).map_err(|err| tampered().because(err))?;
    // A genuine manifest of another run proves nothing.
    if manifest.run_id != run {
        return Err(tampered().because(format!("the manifest is that of run {}", manifest.run_id)));
    }
    let verified = verify(&manifest, |key| {
        let object = read(key)?;
        // What cannot be unpacked has another hash than what was sealed, which is checked first.
        let lines = unpack(&object).unwrap_or_default();
        Some(StoredSegment { object, lines })
    })
    .map_err(|err| tampered().because(err))?;
    Ok((manifest, verified))
}

fn tampered() -> Failure {
    Failure::new("the audit trail does not hold")
}

fn unpack(object: &[u8]) -> Option<String> {
    // The chain's own members come on top of what an agent may send; far beyond is a bomb.
    const MOST: u64 = 4 * limits::SEGMENT_UNPACKED_BYTES as u64;
    let mut lines = String::new();
    let read = MultiGzDecoder::new(object).take(MOST + 1).read_to_string(&mut lines).ok()?;
    (read as u64 <= MOST).then_some(lines)
}

fn read_key(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map(|key| key.trim().to_owned())
        .map_err(|err| Failure::usage(format!("cannot read the public key {}", path.display())).because(err))
}

/// The newest manifest of a run below `dir`, and the folder that the archive's keys start from.
fn find_manifest(dir: &Path, run: RunId) -> Result<(SignedManifest, PathBuf), Failure> {
    let unreadable = |err| Failure::usage(format!("cannot read {}", dir.display())).because(err);
    let mut found: Option<(PathBuf, SignedManifest)> = None;
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let path = entry.path();
            if entry.file_type().map_err(unreadable)?.is_dir() {
                folders.push(path);
                continue;
            }
            let is_newer = found.as_ref().is_none_or(|(newest, _)| path > *newest);
            if is_newer && is_manifest_of(&path, run) {
                let signed = std::fs::read(&path).ok().and_then(|file| serde_json::from_slice(&file).ok());
                found = signed.map(|signed| (path, signed)).or(found);
            }
        }
    }
    let (path, signed) = found.ok_or_else(|| {
        Failure::new(format!("there is no manifest of run {run} below {}", dir.display()))
            .hint("copy the archive's folders `manifest` and `audit`, with their structure")
    })?;
    // Above `manifest/v1/team=…/date=…/run=…/`.
    let root = path.ancestors().find(|folder| folder.ends_with("manifest")).and_then(Path::parent).unwrap_or(dir);
    Ok((signed, root.to_owned()))
}

/// By its path, as the archive names it: `manifest/v1/team=…/date=…/run=…/000001.json`.
fn is_manifest_of(path: &Path, run: RunId) -> bool {
    let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let visible = path.file_stem().and_then(|name| name.to_str()).is_some_and(|name| !name.starts_with('.'));
    visible && path.extension().is_some_and(|extension| extension == "json") && folder == Some(&format!("run={run}"))
}

/// A segment of the copy. Keys come out of a signed manifest, and yet none leads out of the folder.
fn read_segment(dir: &Path, root: &Path, key: &str) -> Option<Vec<u8>> {
    let inside = Path::new(key).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let places = [root.join(key), dir.join(key)];
    places.iter().filter(|_| inside).find_map(|path| std::fs::read(path).ok())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ozma_domain::audit::manifest::public_key;
    use ozma_domain::audit::{Chain, SegmentEntry, digest};
    use ozma_domain::id::ExecutionId;
    use ozma_domain::state::RunState;

    use super::*;

    const SEED: [u8; 32] = [3; 32];

    fn run_id(number: u64) -> RunId {
        RunId::new(number, [1; 10])
    }

    /// An archive with one sealed run of one segment.
    fn archive(run: RunId) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut chain = Chain::genesis(ExecutionId::new(run, 1));
        let event = [("type".to_owned(), "notice".into())].into_iter().collect();
        let lines = format!("{}\n{}\n", chain.add(&event), chain.add(&event));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(lines.as_bytes()).unwrap();
        let object = gzip.finish().unwrap();
        let key = format!("audit/v1/team=local/date=2026-11-21/run={run}/000001-000001.jsonl.gz");
        let at = "2026-11-21T00:00:00Z".parse().unwrap();
        let segments = vec![SegmentEntry {
            key: key.clone(),
            execution: 1,
            sequence: 1,
            sha256: digest(&object),
            events: chain.events,
            head: chain.head,
        }];
        let manifest = Manifest {
            run_id: run,
            team: "local".parse().unwrap(),
            state: RunState::Succeeded,
            created_at: at,
            ended_at: at,
            sealed_at: at,
            creator: "admin".to_owned(),
            prompt_sha256: digest(b"true"),
            complete: true,
            segments,
        };
        let write = |key: &str, bytes: &[u8]| {
            let path = dir.path().join("bucket").join(key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        write(&key, &object);
        let signed = serde_json::to_vec(&SignedManifest::sign(&manifest, &SEED)).unwrap();
        write(&format!("manifest/v1/team=local/date=2026-11-21/run={run}/000001.json"), &signed);
        dir
    }

    fn offline(dir: &Path, run: RunId) -> String {
        let answer = find_manifest(dir, run)
            .and_then(|(signed, root)| check(run, &signed, &public_key(&SEED), |key| read_segment(dir, &root, key)));
        match answer {
            Ok((_, verified)) => format!("{} segments, {} events", verified.segments, verified.events),
            Err(failure) => failure.lines(false)[0].replace(&dir.display().to_string(), "DIR"),
        }
    }

    #[test]
    fn a_copy_of_the_archive_is_proof_enough() {
        let run = run_id(1);
        let dir = archive(run);
        assert_eq!(offline(dir.path(), run), "1 segments, 2 events");
        assert_eq!(offline(&dir.path().join("bucket"), run), "1 segments, 2 events");
    }

    #[test]
    fn a_copy_that_was_touched_is_found_out() {
        let (run, other) = (run_id(1), run_id(2));
        let dir = archive(run);
        assert_eq!(offline(dir.path(), other), format!("error: there is no manifest of run {other} below DIR"));
        let manifests = dir.path().join("bucket/manifest/v1/team=local/date=2026-11-21");
        let (ours, theirs) = (manifests.join(format!("run={run}")), manifests.join(format!("run={other}")));
        std::fs::rename(&ours, &theirs).unwrap();
        assert_eq!(
            offline(dir.path(), other),
            format!("error: the audit trail does not hold: the manifest is that of run {run}")
        );
        std::fs::rename(&theirs, &ours).unwrap();
        let segment = format!("audit/v1/team=local/date=2026-11-21/run={run}/000001-000001.jsonl.gz");
        std::fs::write(dir.path().join("bucket").join(&segment), b"x").unwrap();
        assert_eq!(
            offline(dir.path(), run),
            format!("error: the audit trail does not hold: segment {segment} is not the one that was sealed")
        );
        std::fs::remove_file(dir.path().join("bucket").join(&segment)).unwrap();
        assert_eq!(
            offline(dir.path(), run),
            format!("error: the audit trail does not hold: segment {segment} is missing")
        );
    }
}
