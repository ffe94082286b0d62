//! Which files a task created, modified and deleted: the work tree before the harness against the work tree after it.

use std::collections::{BTreeMap, HashSet};
use std::fs::{Metadata, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ozma_domain::audit::event::{Change, Record};
use ozma_domain::limits::{CHANGED_FILES, HASHED_FILE_BYTES};
use ozma_domain::text;
use sha2::{Digest as _, Sha256};

use crate::workspace;

/// A tree of more files than this is not compared: it would take more memory than the agent is worth.
const COMPARED_FILES: usize = 200_000;

/// A work tree as it was.
#[derive(Default)]
pub(crate) struct Baseline {
    tree: Tree,
}

/// Paths relative to the root. Links are not followed, and `.git` is git's own.
#[derive(Default)]
struct Tree {
    files: BTreeMap<PathBuf, Stamp>,
    folders: HashSet<PathBuf>,
    too_large: bool,
}

/// What tells a file from one that was written to. A task may set the modification time, but not the change time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    is_link: bool,
}

/// What a task did to its files.
#[derive(Default)]
pub(crate) struct Changes {
    /// As events.
    pub(crate) records: Vec<Record>,
    /// What was created or modified.
    pub(crate) files: Vec<PathBuf>,
}

impl Baseline {
    pub(crate) fn of(root: &Path) -> Self {
        Self { tree: Tree::of(root) }
    }

    /// What is different now. `patience` bounds the hashing.
    pub(crate) fn changes(mut self, root: &Path, patience: Duration) -> Changes {
        let until = Instant::now() + patience;
        let now = Tree::of(root);
        if self.tree.too_large || now.too_large {
            let text = format!("the work tree has more than {COMPARED_FILES} files; its changes are not listed");
            return Changes { records: vec![Record::Notice { text }], files: Vec::new() };
        }
        let mut changes = Vec::new();
        for (path, stamp) in now.files {
            match self.tree.files.remove(&path) {
                None => changes.push((Change::Created, path, Some(stamp))),
                Some(before) if before != stamp => changes.push((Change::Modified, path, Some(stamp))),
                Some(_) => {}
            }
        }
        changes.extend(self.tree.files.into_keys().map(|path| (Change::Deleted, path, None)));

        // What a build leaves in folders of its own must not crowd out what was done to the code.
        changes.sort_by_cached_key(|(change, path, _)| {
            let is_new_folder = path.parent().is_some_and(|folder| !self.tree.folders.contains(folder));
            (*change == Change::Created && is_new_folder, path.clone())
        });
        let skipped = changes.len().saturating_sub(CHANGED_FILES);
        changes.truncate(CHANGED_FILES);
        let there = changes.iter().filter(|(_, _, stamp)| stamp.is_some());
        let files = there.map(|(_, path, _)| path.clone()).collect();
        let mut records: Vec<Record> = changes
            .into_iter()
            .map(|(change, path, stamp)| Record::File {
                change,
                bytes: stamp.filter(|stamp| !stamp.is_link).map(|stamp| stamp.bytes),
                sha256: stamp.filter(|_| Instant::now() < until).and_then(|stamp| hash(&root.join(&path), stamp)),
                path: text::printable(path.as_os_str().as_encoded_bytes()),
            })
            .collect();
        if skipped > 0 {
            records.push(Record::FilesSkipped { files: skipped as u64 });
        }
        Changes { records, files }
    }
}

impl Tree {
    fn of(root: &Path) -> Self {
        let mut tree = Self { files: BTreeMap::new(), folders: HashSet::from([PathBuf::new()]), too_large: false };
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(root.join(&folder)) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let Ok(metadata) = entry.metadata() else { continue };
                if name == ".git" {
                    continue;
                }
                let path = folder.join(name);
                if metadata.is_dir() {
                    tree.folders.insert(path.clone());
                    folders.push(path);
                } else if metadata.is_file() || metadata.is_symlink() {
                    tree.files.insert(path, Stamp::of(&metadata));
                }
                if tree.files.len() + tree.folders.len() > COMPARED_FILES {
                    tree.too_large = true;
                    return tree;
                }
            }
        }
        tree
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            is_link: metadata.is_symlink(),
        }
    }
}

fn hash(path: &Path, stamp: Stamp) -> Option<String> {
    if stamp.is_link || stamp.bytes > HASHED_FILE_BYTES {
        return None;
    }
    let mut file = workspace::open(path, OpenOptions::new().read(true)).ok()?.take(HASHED_FILE_BYTES + 1);
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(hex::encode(digest.finalize())),
            read => digest.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(records: &[Record]) -> Vec<String> {
        let line = |record: &Record| match record {
            Record::File { path, change, bytes, sha256 } => {
                let hash = sha256.as_ref().map_or("-", |hash| &hash[..4]);
                format!("{change:?} {path} {} {hash}", bytes.map_or("-".to_owned(), |bytes| bytes.to_string()))
            }
            other => format!("{other:?}"),
        };
        records.iter().map(line).collect()
    }

    #[test]
    fn changes_are_listed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let write = |name: &str, text: &str| {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), text).unwrap();
        };
        for name in ["same", "src/old", "src/gone", ".git/index", "z/.git/index"] {
            write(name, "1");
        }
        let baseline = Baseline::of(root);
        write("src/old", "22");
        write("src/new", "3");
        write("a/built", "4");
        write(".git/index", "5");
        std::fs::remove_file(root.join("src/gone")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        assert_eq!(
            listed(&baseline.changes(root, Duration::from_secs(60)).records),
            [
                "Created link - -",
                "Deleted src/gone - -",
                "Created src/new 1 4e07",
                "Modified src/old 2 785f",
                "Created a/built 1 4b22",
            ]
        );
    }

    #[test]
    fn a_file_rewritten_with_its_old_time_and_size_still_shows() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        std::fs::write(&file, "1").unwrap();
        let time = std::fs::metadata(&file).unwrap().modified().unwrap();
        let baseline = Baseline::of(folder.path());
        // The kernel's clock for files ticks every few milliseconds.
        std::thread::sleep(Duration::from_millis(20));
        std::fs::write(&file, "2").unwrap();
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        assert_eq!(listed(&baseline.changes(folder.path(), Duration::from_secs(60)).records), ["Modified x 1 d473"]);
    }

    #[test]
    fn a_flood_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let baseline = Baseline::of(folder.path());
        for number in 0..CHANGED_FILES + 3 {
            std::fs::write(folder.path().join(number.to_string()), "").unwrap();
        }
        let records = baseline.changes(folder.path(), Duration::ZERO).records;
        assert_eq!(records.len(), CHANGED_FILES + 1);
        assert_eq!(records.last(), Some(&Record::FilesSkipped { files: 3 }));
    }
}
