//! Files that are whole or absent, whatever ends the process or the power.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Who may read a new file.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    /// 0600.
    Owner,
    /// What the user's umask says.
    Umask,
}

/// Writes through `draft`, a name in the same file system that nobody else uses, and moves it to `path` when it is on
/// the disk. A `draft` that a crash left behind is written over.
pub(crate) fn replace(path: &Path, draft: &Path, access: Access, bytes: &[u8]) -> io::Result<()> {
    let written = write_draft(draft, access, bytes).and_then(|()| fs::rename(draft, path));
    if written.is_err() {
        let _ = fs::remove_file(draft);
    }
    written?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn write_draft(draft: &Path, access: Access, bytes: &[u8]) -> io::Result<()> {
    // Not truncated: what a crash left may have been created under other rights.
    match fs::remove_file(draft) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    let mode = match access {
        Access::Owner => 0o600,
        Access::Umask => 0o666,
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(draft)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Creates the folder with those above it, on the disk.
pub(crate) fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().ok_or(io::ErrorKind::NotFound)?;
    create_folders(parent)?;
    match fs::create_dir(folder) {
        Err(err) if err.kind() != io::ErrorKind::AlreadyExists => Err(err),
        _ => sync_folder(parent),
    }
}

/// Runs work that waits for the disk where it stops nobody else.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// A new name in a folder is on the disk when the folder is.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
