//! What an earlier execution of the run saved, put back before the set-up commands. It was saved from a workspace that a
//! task had in its hands, so it is taken with the same care; and what cannot be put back is told, and is no failure.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use ozma_domain::artifact::{SavedFile, SavedKind};
use ozma_domain::audit::event::Record;
use ozma_domain::limits;
use ozma_domain::protocol::Restore;
use sha2::{Digest as _, Sha256};

use crate::agent::Agent;
use crate::saving::{self, Checkout};
use crate::workspace;

/// Returns the files that the workspace now has beside its repositories. None where there was nothing to restore.
pub(crate) async fn restore(agent: &Agent, checkouts: &[Checkout]) -> Option<Vec<PathBuf>> {
    let Restore { from, set } = agent.assignment.restore.as_ref()?;
    if let Err(err) = set.check() {
        notice(agent, format!("what execution {from} saved cannot be restored: {err}")).await;
        return None;
    }
    let mut restored = Vec::new();
    let mut count = 0;
    // Patches come before the files that were new to git.
    let (patches, files): (Vec<_>, Vec<_>) =
        set.files.iter().partition(|file| matches!(file.kind, SavedKind::Patch { .. }));
    for file in patches.into_iter().chain(files) {
        match restore_file(agent, checkouts, *from, file).await {
            Ok(()) => {
                count += 1;
                if matches!(file.kind, SavedKind::File { .. }) {
                    restored.push(PathBuf::from(&file.path));
                }
            }
            Err(why) => {
                let text = format!("{}, which execution {from} saved, is not restored: {why}", file.path);
                notice(agent, text).await;
            }
        }
    }
    let files = if count == 1 { "file" } else { "files" };
    notice(agent, format!("begins with what execution {from} saved: {count} {files}")).await;
    Some(restored)
}

async fn notice(agent: &Agent, text: String) {
    agent.recorder.record(Record::Notice { text }).await;
}

async fn restore_file(agent: &Agent, checkouts: &[Checkout], from: u32, file: &SavedFile) -> Result<(), String> {
    let gzip = agent.client.saved_file(from, file.number).await.map_err(|err| err.to_string())?;
    let content = unpack(&gzip).ok_or("it cannot be unpacked")?;
    if content.len() as u64 != file.bytes || hex::encode(Sha256::digest(&content)) != file.sha256 {
        return Err("it is not what was saved".to_owned());
    }
    let work = agent.workspace.work();
    match &file.kind {
        SavedKind::File { executable } => {
            workspace::write_beneath(&work, Path::new(&file.path), &content, *executable).map_err(|err| err.to_string())
        }
        SavedKind::Patch { folder, .. } => {
            let checkout = checkouts.iter().find(|checkout| checkout.folder == *folder);
            let checkout = checkout.ok_or("there is no such repository any more")?;
            let path = agent.workspace.patch();
            write(&path, &content).map_err(|err| err.to_string())?;
            let patch = path.to_string_lossy().into_owned();
            let arguments = ["apply", "--binary", "--whitespace=nowarn", "--", &patch];
            let applied = saving::run_git(agent, &checkout.git, &work.join(folder), &arguments, 0).await;
            let _ = std::fs::remove_file(&path);
            applied.map(drop).ok_or_else(|| "it does not apply to the commit that is checked out".to_owned())
        }
    }
}

fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    workspace::open(path, OpenOptions::new().write(true).create(true).truncate(true))?.write_all(content)
}

fn unpack(gzip: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let most = limits::SAVED_FILE_UNPACKED_BYTES as u64;
    MultiGzDecoder::new(gzip).take(most + 1).read_to_end(&mut content).ok()?;
    (content.len() as u64 <= most).then_some(content)
}
