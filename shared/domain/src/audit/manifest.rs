//! The manifest that seals a run's audit trail, signed in a DSSE envelope with Ed25519.
//!
//! DSSE is the envelope of in-toto and Sigstore: the payload is signed together with its type, so that a signature never
//! vouches for something else. <https://github.com/secure-systems-lab/dsse/blob/master/protocol.md>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::chain::{Digest, digest};
use crate::id::{RunId, TeamId};
use crate::state::RunState;

const PAYLOAD_TYPE: &str = "application/vnd.ozma.audit-manifest.v1+json";

/// What is sealed: every segment of every execution of the run, and what the control plane itself knows of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub run_id: RunId,
    pub team: TeamId,
    pub state: RunState,
    pub created_at: Timestamp,
    pub ended_at: Timestamp,
    pub sealed_at: Timestamp,
    pub creator: String,
    /// Of the prompt as accepted.
    pub prompt_sha256: Digest,
    /// No segment that an agent wrote is missing. False when an agent died without a last word: its tail is unknown.
    pub complete: bool,
    pub segments: Vec<SegmentEntry>,
}

/// One stored object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEntry {
    pub key: String,
    pub execution: u32,
    pub sequence: u32,
    /// Of the object as stored.
    pub sha256: Digest,
    /// Events of the execution up to the end of this segment, and the chain's head there.
    pub events: u64,
    pub head: Digest,
}

/// A DSSE envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedManifest {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct EnvelopeSignature {
    keyid: String,
    sig: String,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidManifest {
    #[error("the manifest is not an envelope of type {PAYLOAD_TYPE}")]
    Envelope,
    #[error("the manifest is not signed with this key")]
    Signature,
    #[error("the public key is not 32 bytes in base64")]
    Key,
    #[error("the manifest was signed but cannot be read: it is of another version")]
    Payload,
}

impl SignedManifest {
    pub fn sign(manifest: &Manifest, seed: &[u8; 32]) -> Self {
        let payload = serde_json::to_vec(manifest).expect("a manifest holds only text, numbers and lists");
        let key = SigningKey::from_bytes(seed);
        let signature = key.sign(&signed_bytes(&payload));
        Self {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: vec![EnvelopeSignature {
                keyid: key_id(&key.verifying_key()),
                sig: STANDARD.encode(signature.to_bytes()),
            }],
        }
    }

    /// The manifest, if `public_key` (32 bytes in base64) signed it.
    pub fn open(&self, public_key: &str) -> Result<Manifest, InvalidManifest> {
        let key: [u8; 32] =
            STANDARD.decode(public_key.trim()).ok().and_then(|key| key.try_into().ok()).ok_or(InvalidManifest::Key)?;
        let key = VerifyingKey::from_bytes(&key).map_err(|_| InvalidManifest::Key)?;
        if self.payload_type != PAYLOAD_TYPE {
            return Err(InvalidManifest::Envelope);
        }
        let payload = STANDARD.decode(&self.payload).map_err(|_| InvalidManifest::Envelope)?;
        let signed = signed_bytes(&payload);
        let valid = self.signatures.iter().any(|signature| {
            let bytes = STANDARD.decode(&signature.sig).ok();
            let signature = bytes.and_then(|bytes| Signature::from_slice(&bytes).ok());
            signature.is_some_and(|signature| key.verify_strict(&signed, &signature).is_ok())
        });
        if !valid {
            return Err(InvalidManifest::Signature);
        }
        serde_json::from_slice(&payload).map_err(|_| InvalidManifest::Payload)
    }
}

/// The public half of a signing seed, in base64.
pub fn public_key(seed: &[u8; 32]) -> String {
    STANDARD.encode(SigningKey::from_bytes(seed).verifying_key().to_bytes())
}

fn key_id(key: &VerifyingKey) -> String {
    digest(key.as_bytes()).to_string()[..16].to_owned()
}

/// DSSE's pre-authentication encoding.
fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}
