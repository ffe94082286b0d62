//! The audit trail: what an agent did, as lines of JSON that nobody can change unnoticed.
//!
//! Each line carries the SHA-256 of the line before it. The agent sends events; the control plane, outside the agent's
//! trust boundary, numbers and chains them and stores them write-once. A signed manifest seals the end.

pub mod chain;
pub mod event;
pub mod manifest;
pub mod verify;

pub use chain::{Chain, Digest, digest};
pub use event::{Change, Event, OutputDigest, Phase, Record, Stream};
pub use manifest::{Manifest, SegmentEntry, SignedManifest};
