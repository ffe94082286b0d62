//! Offline proof: does what is stored match what was sealed?

use super::chain::{Broken, Chain, digest};
use super::manifest::Manifest;
use crate::id::ExecutionId;

/// A stored segment: the object's bytes, and its lines once unpacked.
#[derive(Clone, Debug)]
pub struct StoredSegment {
    pub object: Vec<u8>,
    pub lines: String,
}

/// What verification found. A trail may be intact and yet incomplete: then it says so itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    pub segments: usize,
    pub events: u64,
    pub complete: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Tampered {
    #[error("segment {key} is missing")]
    Missing { key: String },
    #[error("segment {key} is not the one that was sealed")]
    Object { key: String },
    #[error("segment {key} is out of order")]
    Order { key: String },
    #[error("segment {key} breaks the chain")]
    Chain {
        key: String,
        #[source]
        broken: Broken,
    },
}

/// Checks every segment of `manifest`, whose signature the caller has checked. `read` gives the object of a key.
pub fn verify(manifest: &Manifest, mut read: impl FnMut(&str) -> Option<StoredSegment>) -> Result<Verified, Tampered> {
    let mut verified = Verified { segments: manifest.segments.len(), events: 0, complete: manifest.complete };
    let mut current: Option<(u32, u32, Chain)> = None;
    for entry in &manifest.segments {
        let key = || entry.key.clone();
        let (sequence, mut chain) = match current {
            Some((execution, sequence, chain)) if execution == entry.execution => (sequence + 1, chain),
            Some((execution, ..)) if execution > entry.execution => return Err(Tampered::Order { key: key() }),
            _ => (1, Chain::genesis(ExecutionId::new(manifest.run_id, entry.execution))),
        };
        if entry.sequence != sequence {
            return Err(Tampered::Order { key: key() });
        }
        let stored = read(&entry.key).ok_or_else(|| Tampered::Missing { key: key() })?;
        if digest(&stored.object) != entry.sha256 {
            return Err(Tampered::Object { key: key() });
        }
        let before = chain.events;
        for line in stored.lines.lines() {
            chain.follow(line).map_err(|broken| Tampered::Chain { key: key(), broken })?;
        }
        if (chain.events, chain.head) != (entry.events, entry.head) {
            return Err(Tampered::Object { key: key() });
        }
        verified.events += chain.events - before;
        current = Some((entry.execution, sequence, chain));
    }
    Ok(verified)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Map, json};

    use super::*;
    use crate::audit::chain::Digest;
    use crate::audit::manifest::{InvalidManifest, SegmentEntry, SignedManifest, public_key};
    use crate::id::RunId;
    use crate::state::RunState;

    const SEED: [u8; 32] = [3; 32];

    /// A sealed trail of two executions with two segments each.
    fn sealed() -> (Manifest, BTreeMap<String, StoredSegment>) {
        let run_id = RunId::new(1, [1; 10]);
        let mut segments = Vec::new();
        let mut stored = BTreeMap::new();
        for execution in 1..=2 {
            let mut chain = Chain::genesis(ExecutionId::new(run_id, execution));
            for sequence in 1..=2 {
                let event: Map<_, _> =
                    [("text".to_owned(), json!(format!("{execution}.{sequence}")))].into_iter().collect();
                let lines = format!("{}\n{}\n", chain.add(&event), chain.add(&event));
                let key = format!("{execution:06}-{sequence:06}");
                let object = lines.clone().into_bytes();
                let sha256 = digest(&object);
                segments.push(SegmentEntry {
                    key: key.clone(),
                    execution,
                    sequence,
                    sha256,
                    events: chain.events,
                    head: chain.head,
                });
                stored.insert(key, StoredSegment { object, lines });
            }
        }
        let at = "2026-11-21T00:00:00Z".parse().unwrap();
        let manifest = Manifest {
            run_id,
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
        (manifest, stored)
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Manifest, &mut BTreeMap<String, StoredSegment>), expected: &str) {
        let (mut manifest, mut stored) = sealed();
        change(&mut manifest, &mut stored);
        let answer = match verify(&manifest, |key| stored.get(key).cloned()) {
            Ok(verified) => format!("{} segments, {} events", verified.segments, verified.events),
            Err(tampered) => tampered.to_string(),
        };
        assert_eq!(answer, expected);
    }

    #[test]
    fn every_way_to_tamper_is_told_apart() {
        check(|_, _| {}, "4 segments, 8 events");
        check(|_, stored| drop(stored.remove("000001-000002")), "segment 000001-000002 is missing");
        check(
            |_, stored| stored.get_mut("000001-000002").unwrap().object.push(b' '),
            "segment 000001-000002 is not the one that was sealed",
        );
        check(|manifest, _| drop(manifest.segments.remove(0)), "segment 000001-000002 is out of order");
        check(|manifest, _| manifest.segments.swap(0, 2), "segment 000001-000002 is out of order");
        check(
            |_, stored| {
                let lines = &mut stored.get_mut("000002-000001").unwrap().lines;
                *lines = lines.replace("2.1", "9.9");
            },
            "segment 000002-000001 breaks the chain",
        );
        check(
            |manifest, _| manifest.segments[3].head = digest(b"x"),
            "segment 000002-000002 is not the one that was sealed",
        );
    }

    #[test]
    fn a_manifest_opens_with_its_key_alone() {
        let (manifest, _) = sealed();
        let signed = SignedManifest::sign(&manifest, &SEED);
        assert_eq!(signed.open(&public_key(&SEED)), Ok(manifest.clone()));
        assert_eq!(signed.open(&public_key(&[4; 32])), Err(InvalidManifest::Signature));
        assert_eq!(signed.open("x"), Err(InvalidManifest::Key));
        let forged = Manifest { state: RunState::Failed, ..manifest };
        let mut envelope = serde_json::to_value(&signed).unwrap();
        envelope["payload"] = serde_json::to_value(SignedManifest::sign(&forged, &[4; 32])).unwrap()["payload"].clone();
        let envelope: SignedManifest = serde_json::from_value(envelope).unwrap();
        assert_eq!(envelope.open(&public_key(&SEED)), Err(InvalidManifest::Signature));
    }

    #[test]
    fn digests_read_as_they_print() {
        let digest = digest(b"x");
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
    }
}
