//! One command's output: the head as events while it comes, the middle as gzip parts, the tail as events at the end.
//! Bounded in memory, whatever the command prints; a slow control plane slows the command down.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use ozma_domain::audit::event::{OutputDigest, Record, Stream};
use ozma_domain::limits::{OUTPUT_HEAD_BYTES, OUTPUT_MIDDLE_BYTES, OUTPUT_PART_BYTES, OUTPUT_TAIL_BYTES};
use ozma_domain::mask::MaskedStream;
use ozma_domain::text;
use sha2::{Digest as _, Sha256};

use crate::client::Client;
use crate::recorder::Recorder;
use crate::utf8::{self, Utf8};

/// The text of one event.
const EVENT_BYTES: usize = 16 * 1024;

/// A part is closed here: what the compressor still holds must fit in what is left of [`OUTPUT_PART_BYTES`].
const PART_CLOSES_AT_BYTES: usize = OUTPUT_PART_BYTES - 256 * 1024;

/// A part as it unpacks. Zeros compress a thousandfold, and whoever unpacks a part holds it in memory.
const PART_UNPACKED_BYTES: usize = 8 * 1024 * 1024;

/// What is remembered of each stream for the summary.
const LAST_BYTES: usize = 4 * 1024;

pub(crate) struct Output {
    command: u32,
    recorder: Arc<Recorder>,
    stdout: Side,
    stderr: Side,
    head_left: usize,
    tail: VecDeque<(Stream, Vec<u8>)>,
    tail_bytes: usize,
    middle: Middle,
}

/// How it all ended.
pub(crate) struct Printed {
    pub(crate) stdout: OutputDigest,
    pub(crate) stderr: OutputDigest,
    /// The end of each stream, as text.
    pub(crate) stdout_end: String,
    pub(crate) stderr_end: String,
}

struct Side {
    masked: MaskedStream,
    text: Utf8,
    digest: Sha256,
    bytes: u64,
    last: Vec<u8>,
}

struct Middle {
    command: u32,
    client: Arc<Client>,
    encoder: Option<GzEncoder<Vec<u8>>>,
    part_bytes: usize,
    /// Of the part that is being filled, and all before it.
    digest: Sha256,
    /// Of the parts that were accepted.
    kept: u64,
    kept_digest: Sha256,
    parts: u32,
    dropped: u64,
    refused: bool,
}

impl Output {
    pub(crate) fn new(command: u32, recorder: Arc<Recorder>, client: Arc<Client>) -> Self {
        let side = || Side {
            masked: MaskedStream::default(),
            text: Utf8::default(),
            digest: Sha256::new(),
            bytes: 0,
            last: Vec::new(),
        };
        let middle = Middle {
            command,
            client,
            encoder: None,
            part_bytes: 0,
            digest: Sha256::new(),
            kept: 0,
            kept_digest: Sha256::new(),
            parts: 0,
            dropped: 0,
            refused: false,
        };
        Self {
            command,
            stdout: side(),
            stderr: side(),
            recorder,
            head_left: OUTPUT_HEAD_BYTES,
            tail: VecDeque::new(),
            tail_bytes: 0,
            middle,
        }
    }

    /// Takes what a stream printed.
    pub(crate) async fn push(&mut self, stream: Stream, bytes: &[u8]) {
        let masker = self.recorder.masker();
        let masked = self.side(stream).masked.push(&masker, bytes);
        self.accept(stream, masked).await;
    }

    /// Both streams have ended.
    pub(crate) async fn finish(mut self) -> Printed {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let masker = self.recorder.masker();
            let rest = self.side(stream).masked.finish(&masker);
            self.accept(stream, rest).await;
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = self.side(stream).text.finish();
            self.record(stream, &rest).await;
        }
        if self.middle.begun() {
            self.finish_middle().await;
        }
        let tail = std::mem::take(&mut self.tail);
        for (stream, bytes) in tail {
            let text = self.side(stream).text.push(&bytes);
            self.record(stream, &text).await;
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = self.side(stream).text.finish();
            self.record(stream, &rest).await;
        }
        let (stdout, stdout_end) = self.stdout.end();
        let (stderr, stderr_end) = self.stderr.end();
        Printed { stdout, stderr, stdout_end, stderr_end }
    }

    async fn accept(&mut self, stream: Stream, mut masked: Vec<u8>) {
        if masked.is_empty() {
            return;
        }
        self.side(stream).count(&masked);
        if self.head_left > 0 {
            let mut head = masked.len().min(self.head_left);
            // A character is not cut in two between the head and what follows.
            head += utf8::continuation(&masked[head..]);
            let rest = masked.split_off(head);
            self.head_left = self.head_left.saturating_sub(head);
            let text = self.side(stream).text.push(&masked);
            self.record(stream, &text).await;
            masked = rest;
        }
        if masked.is_empty() {
            return;
        }
        self.tail_bytes += masked.len();
        self.tail.push_back((stream, masked));
        while self.tail_bytes > OUTPUT_TAIL_BYTES {
            let excess = self.tail_bytes - OUTPUT_TAIL_BYTES;
            let Some((_, front)) = self.tail.front_mut() else { break };
            let moved = if front.len() <= excess {
                self.tail.pop_front().map(|(_, bytes)| bytes).unwrap_or_default()
            } else {
                let rest = front.split_off(excess);
                std::mem::replace(front, rest)
            };
            self.tail_bytes -= moved.len();
            self.middle.add(&moved).await;
        }
    }

    async fn finish_middle(&mut self) {
        // The tail does not begin inside a character.
        if let Some((_, front)) = self.tail.front_mut() {
            let rest = front.split_off(utf8::continuation(front));
            let moved = std::mem::replace(front, rest);
            self.middle.add(&moved).await;
        }
        self.middle.close_part().await;
        let record = Record::OutputSkipped {
            command: self.command,
            kept_bytes: self.middle.kept,
            dropped_bytes: self.middle.dropped,
            parts: self.middle.parts,
            kept_sha256: hex::encode(self.middle.kept_digest.clone().finalize()),
        };
        self.recorder.record(record).await;
    }

    async fn record(&self, stream: Stream, text: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(EVENT_BYTES));
            self.recorder.record(Record::Output { command: self.command, stream, text: piece.to_owned() }).await;
            rest = after;
        }
    }

    fn side(&mut self, stream: Stream) -> &mut Side {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

impl Side {
    fn count(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        let kept = &bytes[bytes.len().saturating_sub(LAST_BYTES)..];
        let excess = (self.last.len() + kept.len()).saturating_sub(LAST_BYTES);
        self.last.drain(..excess.min(self.last.len()));
        self.last.extend_from_slice(kept);
    }

    fn end(&self) -> (OutputDigest, String) {
        let digest = OutputDigest { bytes: self.bytes, sha256: hex::encode(self.digest.clone().finalize()) };
        let cut = if self.bytes > LAST_BYTES as u64 { utf8::continuation(&self.last) } else { 0 };
        (digest, text::printable(&self.last[cut..]))
    }
}

impl Middle {
    fn begun(&self) -> bool {
        self.kept + self.dropped > 0 || self.part_bytes > 0
    }

    async fn add(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(64 * 1024) {
            let room = OUTPUT_MIDDLE_BYTES - self.kept - self.part_bytes as u64;
            let keep = if self.refused { 0 } else { piece.len().min(usize::try_from(room).unwrap_or(usize::MAX)) };
            let (kept, dropped) = piece.split_at(keep);
            self.dropped += dropped.len() as u64;
            if kept.is_empty() {
                continue;
            }
            self.digest.update(kept);
            self.part_bytes += kept.len();
            let encoder = self.encoder.get_or_insert_with(|| GzEncoder::new(Vec::new(), Compression::fast()));
            // Writing to memory does not fail.
            let _ = encoder.write_all(kept);
            if encoder.get_ref().len() >= PART_CLOSES_AT_BYTES || self.part_bytes >= PART_UNPACKED_BYTES {
                self.close_part().await;
            }
        }
    }

    async fn close_part(&mut self) {
        let Some(gzip) = self.encoder.take().and_then(|encoder| encoder.finish().ok()) else { return };
        let part_bytes = std::mem::take(&mut self.part_bytes) as u64;
        match self.client.put_output(self.command, self.parts + 1, Bytes::from(gzip)).await {
            Ok(()) => {
                self.parts += 1;
                self.kept += part_bytes;
                self.kept_digest = self.digest.clone();
            }
            Err(err) => {
                // The head and the tail still tell the story, and the digest still proves a copy kept elsewhere.
                tracing::warn!("the middle of a command's output is not kept: {err}");
                self.dropped += part_bytes;
                self.refused = true;
            }
        }
    }
}
