//! A machine of its own for each story: a home, a data folder, and the real `oz` as its user would call it.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// What no step of a story takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(120);

/// Variables of the developer's own that would change what `oz` does.
const NOT_OURS: [&str; 7] =
    ["OZ_API_BASE_URL", "OZ_API_KEY", "WARP_API_KEY", "OZ_OUTPUT_FORMAT", "OZ_DATA_DIR", "XDG_DATA_HOME", "RUST_LOG"];

/// The machine. What still runs of it ends with it.
pub(crate) struct World {
    dir: TempDir,
    path: Option<String>,
    loopback: bool,
}

/// How a command ended.
pub(crate) struct Told {
    /// None if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A command under way. Killed when dropped.
pub(crate) struct Live {
    child: Child,
    stdout: Reader,
    stderr: Reader,
}

/// Takes in what a command says, so that it never waits for us.
struct Reader {
    said: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(dir.path().join("home")).expect("a home");
        Self { dir, path: None, loopback: false }
    }

    /// Whose control plane may speak to services on this very machine.
    pub(crate) fn reaching_loopback(mut self) -> Self {
        self.loopback = true;
        self
    }

    /// A machine on whose `PATH` there are only these programs.
    pub(crate) fn with_programs(names: &[&str]) -> Self {
        let mut world = Self::new();
        let bin = world.folder("bin");
        for name in names {
            let found = ["/usr/bin", "/bin", "/usr/local/bin"].map(|folder| Path::new(folder).join(name));
            let program = found.iter().find(|program| program.is_file()).expect(name);
            std::os::unix::fs::symlink(program, bin.join(name)).expect(name);
        }
        world.path = Some(bin.display().to_string());
        world
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Where `oz` keeps everything; not there before the first command.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A new folder beside them.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.dir.path().join(name);
        fs::create_dir_all(&folder).expect(name);
        folder
    }

    /// A git repository of one commit with one file, on `main`.
    pub(crate) fn repository(&self, name: &str) -> PathBuf {
        let folder = self.folder(name);
        fs::write(folder.join("greeting.txt"), "hello from the repository\n").expect("a file");
        git(&folder, &["init", "--quiet", "--initial-branch", "main"]);
        git(&folder, &["add", "."]);
        git(&folder, &["commit", "--quiet", "--message", "First words"]);
        folder
    }

    pub(crate) fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(oz());
        for name in NOT_OURS {
            command.env_remove(name);
        }
        command.env("HOME", self.home()).env("OZ_DATA_DIR", self.data()).current_dir(self.home());
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        if self.loopback {
            command.env("OZ_LOOPBACK_RECEIVERS", "true");
        }
        command.args(args).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end that reads `input`.
    pub(crate) fn oz_given(&self, args: &[&str], input: &str) -> Told {
        let mut command = self.command(args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("oz");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("a reader");
        let output = child.wait_with_output().expect("oz");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Told { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    pub(crate) fn begin(&self, args: &[&str]) -> Live {
        Live::begin(self.command(args))
    }

    /// Runs a command to its end.
    #[track_caller]
    pub(crate) fn oz(&self, args: &[&str]) -> Told {
        self.begin(args).ended()
    }

    /// Runs a command that must succeed; what it prints.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let told = self.oz(args);
        assert_eq!(told.code, Some(0), "oz {args:?}: {told}");
        told.stdout
    }

    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let words = self.ok(&[&["--output-format", "json"], args].concat());
        serde_json::from_str(&words).unwrap_or_else(|err| panic!("oz {args:?} printed no JSON ({err}): {words}"))
    }

    /// Starts `oz up` on any free port, and waits until it serves.
    #[track_caller]
    pub(crate) fn up(&self, more: &[&str]) -> Live {
        let args = [&["up", "--port", "0"], more].concat();
        let mut up = self.begin(&args);
        until("oz up serves", || {
            if let Some(status) = up.child.try_wait().expect("a child") {
                panic!("oz up ended with {status}: {}", up.rest(status));
            }
            let server = fs::read(self.data().join("server.json")).ok()?;
            let server: Value = serde_json::from_slice(&server).ok()?;
            (server["pid"] == up.pid()).then_some(())
        });
        up
    }

    /// Starts a run and leaves it to itself; its id.
    #[track_caller]
    pub(crate) fn detach(&self, args: &[&str]) -> String {
        self.ok(&[&["run", "--detach"], args].concat()).trim().to_owned()
    }

    #[track_caller]
    pub(crate) fn get(&self, run: &str) -> Value {
        self.json(&["run", "get", run])
    }

    /// Waits until the run is in one of these states; the run.
    #[track_caller]
    pub(crate) fn until_state(&self, run: &str, states: &[&str]) -> Value {
        until(&format!("{run} is {states:?}"), || {
            Some(self.get(run)).filter(|run| states.contains(&run["state"].as_str().unwrap_or_default()))
        })
    }

    /// The end of a run.
    #[track_caller]
    pub(crate) fn end(&self, run: &str) -> Value {
        self.until_state(run, &["SUCCEEDED", "FAILED", "ERROR", "CANCELLED"])
    }

    /// Whether tasks are apart from this machine at all; where they are not, the run says so.
    pub(crate) fn is_sandboxed(&self) -> bool {
        let run = self.json(&["run", "--task", "true"]);
        let sandboxed = run["isolation"] == "bubblewrap";
        assert!(sandboxed || run["isolation"] == "process", "{run}");
        sandboxed
    }

    /// The folder of an execution, whether or not it is there.
    pub(crate) fn execution(&self, run: &str, attempt: u32) -> PathBuf {
        self.data().join(format!("agents/executions/{run}-{attempt}"))
    }

    /// Where the task of a run works.
    pub(crate) fn work(&self, run: &str, attempt: u32) -> PathBuf {
        self.execution(run, attempt).join("workspace/work")
    }

    /// The process of an agent: the first of its sandbox, if it has one, so that its end is the end of all in it.
    pub(crate) fn agent(&self, run: &str, attempt: u32) -> Option<i32> {
        let folder = self.execution(run, attempt);
        let status = fs::read_to_string(folder.join("status.json")).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_str(&status).into_iter::<Value>().map_while(Result::ok);
        let sandboxed = values.find_map(|value| value["child-pid"].as_i64());
        let record: Value = serde_json::from_slice(&fs::read(folder.join("process.json")).ok()?).ok()?;
        let plain = record["body"]["process"]["pid"].as_i64().filter(|_| record["isolation"] == "process");
        i32::try_from(sandboxed.or(plain)?).ok()
    }

    /// Every object of the archive, unpacked.
    pub(crate) fn archive(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let objects = files(&self.data().join("archive"));
        objects
            .into_iter()
            .map(|path| {
                let bytes = fs::read(&path).expect("an object");
                let mut unpacked = Vec::new();
                let is_gzip = path.extension().is_some_and(|extension| extension == "gz");
                match flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut unpacked) {
                    Ok(_) if is_gzip => (path, unpacked),
                    _ => (path, bytes),
                }
            })
            .collect()
    }

    /// Nothing is left of any run but what is kept on purpose.
    #[track_caller]
    pub(crate) fn nothing_left(&self) {
        until("no workspace is left", || {
            let agents = self.data().join("agents");
            let trash = fs::read_dir(agents.join("trash")).map_or(0, Iterator::count);
            let executions = fs::read_dir(agents.join("executions")).into_iter().flatten().flatten();
            let workspaces = executions.filter(|execution| execution.path().join("workspace").exists()).count();
            (trash + workspaces == 0).then_some(())
        });
    }
}

impl Drop for World {
    /// A story that failed half-way leaves nothing running: the control plane in the background and its agents.
    fn drop(&mut self) {
        let json = |path: PathBuf| serde_json::from_slice::<Value>(&fs::read(path).ok()?).ok();
        if let Some(pid) = json(self.data().join("server.json")).and_then(|server| server["pid"].as_i64()) {
            // The number of one that was killed may be anybody's by now.
            let serves = || is_oz_up(pid);
            let deadline = Instant::now() + Duration::from_secs(10);
            if serves() {
                signal(pid, Signal::TERM);
            }
            while serves() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(20));
            }
        }
        for execution in fs::read_dir(self.data().join("agents/executions")).into_iter().flatten().flatten() {
            let Some(record) = json(execution.path().join("process.json")) else { continue };
            let name = execution.file_name().to_string_lossy().into_owned();
            if record["ended"].is_null()
                && let Some((run, attempt)) = name.rsplit_once('-')
                && let Some(pid) = self.agent(run, attempt.parse().unwrap_or(1))
                && is_agent(pid)
            {
                signal(pid.into(), Signal::KILL);
            }
        }
        // What a failed story leaves is there to be looked at.
        if thread::panicking() {
            self.dir.disable_cleanup(true);
        }
    }
}

impl Live {
    pub(crate) fn begin(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("oz starts");
        let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        Self { child, stdout: Reader::of(stdout), stderr: Reader::of(stderr) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, wanted: Signal) {
        signal(self.pid().into(), wanted);
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(mut self) -> Told {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return self.rest(status);
            }
            let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
            assert!(Instant::now() < deadline, "the command does not end; so far\n{stdout}\n--- stderr\n{stderr}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGKILL, and it is gone when this returns.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
    }

    /// As Ctrl-C does.
    #[track_caller]
    pub(crate) fn interrupted(self) -> Told {
        self.signal(Signal::INT);
        self.ended()
    }

    /// The most memory it has had at once.
    pub(crate) fn peak_memory_mib(&self) -> u64 {
        peak_memory_mib(self.pid())
    }

    /// What it has said so far beside its output.
    pub(crate) fn notes(&self) -> String {
        self.stderr.text()
    }

    fn rest(&mut self, status: ExitStatus) -> Told {
        Told { code: status.code(), stdout: self.stdout.all(), stderr: self.stderr.all() }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {:?}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

impl Reader {
    fn of(mut from: impl Read + Send + 'static) -> Self {
        let said = Arc::new(Mutex::new(Vec::new()));
        let all = said.clone();
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            // An error on a pipe is its end.
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                all.lock().expect("no panic while locked").extend_from_slice(&buffer[..read]);
            }
        });
        Self { said, thread: Some(thread) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().expect("no panic while locked")).into_owned()
    }

    fn all(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a reader");
        }
        self.text()
    }
}

/// Asks again and again until there is an answer.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A word that no other process of this machine has on its command line, and that `sleep` takes for a long time.
pub(crate) fn marker() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("86400.{}{:04}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// How many processes have the word as an argument.
pub(crate) fn processes_with(word: &str) -> usize {
    let entries = fs::read_dir("/proc").expect("/proc");
    let command_lines = entries.flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    command_lines.filter(|line| line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())).count()
}

/// The processes below one, by their names.
pub(crate) fn descendants(of: i32) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    let mut parents = vec![of];
    while let Some(parent) = parents.pop() {
        let children = fs::read_dir("/proc").expect("/proc").flatten().filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let (name, rest) = (stat.split_once('(')?.1.rsplit_once(')')?.0.to_owned(), stat.rsplit_once(')')?.1);
            (rest.split_whitespace().nth(1)? == parent.to_string()).then_some((pid, name))
        });
        let children: Vec<_> = children.collect();
        parents.extend(children.iter().map(|(pid, _)| *pid));
        found.extend(children);
    }
    found
}

/// The most memory that a process has had at once; 0 if it is gone.
pub(crate) fn peak_memory_mib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            _ => found.push(entry.path()),
        }
    }
    found.sort();
    found
}

#[track_caller]
pub(crate) fn git(folder: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]).args(args);
    let output = command.output().expect("git");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

pub(crate) fn signal(pid: i64, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // Whoever has ended meanwhile needs no signal.
        let _ = kill_process(pid, signal);
    }
}

fn is_oz_up(pid: i64) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0);
    words.next() == Some(oz().as_os_str().as_encoded_bytes()) && words.any(|word| word == b"up")
}

fn is_agent(pid: i32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.ends_with(b"oz\0agent\0")
}

/// The program that was built last, in the profile of these tests.
fn oz() -> PathBuf {
    let this = std::env::current_exe().expect("the path of this test");
    // target/<profile>/deps/stories-…
    let program = this.ancestors().nth(2).expect("a target folder").join("oz");
    assert!(program.is_file(), "there is no {}: build it first with `cargo build -p oz`", program.display());
    program
}
