//! The sandbox: namespaces of its own, the system read-only, the workspace writable, and nothing else of the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use ozma_domain::environment::Network;
use tokio::process::Command;

use super::process::{self, Arguments};
use super::record::Folder;
use super::tools::{Host, ROOTS, Tools};

/// The users of the slots. systemd gives 61184 to 65519 to services that want a user for a while, so no installation has
/// people or files there. Each control plane of the machine has a block of its own: the kernel counts a user's processes,
/// and what one plane's task uses up another's must not miss.
const FIRST_UID: u32 = 61_184;
const BLOCK: u32 = 64;
const BLOCKS: u32 = 64;

/// Where things are inside.
pub(super) const WORKSPACE: &str = "/workspace";
const SOCKETS: &str = "/run/oz";
pub(super) const CONTROL_URL: &str = "unix:/run/oz/oz.sock";
const EXECUTABLE: &str = "/oz/oz";

/// A way to use bubblewrap that has been seen working here.
#[derive(Clone, Debug)]
pub(super) struct Bubblewrap {
    program: PathBuf,
    user: User,
}

/// Who runs the agent.
#[derive(Clone, Debug)]
enum User {
    /// The same as runs the control plane.
    Own,
    /// A user of the slot's own. The mounts are made by root, who alone reaches a workspace below `/root`; `change`
    /// then leaves root for good, and `enter`, if there is one, makes the user namespace that bubblewrap itself would.
    Slot { change: PathBuf, enter: Option<PathBuf>, block: Block },
}

/// A block of users, held by this process for as long as it lives.
#[derive(Clone, Debug)]
struct Block {
    first: u32,
    /// Bound to a name that is free again when the process has ended, however it ended.
    _holder: Option<Arc<UnixDatagram>>,
}

impl Block {
    /// The one that the data folder prefers, else the next that is free. If none is, the first is shared: better than root.
    fn take(data_dir: &Path) -> Self {
        let mut hasher = DefaultHasher::new();
        data_dir.hash(&mut hasher);
        let preferred = hasher.finish() as u32 % BLOCKS;
        let block = |number: u32, holder| Self { first: FIRST_UID + number * BLOCK, _holder: holder };
        let free = (0..BLOCKS).find_map(|step| {
            let number = (preferred + step) % BLOCKS;
            let name = SocketAddr::from_abstract_name(format!("ozma-users-{number}")).ok()?;
            Some(block(number, Some(Arc::new(UnixDatagram::bind_addr(&name).ok()?))))
        });
        free.unwrap_or_else(|| block(preferred, None))
    }
}

/// What one sandbox shows.
pub(super) struct View<'a> {
    pub folder: &'a Folder,
    pub executable: &'a Path,
    pub socket_dir: &'a Path,
    pub data_dir: &'a Path,
    pub tools: &'a Tools,
    /// Place to source.
    pub repositories: &'a BTreeMap<PathBuf, PathBuf>,
    pub network: Network,
    pub slot: u16,
}

impl Bubblewrap {
    /// Finds the strictest way that works, or tells why none does.
    pub(super) async fn probe(host: &Host, data_dir: &Path) -> Result<Self, String> {
        let program = host.program("bwrap").ok_or("bubblewrap is not installed (apt install bubblewrap)")?;
        let mut users = vec![User::Own];
        if rustix::process::geteuid().is_root()
            && let Some(change) = host.program("setpriv")
        {
            let block = Block::take(data_dir);
            let enter = host.program("unshare");
            let apart = User::Slot { change: change.clone(), enter, block: block.clone() };
            users = vec![apart, User::Slot { change, enter: None, block }, User::Own];
        }
        let mut reason = String::new();
        for user in users {
            let candidate = Self { program: program.clone(), user };
            match candidate.works(host).await {
                Ok(()) => {
                    tracing::info!(sandbox = ?candidate, "agents run in bubblewrap");
                    return Ok(candidate);
                }
                Err(error) => reason = error,
            }
        }
        Err(format!("bubblewrap does not work here: {reason}"))
    }

    async fn works(&self, host: &Host) -> Result<(), String> {
        let mut arguments = self.namespaces(Network::None);
        for root in ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--"] {
            arguments.push(root.into());
        }
        arguments.extend(self.change_user(0));
        arguments.push(host.program("true").unwrap_or_else(|| "/bin/true".into()).into());
        let mut command = Command::new(&arguments[0]);
        command.args(&arguments[1..]).env_clear().env("PATH", &host.path).stdin(Stdio::null()).kill_on_drop(true);
        match tokio::time::timeout(Duration::from_secs(10), command.output()).await {
            Ok(Ok(output)) if output.status.success() => Ok(()),
            Ok(Ok(output)) => {
                let text = String::from_utf8_lossy(&output.stderr);
                Err(text.lines().next_back().unwrap_or("it failed without a word").chars().take(200).collect())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it did not end within 10 s".to_owned()),
        }
    }

    /// Who owns the workspace, if not who runs the control plane.
    pub(super) fn owner(&self, slot: u16) -> Option<u32> {
        match self.user {
            User::Own => None,
            User::Slot { ref block, .. } => Some(block.first + u32::from(slot) % BLOCK),
        }
    }

    /// The command line of a sandboxed agent. Places, no secrets: those are variables, which others cannot read.
    pub(super) fn arguments(&self, host: &Host, view: &View<'_>) -> Arguments {
        let mut arguments = self.namespaces(view.network);
        let mut made = BTreeSet::new();
        let mut add = |option: &str, places: &[&Path]| {
            // Folders on the way to a place would be closed to all but root.
            let place = places.last().copied().unwrap_or(Path::new("/"));
            let mut parents: Vec<_> = place.ancestors().skip(1).filter(|parent| *parent != Path::new("/")).collect();
            parents.reverse();
            for parent in parents {
                if made.insert(parent.to_owned()) {
                    arguments.extend(["--dir".into(), parent.into()]);
                }
            }
            arguments.push(option.into());
            arguments.extend(places.iter().map(OsString::from));
        };
        let p = Path::new;
        for root in ROOTS.map(p) {
            match fs::read_link(root) {
                Ok(target) => add("--symlink", &[&target, root]),
                Err(_) if root.is_dir() => add("--ro-bind", &[root, root]),
                Err(_) => (),
            }
        }
        add("--proc", &[p("/proc")]);
        add("--dev", &[p("/dev")]);
        let workspace = view.folder.workspace();
        add("--bind", &[&workspace, p(WORKSPACE)]);
        // Temporary files count as the workspace's, and go with it.
        add("--bind", &[&workspace.join("tmp"), p("/tmp")]);
        add("--bind", &[&workspace.join("tmp/.shm"), p("/dev/shm")]);
        add("--symlink", &[p("../tmp"), p("/var/tmp")]);
        add("--symlink", &[p("../run"), p("/var/run")]);
        // Where the system itself holds the home or the data folder, they are covered.
        let in_system =
            |path: &Path| ROOTS.iter().any(|root| path.starts_with(root) && path != p(root)) && path.is_dir();
        let covered: Vec<&Path> =
            [host.home.as_deref(), Some(view.data_dir)].into_iter().flatten().filter(|path| in_system(path)).collect();
        for hidden in &covered {
            add("--tmpfs", &[hidden]);
        }
        // Host keys, and settings that ssh takes from nobody but root, who has no number in here.
        for hidden in ["/etc/ssh", "/etc/ssl/private"].map(p) {
            if hidden.is_dir() {
                add("--tmpfs", &[hidden]);
                add("--remount-ro", &[hidden]);
            }
        }
        for hidden in ["/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers"].map(p) {
            if hidden.is_file() {
                add("--ro-bind", &[p("/dev/null"), hidden]);
            }
        }
        for file in ["passwd", "group"] {
            add("--ro-bind", &[&view.folder.0.join(file), &p("/etc").join(file)]);
        }
        // Often a link to a file that a daemon writes, below /run for one.
        if let Ok(resolver) = fs::canonicalize("/etc/resolv.conf")
            && !ROOTS.iter().any(|root| resolver.starts_with(root))
        {
            add("--ro-bind", &[&resolver, &resolver]);
        }
        for folder in &view.tools.folders {
            add("--ro-bind", &[folder, folder]);
        }
        for (place, source) in view.repositories {
            add("--ro-bind", &[source, place]);
        }
        add("--ro-bind", &[view.socket_dir, p(SOCKETS)]);
        add("--ro-bind", &[view.executable, p(EXECUTABLE)]);
        for hidden in &covered {
            add("--remount-ro", &[hidden]);
        }
        add("--remount-ro", &[p("/dev")]);
        add("--remount-ro", &[p("/")]);
        for word in ["--chdir", WORKSPACE, "--json-status-fd", "3", "--"] {
            arguments.push(word.into());
        }
        arguments.extend(self.change_user(view.slot));
        arguments.extend(process::agent(host, p(EXECUTABLE)));
        arguments
    }

    fn namespaces(&self, network: Network) -> Arguments {
        let mut arguments = vec![self.program.clone().into()];
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
        add(&[
            "--unshare-pid",
            // An init takes no signal from within its namespace: a task that kills everybody does not kill its agent.
            "--as-pid-1",
            "--unshare-ipc",
            "--unshare-uts",
            "--hostname",
            "oz",
            "--new-session",
            "--cap-drop",
            "ALL",
        ]);
        match self.user {
            User::Own => add(&["--unshare-user"]),
            User::Slot { .. } => {
                add(&["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"]);
            }
        }
        if network == Network::None {
            add(&["--unshare-net"]);
        }
        arguments
    }

    fn change_user(&self, slot: u16) -> Arguments {
        let (User::Slot { change, enter, .. }, Some(uid)) = (&self.user, self.owner(slot)) else {
            return Arguments::new();
        };
        let mut arguments = vec![change.into(), format!("--reuid={uid}").into(), format!("--regid={uid}").into()];
        for option in ["--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"] {
            arguments.push(option.into());
        }
        if let Some(enter) = enter {
            arguments.extend([enter.into(), "--user".into(), "--map-current-user".into(), "--".into()]);
        }
        arguments
    }
}
