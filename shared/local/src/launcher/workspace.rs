//! The files of an execution on this machine: made ready before, cleared away after, however the task left them.

use std::ffi::CString;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, chmodat, openat, renameat, statat, unlinkat};

use super::record::{Folder, Record};

/// The log of an agent that lives; more is cut off from its start.
const LOG_BYTES: u64 = 4 * 1024 * 1024;

/// What is kept of it.
const LOG_KEPT_BYTES: u64 = 64 * 1024;

/// Ended executions whose log is kept.
const LOGS_KEPT: usize = 200;

/// Makes the folder of an execution, empty but for the log: a workspace that belongs to `owner`, a home in it with
/// links to `at_home`, and a place for temporary files.
pub(super) fn prepare(folder: &Folder, owner: Option<u32>, home: Option<(&Path, Vec<PathBuf>)>) -> io::Result<()> {
    fs::create_dir_all(&folder.0)?;
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o700))?;
    let _ = fs::remove_file(folder.record());
    let _ = fs::remove_file(folder.status());
    let workspace = folder.workspace();
    if workspace.symlink_metadata().is_ok() {
        remove(&workspace, &folder.0)?;
    }
    let give = |path: &Path| owner.map_or(Ok(()), |owner| lchown(path, Some(owner), Some(owner)));
    let make = |path: &Path, mode: u32| {
        fs::create_dir(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        give(path)
    };
    // The one who makes the mounts, root without its rights, has to pass through. The folders around it are closed.
    make(&workspace, 0o711)?;
    make(&workspace.join("home"), 0o700)?;
    make(&workspace.join("tmp"), 0o1777)?;
    make(&workspace.join("tmp/.shm"), 0o1777)?;
    // The repository's owner is another than the agent wherever the launcher changes the user, and git would refuse.
    let git_config = workspace.join("home/.gitconfig");
    fs::write(&git_config, "[safe]\n\tdirectory = *\n")?;
    give(&git_config)?;
    if let Some((host_home, parts)) = home {
        for part in parts {
            let link = workspace.join("home").join(&part);
            let mut parents: Vec<_> = part.ancestors().skip(1).filter(|parent| *parent != Path::new("")).collect();
            parents.reverse();
            for parent in parents {
                let parent = workspace.join("home").join(parent);
                if parent.symlink_metadata().is_err() {
                    make(&parent, 0o755)?;
                }
            }
            // One part may lie within another that is linked already.
            if link.symlink_metadata().is_err() {
                symlink(host_home.join(&part), &link)?;
                give(&link)?;
            }
        }
    }
    Ok(())
}

/// `passwd` and `group` of the host, with a user of that number whose home is the task's: ssh and others refuse to work for
/// a user without a name.
pub(super) fn write_users(folder: &Folder, uid: u32, gid: u32) -> io::Result<()> {
    let with = |first: String, file: &str| {
        let path = folder.0.join(Path::new(file).file_name().unwrap_or_default());
        fs::write(&path, [first.into_bytes(), fs::read(file).unwrap_or_default()].concat())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
    };
    with(format!("oz:x:{uid}:{gid}:Ozma agent:/workspace/home:/bin/bash\n"), "/etc/passwd")?;
    with(format!("oz:x:{gid}:\n"), "/etc/group")
}

/// Where the agent's own words go. Appended to, so that it can be cut while it is written.
pub(super) fn open_log(folder: &Folder) -> io::Result<fs::File> {
    fs::OpenOptions::new().create(true).append(true).mode(0o600).open(folder.log())
}

pub(super) fn bound_log(folder: &Folder) {
    if folder.log().metadata().is_ok_and(|metadata| metadata.len() > LOG_BYTES)
        && let Err(error) = keep_tail(&folder.log(), LOG_KEPT_BYTES)
    {
        tracing::warn!(%error, "could not shorten an agent's log");
    }
}

fn keep_tail(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    if length > bytes {
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(length - bytes))?;
        (&file).take(bytes).read_to_end(&mut tail)?;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(&tail)?;
    }
    Ok(())
}

/// The last line of the log that somebody other than the agent wrote: why it did not even start.
pub(super) fn failure_to_start(folder: &Folder) -> Option<String> {
    let mut tail = Vec::new();
    let mut file = fs::File::open(folder.log()).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(4096))).ok()?;
    file.read_to_end(&mut tail).ok()?;
    let tail = String::from_utf8_lossy(&tail);
    let starters = ["bwrap", "setpriv", "unshare", "setsid", "env", "sh"];
    let by_starter = |line: &&str| {
        let speaker = line.split_once(": ").map_or("", |(speaker, _)| speaker);
        starters.contains(&speaker.rsplit('/').next().unwrap_or(speaker))
    };
    let line = tail.lines().rev().find(by_starter)?;
    Some(line.chars().take(200).collect())
}

/// Takes the workspace out of the way at once; the caller removes it later, with [`empty_trash`].
pub(super) fn discard(folder: &Folder, trash: &Path) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let _ = fs::remove_file(folder.0.join("passwd"));
    let _ = fs::remove_file(folder.0.join("group"));
    let _ = keep_tail(&folder.log(), LOG_KEPT_BYTES);
    if folder.workspace().symlink_metadata().is_err() {
        return Ok(());
    }
    fs::create_dir_all(trash)?;
    let name = folder.0.file_name().unwrap_or_default().to_string_lossy();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let place = trash.join(format!("{name}-{}-{number}", std::process::id()));
    fs::create_dir(&place)?;
    // Moving a folder changes the ".." in it, so it must be writable itself.
    if folder.workspace().symlink_metadata()?.is_dir() {
        let _ = fs::set_permissions(folder.workspace(), fs::Permissions::from_mode(0o700));
    }
    fs::rename(folder.workspace(), place.join("workspace"))
}

/// Removes the workspace where it is, which takes its time.
pub(super) fn remove_at_once(folder: &Folder) {
    if let Err(error) = remove(&folder.workspace(), &folder.0) {
        tracing::warn!(%error, path = %folder.workspace().display(), "could not remove a workspace");
    }
}

/// Removes what [`discard`] put there for that execution, or for all.
pub(super) fn empty_trash(trash: &Path, execution: Option<&str>) {
    let Ok(entries) = fs::read_dir(trash) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if execution.is_some_and(|execution| !name.starts_with(&format!("{execution}-"))) {
            continue;
        }
        let gone = remove(&entry.path().join("workspace"), &entry.path()).and_then(|()| fs::remove_dir(entry.path()));
        // Two may clear the same folder; the other one was first.
        if let Err(error) = gone.or_else(|error| if entry.path().exists() { Err(error) } else { Ok(()) }) {
            tracing::warn!(%error, path = %entry.path().display(), "could not remove a workspace");
        }
    }
}

/// Removes the folder, whatever is in it: folders without any permission, and trees so deep that no path reaches down.
/// For that each folder found is first moved up, into `beside`.
fn remove(path: &Path, beside: &Path) -> io::Result<()> {
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let top = openat(CWD, beside, OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY, Mode::empty())?;
    let name = path.file_name().map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
    let mut waiting = vec![CString::new(name)?];
    let mut moved = 0_u64;
    // What a removal that was cut short had moved up.
    for entry in Dir::read_from(&top)? {
        let entry = entry?;
        let number =
            entry.file_name().to_str().ok().and_then(|name| name.strip_prefix(".remove-")?.parse::<u64>().ok());
        if let Some(number) = number {
            moved = moved.max(number.saturating_add(1));
            waiting.push(entry.file_name().to_owned());
        }
    }
    while let Some(name) = waiting.pop() {
        match statat(&top, &name, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => (),
            Ok(_) => {
                unlinkat(&top, &name, AtFlags::empty())?;
                continue;
            }
            Err(error) if missing(&error) => continue,
            Err(error) => return Err(error),
        }
        let _ = chmodat(&top, &name, Mode::RWXU, AtFlags::empty());
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let folder = openat(&top, &name, flags, Mode::empty())?;
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            let is_folder = match entry.file_type() {
                FileType::Unknown => {
                    let stat = statat(&folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                }
                known => known == FileType::Directory,
            };
            if is_folder {
                // As above.
                let _ = chmodat(&folder, entry.file_name(), Mode::RWXU, AtFlags::empty());
                let place = CString::new(format!(".remove-{moved}"))?;
                moved += 1;
                renameat(&folder, entry.file_name(), &top, &place)?;
                waiting.push(place);
            } else {
                unlinkat(&folder, entry.file_name(), AtFlags::empty())?;
            }
        }
        unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

/// Forgets all but the newest ended executions.
pub(super) fn prune(executions: &Path) {
    let Ok(entries) = fs::read_dir(executions) else { return };
    let mut folders: Vec<_> =
        entries.flatten().filter(|entry| entry.path().is_dir()).map(|entry| entry.path()).collect();
    // An execution's id begins with the time its run was accepted.
    folders.sort_unstable();
    let surplus = folders.len().saturating_sub(LOGS_KEPT);
    for path in folders.into_iter().take(surplus) {
        let folder = Folder(path);
        if Record::read(&folder).is_some_and(|record| record.ended.is_some()) && !folder.workspace().exists() {
            let _ = fs::remove_dir_all(&folder.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_goes_however_the_task_left_it() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder(temp.path().join("execution"));
        prepare(&folder, None, Some((Path::new("/home/me"), vec![".cargo/bin".into(), ".rustup".into()]))).unwrap();
        let workspace = folder.workspace();
        assert_eq!(fs::read_link(workspace.join("home/.cargo/bin")).unwrap(), Path::new("/home/me/.cargo/bin"));
        fs::create_dir_all(workspace.join("locked/inner")).unwrap();
        fs::write(workspace.join("locked/inner/file"), "x").unwrap();
        fs::set_permissions(workspace.join("locked/inner"), fs::Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(workspace.join("locked"), fs::Permissions::from_mode(0o555)).unwrap();
        symlink("/etc", workspace.join("etc")).unwrap();
        // Deeper than any path, made by moving the tree below a new top again and again.
        for _ in 0..1_500 {
            fs::create_dir(workspace.join("top")).unwrap();
            if workspace.join("deep").exists() {
                fs::rename(workspace.join("deep"), workspace.join("top/abcdefg")).unwrap();
            }
            fs::rename(workspace.join("top"), workspace.join("deep")).unwrap();
        }
        fs::set_permissions(&workspace, fs::Permissions::from_mode(0o500)).unwrap();
        discard(&folder, &temp.path().join("trash")).unwrap();
        assert!(!workspace.exists());
        empty_trash(&temp.path().join("trash"), Some("execution"));
        assert_eq!(fs::read_dir(temp.path().join("trash")).unwrap().count(), 0);
        assert!(Path::new("/etc/passwd").exists());
    }

    #[test]
    fn a_removal_that_was_cut_short_is_finished() {
        let temp = tempfile::tempdir().unwrap();
        let discarded = temp.path().join("execution-7-0");
        // Killed between two folders, once with the workspace itself still there.
        fs::create_dir_all(discarded.join(".remove-0/inner")).unwrap();
        fs::write(discarded.join(".remove-0/inner/file"), "x").unwrap();
        fs::create_dir_all(discarded.join(".remove-2")).unwrap();
        fs::create_dir_all(discarded.join("workspace/a/b")).unwrap();
        fs::create_dir_all(temp.path().join("execution-7-1/.remove-3")).unwrap();
        empty_trash(temp.path(), None);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_log_keeps_its_end() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder(temp.path().to_owned());
        let mut log = open_log(&folder).unwrap();
        log.write_all(&vec![b'x'; LOG_BYTES as usize + 1]).unwrap();
        log.write_all(b"end").unwrap();
        bound_log(&folder);
        log.write_all(b" of all").unwrap();
        let text = fs::read_to_string(folder.log()).unwrap();
        assert!(text.ends_with("xend of all") && text.len() < LOG_KEPT_BYTES as usize + 10);
    }
}
