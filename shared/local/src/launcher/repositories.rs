//! `file://` repositories: what git needs of them to clone, and no more. Work trees, with whatever lies in them
//! uncommitted, stay out of sight.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use ozma_domain::repository::Repository;

/// Folders and files to show read-only: the place to show, then the place it really is. What is not a repository is
/// left out, so that its clone fails and says so. Nothing below `private` is shown.
pub(super) fn visible(repositories: &[Repository], private: &Path) -> BTreeMap<PathBuf, PathBuf> {
    let mut shown = BTreeMap::new();
    for path in repositories.iter().filter_map(|repository| repository.url.local_path()) {
        let path = Path::new(path);
        if path.is_absolute() && !path.components().any(|part| part == Component::ParentDir) {
            show(path, &mut shown);
        }
    }
    shown.retain(|place, source| {
        let reserved = ["/oz", "/run/oz", "/proc", "/dev", "/sys"].iter().any(|reserved| place.starts_with(reserved));
        // Below these is fine, in their stead is not.
        let in_stead = ["/", "/workspace", "/tmp", "/run"].map(Path::new).contains(&place.as_path());
        !reserved && !in_stead && !source.starts_with(private)
    });
    shown
}

fn show(path: &Path, shown: &mut BTreeMap<PathBuf, PathBuf>) {
    let dot_git = path.join(".git");
    if is_git_folder(&dot_git) {
        add(&dot_git, shown);
        objects_elsewhere(&dot_git, shown, 0);
    } else if is_git_folder(path) {
        add(path, shown);
        objects_elsewhere(path, shown, 0);
    } else if dot_git.is_file()
        && let Some(folder) = linked_folder(path, &dot_git)
    {
        // A work tree of its own or a submodule: `.git` names the folder, which may name the one it shares.
        add(&dot_git, shown);
        let common = fs::read_to_string(folder.join("commondir")).ok().map(|common| folder.join(common.trim()));
        let common = common.and_then(|common| common.canonicalize().ok()).unwrap_or_else(|| folder.clone());
        if is_git_folder(&common) {
            add(&folder, shown);
            add(&common, shown);
            objects_elsewhere(&common, shown, 0);
        }
    }
}

fn add(path: &Path, shown: &mut BTreeMap<PathBuf, PathBuf>) {
    if let Ok(source) = path.canonicalize() {
        shown.insert(path.to_owned(), source);
    }
}

fn is_git_folder(path: &Path) -> bool {
    path.join("HEAD").is_file() && path.join("objects").is_dir() && path.join("refs").is_dir()
}

fn linked_folder(path: &Path, dot_git: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(dot_git).ok()?;
    let folder = path.join(text.strip_prefix("gitdir:")?.trim()).canonicalize().ok()?;
    folder.join("HEAD").is_file().then_some(folder)
}

/// A repository cloned with `--shared` or `--reference` keeps objects in others.
fn objects_elsewhere(git_folder: &Path, shown: &mut BTreeMap<PathBuf, PathBuf>, depth: u8) {
    let objects = git_folder.join("objects");
    let Ok(alternates) = fs::read_to_string(objects.join("info/alternates")) else { return };
    for line in alternates.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).take(16) {
        let Ok(other) = objects.join(line).canonicalize() else { continue };
        // Only what looks like an object store: the file could name anything.
        let Some(owner) = other.parent().filter(|owner| other.ends_with("objects") && is_git_folder(owner)) else {
            continue;
        };
        add(&other, shown);
        if depth < 5 {
            objects_elsewhere(owner, shown, depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_sees_its_own_folder_and_nothing_beside_it() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        let git_folder = |path: &Path| {
            fs::create_dir_all(path.join("objects/info")).unwrap();
            fs::create_dir_all(path.join("refs")).unwrap();
            fs::write(path.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        };
        git_folder(&root.join("main/.git"));
        git_folder(&root.join("bare.git"));
        git_folder(&root.join("borrower/.git"));
        fs::write(root.join("borrower/.git/objects/info/alternates"), "../../../bare.git/objects\n/etc\n").unwrap();
        let linked = root.join("main/.git/worktrees/tree");
        fs::create_dir_all(&linked).unwrap();
        fs::write(linked.join("HEAD"), "ref: refs/heads/tree\n").unwrap();
        fs::write(linked.join("commondir"), "../..\n").unwrap();
        fs::create_dir_all(root.join("tree")).unwrap();
        fs::write(root.join("tree/.git"), format!("gitdir: {}\n", linked.display())).unwrap();
        fs::create_dir_all(root.join("plain/.ssh")).unwrap();

        let check = |path: &str, expected: &[&str]| {
            let url = format!("file://{}", root.join(path).display());
            let repository = Repository { url: url.parse().unwrap(), reference: None };
            let shown: Vec<_> = visible(&[repository], Path::new("/none")).into_keys().collect();
            assert_eq!(shown, expected.iter().map(|path| root.join(path)).collect::<Vec<_>>(), "{path}");
        };
        check("main", &["main/.git"]);
        check("main/.git", &["main/.git"]);
        check("bare.git", &["bare.git"]);
        check("borrower", &["bare.git/objects", "borrower/.git"]);
        check("tree", &["main/.git", "main/.git/worktrees/tree", "tree/.git"]);
        check("plain", &[]);
        check("missing", &[]);
        check("main/../plain", &[]);
    }
}
