//! What changed in the workspace, kept when the execution ends, however it ends: of each repository a patch against the
//! commit that was checked out, so that commits are in it, and the files that are new there; of all else what changed.
//!
//! The task is over by then, and everything that it left is hostile: names, links, sizes, git's own configuration. Links are
//! not followed, sizes are bounded, git runs as one more process of the task, and whatever is not kept is named with the
//! reason. What holds a secret is left out rather than masked: a patch with something blotted out does not apply.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use futures_util::stream::{self, StreamExt as _};
use ozma_domain::artifact::{LeftOut, SavedFile, SavedKind, SavedSet, is_safe};
use ozma_domain::audit::event::Record;
use ozma_domain::limits;
use ozma_domain::mask::Masker;
use ozma_domain::text;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::agent::Agent;
use crate::changes::Baseline;
use crate::variables::{self, Variables};
use crate::workspace::{self, Beneath};

/// What stays of [`limits::FINALISE_SECONDS`] for the list, the tail of the trail and the report.
const RESERVE: Duration = Duration::from_secs(3);

/// For the list, which decides whether there is a set at all.
const LISTING: Duration = Duration::from_secs(2);

/// Files on their way at once.
const UPLOADS: usize = 8;

/// Names of files, as git lists them.
const NAMES_BYTES: usize = 4 * 1024 * 1024;

/// Left-out files that the transcript names.
const NAMED: usize = 5;

const NO_TIME: &str = "there was no time left";

/// A git that asks nobody, fetches nothing, and starts none of the repository's own programs that it can be kept from.
const GIT: [&str; 10] = [
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.quotePath=false",
    "-c",
    "core.untrackedCache=false",
    "--no-pager",
    "--literal-pathspecs",
];

/// The workspace as it was when the task began.
pub(crate) struct Before {
    pub(crate) files: Baseline,
    pub(crate) checkouts: Vec<Checkout>,
    /// Files that an earlier execution had saved: they are no change, and belong to the set nevertheless.
    pub(crate) restored: Option<Vec<PathBuf>>,
}

/// A repository at the commit that was checked out.
#[derive(Clone)]
pub(crate) struct Checkout {
    pub(crate) git: PathBuf,
    /// Its folder, relative to the folder of the work.
    pub(crate) folder: String,
    pub(crate) base: String,
}

/// Something to save.
enum Candidate {
    Patch { checkout: Checkout, content: Vec<u8> },
    File(PathBuf),
}

/// A file that is ready to be sent.
struct Packed {
    file: SavedFile,
    gzip: Bytes,
}

type Late = Shared<BoxFuture<'static, ()>>;

/// The commits that are checked out. A repository without any has nothing to compare with.
pub(crate) async fn checkouts(agent: &Agent, git: &Path) -> Vec<Checkout> {
    let mut checkouts = Vec::new();
    for repository in &agent.assignment.repositories {
        let folder = repository.url.directory().to_owned();
        let path = agent.workspace.work().join(&folder);
        let head = run_git(agent, git, &path, &["rev-parse", "--verify", "HEAD^{commit}"], 256).await;
        if let Some(base) = head.and_then(|output| String::from_utf8(output.bytes).ok()) {
            checkouts.push(Checkout { git: git.to_owned(), folder, base: base.trim().to_owned() });
        }
    }
    checkouts
}

/// Saves what there is to save, within the time there is. `changed` are files relative to the folder of the work.
pub(crate) async fn save(agent: &Arc<Agent>, before: &Before, changed: Vec<PathBuf>) {
    let late = out_of_time(agent.clone()).boxed().shared();
    let mut left_out = Vec::new();
    let candidates = tokio::select! {
        candidates = candidates(agent, before, changed, &mut left_out) => Some(candidates),
        () = late.clone() => None,
    };
    let Some(candidates) = candidates else {
        return notice(agent, "what changed in the workspace is not saved: there was no time left".to_owned()).await;
    };
    if candidates.is_empty() && left_out.is_empty() && before.restored.is_none() {
        return;
    }
    let room = AtomicUsize::new(limits::SAVED_SENT_BYTES);
    let uploads: Vec<BoxFuture<'_, Result<SavedFile, LeftOut>>> = candidates
        .into_iter()
        .zip(1..)
        .map(|(candidate, number)| keep(agent, candidate, number, &room, late.clone()).boxed())
        .collect();
    let mut files = Vec::new();
    let mut uploads = stream::iter(uploads).buffered(UPLOADS);
    while let Some(kept) = uploads.next().await {
        match kept {
            Ok(file) => files.push(file),
            Err(left) => left_out.push(left),
        }
    }
    drop(uploads);

    let masker = agent.recorder.masker();
    for left in &mut left_out {
        *left = LeftOut { path: masker.mask(&left.path), reason: masker.mask(&left.reason) };
    }
    let mut set = SavedSet { saved_at: None, files, left_out };
    let told = told_of(&set);
    cap(&mut set.left_out);
    match tokio::time::timeout(LISTING, agent.client.put_set(&set)).await {
        Ok(Ok(())) => {
            if let Some(told) = told {
                notice(agent, told).await;
            }
        }
        Ok(Err(err)) => notice(agent, format!("what changed in the workspace is not saved: {err}")).await,
        Err(_) => notice(agent, format!("what changed in the workspace is not saved: {NO_TIME}")).await,
    }
}

async fn notice(agent: &Agent, text: String) {
    agent.recorder.record(Record::Notice { text }).await;
}

/// Returns when it is time to stop saving: after a while, or what is left until the agent is killed.
async fn out_of_time(agent: Arc<Agent>) {
    let last = Duration::from_secs(limits::FINALISE_SECONDS) - RESERVE;
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(limits::SAVE_SECONDS)) => {}
        since = agent.stop.hurried() => tokio::time::sleep_until(since + last).await,
    }
}

/// Patches first: they are what a run is for.
async fn candidates(
    agent: &Arc<Agent>,
    before: &Before,
    changed: Vec<PathBuf>,
    left_out: &mut Vec<LeftOut>,
) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    let mut files: Vec<PathBuf> = Vec::new();
    for checkout in &before.checkouts {
        match patch(agent, checkout, left_out).await {
            Some(content) if content.is_empty() => {}
            Some(content) => candidates.push(Candidate::Patch { checkout: checkout.clone(), content }),
            None => left_out.push(left(&checkout.folder, "git does not say what changed in this repository")),
        }
        let path = agent.workspace.work().join(&checkout.folder);
        let new = ["ls-files", "--others", "--exclude-standard", "-z"];
        let listed = run_git(agent, &checkout.git, &path, &new, NAMES_BYTES).await;
        files.extend(names(&listed.map(|output| output.bytes).unwrap_or_default(), &checkout.folder));
    }
    let in_repository = |path: &Path| before.checkouts.iter().any(|checkout| path.starts_with(&checkout.folder));
    let others = changed.into_iter().chain(before.restored.clone().unwrap_or_default());
    files.extend(others.filter(|path| !in_repository(path)));

    let room = limits::SAVED_FILES - candidates.len().min(limits::SAVED_FILES);
    let mut seen = BTreeSet::new();
    files.retain(|path| seen.insert(path.clone()));
    let more = files.split_off(files.len().min(room));
    let too_many = format!("there are more than {} files", limits::SAVED_FILES);
    left_out.extend(more.iter().map(|path| left(&shown(path), &too_many)));
    candidates.extend(files.into_iter().map(Candidate::File));
    candidates
}

/// What changed in the files that git knows of, in as many pieces as can be kept. None where git does not say.
async fn patch(agent: &Arc<Agent>, checkout: &Checkout, left_out: &mut Vec<LeftOut>) -> Option<Vec<u8>> {
    let Checkout { git, folder, base } = checkout;
    let path = agent.workspace.work().join(folder);
    let diff = ["diff", "--no-ext-diff", "--no-textconv", "--no-renames", "--ignore-submodules=all"];
    let list = [&diff[..], &["--name-only", "-z", base]].concat();
    let changed = run_git(agent, git, &path, &list, NAMES_BYTES).await?;
    let mut paths: Vec<String> = Vec::new();
    for name in names(&changed.bytes, folder) {
        let Some(text) = name.to_str() else {
            left_out.push(left(&shown(&name), "its name is not UTF-8"));
            continue;
        };
        // What a patch does not show as text has to be looked at here; what is a link or gone has nothing inside.
        match read(agent, &name).await {
            Err(Unread::Why(reason)) => left_out.push(left(text, &reason)),
            Ok(_) | Err(Unread::NoFile) => paths.push(text[folder.len() + 1..].to_owned()),
        }
    }
    if paths.is_empty() {
        return Some(Vec::new());
    }
    let arguments = ["--binary", "--full-index", "--no-color", "--src-prefix=a/", "--dst-prefix=b/", base, "--"];
    let mut arguments = [&diff[..], &arguments].concat();
    arguments.extend(paths.iter().map(String::as_str));
    let output = run_git(agent, git, &path, &arguments, limits::SAVED_FILE_UNPACKED_BYTES).await?;
    Some(sections(&output, &agent.recorder.masker(), folder, left_out))
}

/// A patch is one section for each file, and each applies by itself.
fn sections(output: &Output, masker: &Masker, folder: &str, left_out: &mut Vec<LeftOut>) -> Vec<u8> {
    const BEGIN: &[u8] = b"diff --git ";
    let mut begins = Vec::new();
    let mut at = 0;
    for line in output.bytes.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(BEGIN) {
            begins.push(at);
        }
        at += line.len();
    }
    let mut patch = Vec::new();
    let mut sent = 0;
    for (number, begin) in begins.iter().enumerate() {
        let end = begins.get(number + 1).copied();
        let section = &output.bytes[*begin..end.unwrap_or(output.bytes.len())];
        let gzip = gzip(section).len();
        let reason = if end.is_none() && output.is_cut {
            format!("the patch of {folder} is larger than {} MiB", limits::SAVED_FILE_UNPACKED_BYTES >> 20)
        } else if masker.finds(section) {
            SECRET.to_owned()
        } else if sent + gzip > limits::SAVED_FILE_BYTES {
            too_large()
        } else {
            sent += gzip;
            patch.extend_from_slice(section);
            continue;
        };
        // `a/<path> b/<path>`: both halves are the same.
        let line = section.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let names = &line[BEGIN.len()..];
        let name = names.get(2..names.len() / 2).unwrap_or_default();
        left_out.push(left(&format!("{folder}/{}", text::printable(name)), &reason));
    }
    patch
}

const SECRET: &str = "it holds the value of a secret";

fn too_large() -> String {
    format!("it is larger than {} MiB, compressed", limits::SAVED_FILE_BYTES >> 20)
}

async fn keep(
    agent: &Arc<Agent>,
    candidate: Candidate,
    number: u32,
    room: &AtomicUsize,
    late: Late,
) -> Result<SavedFile, LeftOut> {
    let path = match &candidate {
        Candidate::Patch { checkout, .. } => format!("{}.patch", checkout.folder),
        Candidate::File(path) => shown(path),
    };
    let keeping = async {
        let Packed { file, gzip } = pack(agent, candidate, number).await?;
        let takes = |left: usize| left.checked_sub(gzip.len());
        if room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, takes).is_err() {
            return Err(format!("all together is larger than {} MiB, compressed", limits::SAVED_SENT_BYTES >> 20));
        }
        agent.client.put_file(number, gzip).await.map_err(|err| err.to_string())?;
        Ok(file)
    };
    let kept = tokio::select! {
        kept = keeping => kept,
        () = late => Err(NO_TIME.to_owned()),
    };
    kept.map_err(|reason| left(&path, &reason))
}

async fn pack(agent: &Arc<Agent>, candidate: Candidate, number: u32) -> Result<Packed, String> {
    let (path, kind, content) = match candidate {
        Candidate::Patch { checkout: Checkout { folder, base, .. }, content } => {
            (format!("{folder}.patch"), SavedKind::Patch { folder, base }, content)
        }
        Candidate::File(path) => {
            let name = path.to_str().ok_or("its name is not UTF-8")?.to_owned();
            let (content, executable) = read(agent, &path).await.map_err(|unread| match unread {
                Unread::NoFile => "it is a link, or no file any more".to_owned(),
                Unread::Why(reason) => reason,
            })?;
            (name, SavedKind::File { executable }, content)
        }
    };
    if !is_safe(&path) || agent.recorder.masker().finds(path.as_bytes()) {
        return Err("its name cannot be kept".to_owned());
    }
    let packing = move || {
        let sha256 = hex::encode(Sha256::digest(&content));
        let gzip = Bytes::from(gzip(&content));
        Packed { file: SavedFile { number, path, kind, bytes: content.len() as u64, sha256 }, gzip }
    };
    let packed = tokio::task::spawn_blocking(packing).await.map_err(|err| err.to_string())?;
    if packed.gzip.len() > limits::SAVED_FILE_BYTES { Err(too_large()) } else { Ok(packed) }
}

enum Unread {
    /// A link, or nothing at all.
    NoFile,
    Why(String),
}

/// The content of a file, and whether it may be executed.
async fn read(agent: &Arc<Agent>, path: &Path) -> Result<(Vec<u8>, bool), Unread> {
    let (work, path, masker) = (agent.workspace.work(), path.to_owned(), agent.recorder.masker());
    let reading = move || {
        let why = |reason: &str| Err(Unread::Why(reason.to_owned()));
        match workspace::read_beneath(&work, &path, limits::SAVED_FILE_UNPACKED_BYTES) {
            Ok(Beneath::File { content, .. }) if masker.finds(&content) => why(SECRET),
            Ok(Beneath::File { content, executable }) => Ok((content, executable)),
            Ok(Beneath::TooLarge) => why(&format!("it is larger than {} MiB", limits::SAVED_FILE_UNPACKED_BYTES >> 20)),
            Ok(Beneath::NoFile) => Err(Unread::NoFile),
            Err(err) => why(&format!("it cannot be read: {err}")),
        }
    };
    tokio::task::spawn_blocking(reading).await.unwrap_or_else(|err| Err(Unread::Why(err.to_string())))
}

/// What git printed.
pub(crate) struct Output {
    bytes: Vec<u8>,
    /// There was more.
    is_cut: bool,
}

/// Runs git without a word in the trail. None where it fails.
pub(crate) async fn run_git(
    agent: &Agent,
    git: &Path,
    folder: &Path,
    arguments: &[&str],
    most: usize,
) -> Option<Output> {
    let mut command = Command::new(git);
    command.args(GIT).args(arguments).current_dir(folder).env_clear().envs(git_variables(agent));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = agent.processes.spawn(&mut command).ok()?;
    let leader = child.id().unwrap_or_default();
    let mut bytes = Vec::new();
    let mut stdout = child.stdout.take()?.take(most as u64 + 1);
    let read = stdout.read_to_end(&mut bytes).await;
    let is_cut = bytes.len() > most;
    drop(stdout);
    if is_cut {
        agent.processes.end_group(leader, Duration::ZERO).await;
    }
    let status = child.wait().await;
    agent.processes.forget(leader);
    bytes.truncate(most);
    (read.is_ok() && (is_cut || status.is_ok_and(|status| status.success()))).then_some(Output { bytes, is_cut })
}

/// Of the git that looks and applies: nothing of the user's configuration, and no credentials.
fn git_variables(agent: &Agent) -> Variables {
    let mut variables = variables::base(agent);
    let own = [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_OPTIONAL_LOCKS", "0"),
        // Of a partial clone, what is not there is not worth a network that may not answer.
        ("GIT_NO_LAZY_FETCH", "1"),
        ("LC_ALL", "C"),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "safe.directory"),
        ("GIT_CONFIG_VALUE_0", "*"),
    ];
    variables.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    variables
}

/// The names that git separates by NUL, below the folder. One that is cut is not told from a whole one: it is no file.
fn names(bytes: &[u8], folder: &str) -> Vec<PathBuf> {
    let names = bytes.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| Path::new(folder).join(OsStr::from_bytes(name))).collect()
}

fn shown(path: &Path) -> String {
    text::printable(path.as_os_str().as_bytes())
}

fn left(path: &str, reason: &str) -> LeftOut {
    LeftOut { path: text::shorten(&text::one_line(path), 300), reason: text::shorten(&text::one_line(reason), 300) }
}

/// As many as may be listed; the last entry counts the rest.
fn cap(left_out: &mut Vec<LeftOut>) {
    if left_out.len() > limits::SAVED_LEFT_OUT {
        let rest = left_out.split_off(limits::SAVED_LEFT_OUT - 1);
        left_out.push(left(&format!("{} more", rest.len()), &rest[0].reason));
    }
}

/// What the transcript says of what is not kept.
fn told_of(set: &SavedSet) -> Option<String> {
    let (first, rest) = set.left_out.split_at(set.left_out.len().min(NAMED));
    let mut named: Vec<String> = first.iter().map(|left| format!("{} ({})", left.path, left.reason)).collect();
    if !rest.is_empty() {
        named.push(format!("{} more", rest.len()));
    }
    (!named.is_empty()).then(|| format!("of what changed in the workspace, this is not saved: {}", named.join(", ")))
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(content.len() / 4 + 64), Compression::new(4));
    // Writing to memory does not fail.
    let _ = encoder.write_all(content);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn a_patch_is_kept_section_by_section() {
        let section =
            |name: &str, line: &str| format!("diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\n{line}\n");
        let text = [section("a", "+one"), section("b c", "-hunter22"), section("d", "+diff --git a/x b/x")].concat();
        let masker = Masker::new(&[SecretString::from("hunter22")]);
        let mut left_out = Vec::new();
        let kept = sections(&Output { bytes: text.into_bytes(), is_cut: false }, &masker, "web", &mut left_out);
        assert_eq!(String::from_utf8(kept).unwrap(), section("a", "+one") + &section("d", "+diff --git a/x b/x"));
        assert_eq!(left_out, [left("web/b c", SECRET)]);

        let text = [section("a", "+one"), section("b", "+cut he")].concat();
        let cut = sections(&Output { bytes: text.into_bytes(), is_cut: true }, &masker, "web", &mut left_out);
        assert_eq!(String::from_utf8(cut).unwrap(), section("a", "+one"));
        assert_eq!(left_out[1].path, "web/b");
    }

    #[test]
    fn what_is_left_out_is_named_up_to_a_point() {
        let mut all = vec![left("x", "why"); limits::SAVED_LEFT_OUT + 5];
        let told = told_of(&SavedSet { left_out: all.clone(), ..SavedSet::default() }).unwrap();
        assert!(told.ends_with("x (why), x (why), 100 more"), "{told}");
        cap(&mut all);
        assert_eq!((all.len(), all[limits::SAVED_LEFT_OUT - 1].path.as_str()), (limits::SAVED_LEFT_OUT, "6 more"));
    }
}
