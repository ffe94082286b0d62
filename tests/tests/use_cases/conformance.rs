//! The conformance suite on the embedded engine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::SignedDuration;
use ozma_app::clock::SystemClock;
use ozma_app::ports::{LaunchRequest, QueueMessage, Vault};
use ozma_domain::environment::{Capacity, Network};
use ozma_domain::plan::Plan;
use ozma_local::bus::LocalBus;
use ozma_local::data_folder::DataFolder;
use ozma_local::launcher::{Host, LauncherOptions, LocalLauncher, Prefer};
use ozma_local::queue::LocalQueue;
use ozma_local::timer::LocalTimer;
use ozma_local::vault::FileVault;
use ozma_tests::conformance::{
    BusUnderTest, LauncherUnderTest, QueueUnderTest, TimerUnderTest, bus_conforms, clock_conforms, launcher_conforms,
    queue_conforms, timer_conforms, vault_conforms,
};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

fn consume(queue: Arc<LocalQueue>) -> UnboundedReceiver<QueueMessage> {
    let (done, received) = unbounded_channel();
    tokio::spawn(async move { while done.send(queue.receive().await).is_ok() {} });
    received
}

/// A new folder that goes with the others.
fn fresh(folders: &TempDir) -> PathBuf {
    tempfile::tempdir_in(folders).expect("a temporary folder").keep()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_in_process() {
    queue_conforms(async || {
        let queue = Arc::new(LocalQueue::default());
        QueueUnderTest { received: consume(queue.clone()), queue }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timer_in_process() {
    timer_conforms(async || {
        let (queue, clock) = (Arc::new(LocalQueue::default()), Arc::new(SystemClock));
        let timer = Arc::new(LocalTimer::new(queue.clone(), clock.clone()));
        TimerUnderTest { timer, clock, received: consume(queue), step: SignedDuration::from_millis(20) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bus_in_a_file() {
    let folders = tempfile::tempdir().expect("a temporary folder");
    bus_conforms(async || {
        let bus = Arc::new(LocalBus::open(&fresh(&folders)).expect("opens"));
        let mut subscriber = bus.subscribe();
        let (done, received) = unbounded_channel();
        tokio::spawn(async move {
            while let Ok(event) = subscriber.recv().await
                && done.send(event).is_ok()
            {}
        });
        BusUnderTest { bus, received }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vault_in_a_file() {
    let folders = tempfile::tempdir().expect("a temporary folder");
    vault_conforms(async || {
        let folder = DataFolder::open(&fresh(&folders), &SystemClock).expect("opens");
        let vault: Arc<dyn Vault> = Arc::new(FileVault::open(&folder, Arc::new(SystemClock)).expect("opens"));
        vault
    })
    .await;
}

/// An agent that waits for its end.
const WAITS: &str = "#!/bin/sh\ntrap 'exit 0' TERM\nwhile :; do sleep 0.05; done\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_launcher_of_sandboxes() {
    launchers_conform(Prefer::Isolation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_launcher_of_processes() {
    launchers_conform(Prefer::Process).await;
}

async fn launchers_conform(prefer: Prefer) {
    let folders = tempfile::tempdir().expect("a temporary folder");
    launcher_conforms(async || {
        let folder = fresh(&folders);
        let executable = folder.join("oz");
        fs::write(&executable, WAITS).expect("a program");
        fs::set_permissions(&executable, fs::Permissions::from_mode(0o755)).expect("a program");
        let socket_dir = folder.join("run");
        fs::create_dir(&socket_dir).expect("a folder");
        let launcher = LocalLauncher::new(LauncherOptions {
            executable,
            data_dir: folder.join("agents"),
            socket_dir,
            prefer,
            host: Host { path: "/usr/bin:/bin".into(), home: None },
            engines: Vec::new(),
            grace: LauncherOptions::GRACE,
            on_exit: unbounded_channel().0,
        });
        let request = |execution| LaunchRequest {
            execution,
            team: "local".parse().expect("a team"),
            slot: 0,
            size: Plan::named("free").expect("a plan").size,
            image: None,
            repositories: Vec::new(),
            network: Network::Full,
            capacity: Capacity::OnDemand,
            claim_token: "none".into(),
        };
        LauncherUnderTest { launcher: Arc::new(launcher), request }
    })
    .await;
}

#[test]
fn the_clock_of_the_system() {
    clock_conforms(&SystemClock);
}
