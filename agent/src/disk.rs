//! What the workspace takes of the disk, and what is left.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};

/// Bytes below `root`, links not followed, other mounts (a toolchain that the launcher lends) not counted, files of
/// many names counted once. What vanishes meanwhile is not there.
pub(crate) fn usage_bytes(root: &Path) -> u64 {
    let mut bytes = 0;
    let mut seen = HashSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                let path = entry.path();
                if !is_mount(&path) {
                    bytes += metadata.blocks() * 512;
                    folders.push(path);
                }
            } else if metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino())) {
                bytes += metadata.blocks() * 512;
            }
        }
    }
    bytes
}

/// Free bytes of the file system of `path`, or plenty if that cannot be told.
pub(crate) fn free_bytes(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(u64::MAX, |system| system.f_bavail.saturating_mul(system.f_frsize))
}

fn is_mount(path: &Path) -> bool {
    rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MODE)
        .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_file_are_counted_once_and_links_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("a")).unwrap();
        std::fs::write(path("a/x"), vec![1; 1 << 20]).unwrap();
        let once = usage_bytes(folder.path());
        std::fs::hard_link(path("a/x"), path("y")).unwrap();
        std::os::unix::fs::symlink("/usr", path("usr")).unwrap();
        assert!(once >= 1 << 20);
        assert!(usage_bytes(folder.path()) < once + 64 * 1024);
        assert_eq!(usage_bytes(&path("missing")), 0);
    }
}
