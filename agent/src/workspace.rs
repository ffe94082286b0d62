//! The folder of one execution, and where things lie in it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Makes what is not there. Called before each command: tasks have deleted their own workspace.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        for folder in [self.root.clone(), self.work(), self.home(), self.temporary()] {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        Ok(())
    }

    /// Removes what the task wrote, as far as it lets itself be removed.
    pub(crate) fn clear(&self) {
        for folder in [self.work(), self.temporary(), self.home()] {
            if let Err(err) = std::fs::remove_dir_all(&folder) {
                tracing::warn!("{} stays in part: {err}", folder.display());
            }
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where repositories are.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    pub(crate) fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Follow-up messages, one JSON object a line.
    pub(crate) fn messages(&self) -> PathBuf {
        self.root.join("messages.jsonl")
    }

    pub(crate) fn script(&self) -> PathBuf {
        self.root.join("task.sh")
    }

    /// The configuration that git reads while cloning, in place of the user's.
    pub(crate) fn git_config(&self) -> PathBuf {
        self.root.join("gitconfig")
    }

    /// There only while cloning.
    pub(crate) fn ssh_key(&self) -> PathBuf {
        self.root.join("ssh_key")
    }

    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.root.join("known_hosts")
    }
}

/// Opens a file of the workspace for writing. The task may have put anything in its place: a link is not followed, and
/// a FIFO without a reader is an error rather than an eternity.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = options.mode(0o600).custom_flags(flags.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a file")) }
}
