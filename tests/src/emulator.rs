//! An emulator of AWS for one test: `ministack`, in a Python environment that is made once below `target/`. It listens on
//! a free port of the loopback, and ends when it is dropped, or with the test process, however that ends.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::NamedTempFile;
use tokio::time::Instant;

/// The emulator and everything that it needs, each at one version.
const REQUIREMENTS: &str = "\
ministack==1.5.33
botocore==1.43.106
defusedxml==0.7.1
graphql-core==3.2.12
h11==0.16.0
h2==4.4.1
hpack==4.2.0
Hypercorn==0.18.0
hyperframe==6.1.0
jmespath==1.1.0
jsonata-python==0.7.1
priority==2.0.0
python-dateutil==2.9.0.post0
PyYAML==6.0.3
six==1.17.0
urllib3==2.8.0
wsproto==1.3.2
";

/// Runs the emulator until its standard input ends: the test process holds the other end, which closes with it.
const MAIN: &str = "
import os, signal, sys, threading

def end_with_the_test():
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)

threading.Thread(target=end_with_the_test, daemon=True).start()
from ministack.app import main
main()
";

/// A start takes half a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Another process may take the port between our look at it and the emulator's.
const PORTS: usize = 5;

pub const REGION: &str = "eu-west-1";
/// The account that everything in an emulator is in.
pub const ACCOUNT: &str = "000000000000";

/// An emulator that runs.
#[derive(Debug)]
pub struct Emulator {
    process: Child,
    endpoint: String,
    sdk: SdkConfig,
    log: NamedTempFile,
}

impl Emulator {
    /// Starts one with nothing in it.
    pub async fn start() -> Self {
        let python = tokio::task::spawn_blocking(installed).await.expect("the emulator installs");
        for _ in 0..PORTS {
            if let Some(emulator) = Self::try_start(&python).await {
                return emulator;
            }
        }
        panic!("none of {PORTS} ports stayed free for the emulator");
    }

    /// None if it ended at once, for want of its port.
    async fn try_start(python: &Path) -> Option<Self> {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = free.expect("the loopback has a free port").port();
        let log = NamedTempFile::new().expect("a temporary file");
        let output = || Stdio::from(log.as_file().try_clone().expect("a second handle"));
        let process = Command::new(python)
            .args(["-c", MAIN])
            .env("GATEWAY_PORT", port.to_string())
            .env("BIND_HOST", "127.0.0.1")
            .env("PERSIST_STATE", "0")
            .stdin(Stdio::piped())
            .stdout(output())
            .stderr(output())
            // Functions that it starts end with it.
            .process_group(0)
            .spawn()
            .expect("python starts");
        let endpoint = format!("http://127.0.0.1:{port}");
        let sdk = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::from_keys("test", "test", None))
            .endpoint_url(&endpoint)
            .load()
            .await;
        let mut emulator = Self { process, endpoint, sdk, log };
        emulator.answers().await.then_some(emulator)
    }

    /// What every client of the SDK is made from.
    pub fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    /// Where all of its services are.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    async fn answers(&mut self) -> bool {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let health = client.get(format!("{}/_ministack/health", self.endpoint)).send().await;
            if self.process.try_wait().expect("our own child").is_some() {
                return false;
            }
            if health.is_ok_and(|answer| answer.status().is_success()) {
                return true;
            }
            let said = || fs::read_to_string(self.log.path()).unwrap_or_default();
            assert!(Instant::now() < deadline, "the emulator does not answer: {}", said());
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let group = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        // It may have ended by itself; then there is nothing to do.
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
        let _ = self.process.wait();
    }
}

/// The Python that has the emulator. Whoever holds the lock makes it; one that was cut short is made anew.
fn installed() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let folder = root.join("target/emulator");
    fs::create_dir_all(&folder).expect("a folder below target/");
    let lock = File::create(folder.join("lock")).expect("a lock file");
    lock.lock().expect("the lock");
    let environment = folder.join("venv");
    let (python, complete) = (environment.join("bin/python"), environment.join("requirements.txt"));
    if fs::read_to_string(&complete).is_ok_and(|text| text == REQUIREMENTS) {
        return python;
    }
    must(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment));
    let wanted = folder.join("requirements.txt");
    fs::write(&wanted, REQUIREMENTS).expect("writes below target/");
    let quietly = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    must(Command::new(&python).args(quietly).arg(&wanted));
    fs::rename(wanted, complete).expect("renames below target/");
    python
}

fn must(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|err| panic!("{command:?} does not start: {err}; install python3 and its venv"));
    assert!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
}
