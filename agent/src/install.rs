//! How the agent gets into containers of any image: an init container of the agent's own image copies it to a volume
//! that they share.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The agent's own file, wherever it lies.
const SELF: &str = "/proc/self/exe";

/// For everybody to read and run.
const PROGRAM: u32 = 0o755;

/// For everybody to write into, and for nobody to remove what is another's, like `/tmp`.
const SHARED: u32 = 0o1777;

/// What could not be done, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotInstall {
    #[error("the agent's own file {SELF} cannot be read: {0}; is /proc mounted?")]
    Own(#[source] io::Error),
    #[error("{} cannot be written: {cause}; mount a writable volume there", path.display())]
    Write { path: PathBuf, cause: io::Error },
    #[error(
        "{} cannot be opened to every user: {cause}; run this as root, or as the owner of the volume", path.display()
    )]
    Share { path: PathBuf, cause: io::Error },
}

/// Puts `oz-agent` into `folder` and lets every user write to `workspace`. May be done again, also while the file that
/// is replaced is running.
pub(crate) fn install(folder: &Path, workspace: &Path) -> Result<(), CannotInstall> {
    let mut own = File::open(SELF).map_err(CannotInstall::Own)?;
    let write = |path: &Path, cause| CannotInstall::Write { path: path.to_owned(), cause };
    make(folder).map_err(|cause| write(folder, cause))?;
    let program = folder.join("oz-agent");
    place(&mut own, folder, &program).map_err(|cause| write(&program, cause))?;

    make(workspace).map_err(|cause| write(workspace, cause))?;
    if fs::metadata(workspace).is_ok_and(|found| found.permissions().mode() & 0o7777 == SHARED) {
        return Ok(());
    }
    let shared = fs::set_permissions(workspace, Permissions::from_mode(SHARED));
    shared.map_err(|cause| CannotInstall::Share { path: workspace.to_owned(), cause })
}

fn make(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// Whoever looks sees the old file or the new one, and never a part.
fn place(own: &mut File, folder: &Path, program: &Path) -> io::Result<()> {
    let unfinished = folder.join(format!(".oz-agent.{}", std::process::id()));
    let result = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(PROGRAM).open(&unfinished)?;
        io::copy(own, &mut file)?;
        // Whatever the umask says.
        file.set_permissions(Permissions::from_mode(PROGRAM))?;
        fs::rename(&unfinished, program)
    })();
    if result.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn installing_again_leaves_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (to, workspace) = (folder.path().join("ozma"), folder.path().join("work/space"));
        for _ in 0..2 {
            install(&to, &workspace).unwrap();
            assert!(fs::read(to.join("oz-agent")).unwrap() == fs::read(SELF).unwrap(), "the same file");
            assert_eq!((mode(&to.join("oz-agent")), mode(&workspace)), (0o755, 0o1777));
            assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
        }
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let err = install(&file, folder.path()).unwrap_err().to_string();
        assert!(err.starts_with(&format!("{} cannot be written: ", file.display())), "{err}");
        let err = install(folder.path(), &file).unwrap_err().to_string();
        assert!(err.ends_with("mount a writable volume there"), "{err}");
    }
}
