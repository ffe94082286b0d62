//! The folder of one execution, and where things lie in it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use ozma_domain::prompt_template::PAYLOAD_FILE;
use rustix::fs::{CWD, Mode, OFlags};

/// The name by which the agent's program is called, whatever file it is in.
pub const PROGRAM: &str = "oz-agent";

#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    /// The file that the agent runs from.
    own: Option<PathBuf>,
}

impl Workspace {
    pub(crate) fn new(root: PathBuf, own: Option<PathBuf>) -> Self {
        Self { root, own }
    }

    /// Makes what is not there. Called before each command: tasks have deleted their own workspace.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        for folder in [self.root.clone(), self.work(), self.home(), self.temporary()] {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let (Some(own), Some(program)) = (&self.own, self.program()) else { return Ok(()) };
        DirBuilder::new().recursive(true).mode(0o700).create(self.bin())?;
        match std::os::unix::fs::symlink(own, program) {
            // What the task puts in its place is the task's.
            Err(err) if err.kind() != io::ErrorKind::AlreadyExists => Err(err),
            _ => Ok(()),
        }
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

    /// At the end of the task's `PATH`.
    pub(crate) fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// The agent's own program, by the one name that it has for tasks wherever it lies.
    pub(crate) fn program(&self) -> Option<PathBuf> {
        self.own.as_ref().map(|_| self.bin().join(PROGRAM))
    }

    /// Follow-up messages, one JSON object a line.
    pub(crate) fn messages(&self) -> PathBuf {
        self.root.join("messages.jsonl")
    }

    /// What the task says that its models cost, one JSON object a line.
    pub(crate) fn usage(&self) -> PathBuf {
        self.root.join("usage.jsonl")
    }

    /// The pull requests that the task says it made, one JSON object a line.
    pub(crate) fn pull_requests(&self) -> PathBuf {
        self.root.join("pull_requests.jsonl")
    }

    /// What the event says that the run was started by. Its name is the one that prompts tell of it.
    pub(crate) fn event(&self) -> PathBuf {
        self.root.join(PAYLOAD_FILE)
    }

    pub(crate) fn script(&self) -> PathBuf {
        self.root.join("task.sh")
    }

    /// The configuration that git reads while cloning, in place of the user's.
    pub(crate) fn git_config(&self) -> PathBuf {
        self.root.join("gitconfig")
    }

    /// There only while it is applied.
    pub(crate) fn patch(&self) -> PathBuf {
        self.root.join("restored.patch")
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

/// What is at a path, seen without following any link on the way.
pub(crate) enum Beneath {
    File {
        content: Vec<u8>,
        executable: bool,
    },
    TooLarge,
    /// A link or a folder, or nothing.
    NoFile,
}

pub(crate) fn read_beneath(root: &Path, path: &Path, most: usize) -> io::Result<Beneath> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let file = match open_beneath(root, path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(err) if is_no_file(&err) => return Ok(Beneath::NoFile),
        Err(err) => return Err(err),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(Beneath::NoFile);
    }
    let mut content = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut content)?;
    if content.len() > most {
        return Ok(Beneath::TooLarge);
    }
    Ok(Beneath::File { content, executable: metadata.permissions().mode() & 0o100 != 0 })
}

/// Writes a file and makes the folders that it needs. What is there already is replaced, links are not followed.
pub(crate) fn write_beneath(root: &Path, path: &Path, content: &[u8], executable: bool) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK;
    let mode = Mode::from_raw_mode(if executable { 0o755 } else { 0o644 });
    let mut file = open_beneath(root, path, flags, mode)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    rustix::fs::fchmod(&file, mode)?;
    file.write_all(content)
}

fn is_no_file(err: &io::Error) -> bool {
    use rustix::io::Errno as E;
    let errno = err.raw_os_error().map(E::from_raw_os_error);
    matches!(errno, Some(E::NOENT | E::LOOP | E::NOTDIR | E::ISDIR | E::NXIO))
}

/// Folder by folder, each opened as what it is.
fn open_beneath(root: &Path, path: &Path, flags: OFlags, mode: Mode) -> io::Result<File> {
    let common = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | common;
    let mut at: OwnedFd = rustix::fs::openat(CWD, root, folder, Mode::empty())?;
    let mut names = path.components().peekable();
    while let Some(name) = names.next() {
        let Component::Normal(name) = name else { return Err(io::Error::other("not a path below the workspace")) };
        if names.peek().is_none() {
            return Ok(File::from(rustix::fs::openat(&at, name, flags | common, mode)?));
        }
        if flags.contains(OFlags::CREATE)
            && let Err(err) = rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o755))
            && err != rustix::io::Errno::EXIST
        {
            return Err(err.into());
        }
        at = rustix::fs::openat(&at, name, folder, Mode::empty())?;
    }
    Err(io::Error::other("no path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_leads_out_of_a_folder() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (root, link) = (folder.path(), std::os::unix::fs::symlink::<&Path, PathBuf>);
        std::fs::write(outside.path().join("file"), "theirs").unwrap();
        link(outside.path(), root.join("folder")).unwrap();
        link(&outside.path().join("file"), root.join("file")).unwrap();
        for path in ["file", "folder/file", "folder", "absent", "absent/file"] {
            assert!(matches!(read_beneath(root, Path::new(path), 10), Ok(Beneath::NoFile)), "{path}");
        }
        for path in ["file", "folder/file", "folder/new", "../x", "/x", "", "."] {
            assert!(write_beneath(root, Path::new(path), b"ours", false).is_err(), "{path}");
            assert!(
                read_beneath(root, Path::new(path), 10).is_ok_and(|read| matches!(read, Beneath::NoFile))
                    || path.len() < 5
            );
        }
        assert_eq!(std::fs::read_to_string(outside.path().join("file")).unwrap(), "theirs");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);

        write_beneath(root, Path::new("a/b/c"), b"ours, and long", true).unwrap();
        write_beneath(root, Path::new("a/b/c"), b"ours", true).unwrap();
        let read = read_beneath(root, Path::new("a/b/c"), 4).unwrap();
        assert!(matches!(read, Beneath::File { content, executable: true } if content == b"ours"));
        assert!(matches!(read_beneath(root, Path::new("a/b/c"), 3), Ok(Beneath::TooLarge)));
    }
}
