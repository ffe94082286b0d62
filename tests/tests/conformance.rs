//! The conformance suite on the embedded engine.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::SignedDuration;
use ozma_app::ports::{QueueMessage, Vault};
use ozma_local::bus::LocalBus;
use ozma_local::clock::SystemClock;
use ozma_local::data_folder::DataFolder;
use ozma_local::queue::LocalQueue;
use ozma_local::timer::LocalTimer;
use ozma_local::vault::FileVault;
use ozma_tests::conformance::{
    BusUnderTest, QueueUnderTest, TimerUnderTest, bus_conforms, clock_conforms, queue_conforms, timer_conforms,
    vault_conforms,
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

#[test]
fn the_clock_of_the_system() {
    clock_conforms(&SystemClock);
}
