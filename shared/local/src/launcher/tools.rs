//! Tools on the host's `PATH`: the sandbox shows them, and not the home folder that many of them live in.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// What the launcher has to know of the machine's user.
#[derive(Clone, Debug)]
pub struct Host {
    /// `PATH`, which agents get too.
    pub path: OsString,
    pub home: Option<PathBuf>,
}

/// Folders of the system, shown read-only as they are.
pub(super) const ROOTS: [&str; 9] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/nix"];

/// A `PATH` entry below the home folder, and all that its programs need of it. Chosen so that no credentials come along
/// (`.cargo/credentials.toml`, `.local/share/uv/credentials`). An entry that is not here is shown alone.
const TOOLS: &[(&str, &[&str])] = &[
    (".asdf", &[".asdf"]),
    (".bun", &[".bun/bin", ".bun/install/global"]),
    (".cargo/bin", &[".cargo/bin", ".rustup"]),
    (".deno", &[".deno/bin"]),
    (".dotnet", &[".dotnet"]),
    (".fnm", &[".fnm"]),
    (".ghcup", &[".ghcup/bin", ".ghcup/ghc"]),
    (".juliaup", &[".juliaup", ".julia/juliaup"]),
    (
        ".local/bin",
        &[
            ".local/bin",
            ".local/lib",
            ".local/pipx",
            ".local/share/claude",
            ".local/share/pipx",
            ".local/share/uv/python",
            ".local/share/uv/tools",
        ],
    ),
    (".local/share/fnm", &[".local/share/fnm"]),
    (".local/share/mise", &[".local/share/mise"]),
    (".local/share/pnpm", &[".local/share/pnpm"]),
    (".nodenv", &[".nodenv"]),
    (".npm-global", &[".npm-global"]),
    (".nvm", &[".nvm"]),
    (".pyenv", &[".pyenv"]),
    (".rbenv", &[".rbenv"]),
    (".rustup", &[".rustup"]),
    (".sdkman", &[".sdkman/candidates"]),
    (".volta", &[".volta"]),
    ("anaconda3", &["anaconda3"]),
    ("go/bin", &["go/bin"]),
    ("miniconda3", &["miniconda3"]),
];

/// Elsewhere than at home, but the entry alone is not enough either.
const PREFIXES: [&str; 2] = ["/home/linuxbrew/.linuxbrew", "/snap"];

/// What is shown beyond [`ROOTS`].
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tools {
    /// To show at their own place.
    pub folders: BTreeSet<PathBuf>,
    /// Relative to the home folder: reached from the task's home by a link, because many tools look for themselves there.
    pub at_home: BTreeSet<PathBuf>,
}

impl Host {
    /// The program of that name, as a shell would find it.
    pub(super) fn program(&self, name: &str) -> Option<PathBuf> {
        env::split_paths(&self.path).filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).find(
            |program| {
                program
                    .metadata()
                    .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
            },
        )
    }

    /// What to show, of what `exists`. Nothing that contains one of `hidden` is.
    pub(super) fn tools(&self, hidden: &[&Path], exists: impl Fn(&Path) -> bool) -> Tools {
        let home = self.home.as_deref().filter(|home| home.is_absolute() && *home != Path::new("/"));
        let mut tools = Tools::default();
        for entry in env::split_paths(&self.path) {
            let plain = entry.is_absolute() && !entry.components().any(|part| part == Component::ParentDir);
            // A tool below the home folder is shown even where home is below a root, as that hides home.
            let below_home = home.and_then(|home| entry.strip_prefix(home).ok());
            let by_root = ROOTS.iter().any(|root| entry.starts_with(root)) && below_home.is_none();
            if !plain || by_root {
                continue;
            }
            if let (Some(home), Some(entry)) = (home, below_home) {
                let known = TOOLS.iter().find(|(prefix, _)| entry.starts_with(prefix));
                let parts = known.map_or_else(|| vec![entry], |(_, parts)| parts.iter().map(Path::new).collect());
                for part in parts {
                    let folder = home.join(part);
                    if part != Path::new("") && !hides(&folder, hidden) && exists(&folder) {
                        tools.folders.insert(folder);
                        tools.at_home.insert(part.to_owned());
                    }
                }
                continue;
            }
            let folder = PREFIXES.map(Path::new).into_iter().find(|prefix| entry.starts_with(prefix)).unwrap_or(&entry);
            let private = home.is_some_and(|home| home.starts_with(folder));
            if !private && !hides(folder, hidden) && exists(folder) {
                tools.folders.insert(folder.to_owned());
            }
        }
        tools
    }
}

fn hides(folder: &Path, hidden: &[&Path]) -> bool {
    hidden.iter().any(|hidden| hidden.starts_with(folder) || folder.starts_with(hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, folders: &[&str], at_home: &[&str]) {
        let host = Host { path: path.into(), home: Some("/home/me".into()) };
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        let expected = Tools { folders: paths(folders), at_home: paths(at_home) };
        assert_eq!(host.tools(&[Path::new("/var/ozma")], |_| true), expected, "{path}");
    }

    #[test]
    fn tools_at_home_are_shown_and_home_is_not() {
        check("/usr/bin:/bin:/opt/x/bin:relative:", &[], &[]);
        check("/home/me/.cargo/bin", &["/home/me/.cargo/bin", "/home/me/.rustup"], &[".cargo/bin", ".rustup"]);
        check("/home/me/.pyenv/shims:/home/me/.pyenv/bin", &["/home/me/.pyenv"], &[".pyenv"]);
        check("/home/me/bin", &["/home/me/bin"], &["bin"]);
        check("/home/me:/home:/:/home/me/../you/bin", &[], &[]);
        check("/srv/tools/bin", &["/srv/tools/bin"], &[]);
        check("/var/ozma/bin:/var", &[], &[]);
        check("/home/linuxbrew/.linuxbrew/bin", &["/home/linuxbrew/.linuxbrew"], &[]);
    }
}
