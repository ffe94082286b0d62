//! What every implementation of the port `Launcher` must do.

use std::sync::Arc;
use std::time::Duration;

use ozma_app::ports::{ContainerStatus, LaunchRequest, Launched, Launcher};
use ozma_domain::id::ExecutionId;

use super::execution;

/// Longest wait for a container to come or go: Fargate takes a minute or two.
const LIFE: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(50);

pub struct LauncherUnderTest<R> {
    pub launcher: Arc<dyn Launcher>,
    /// A launch whose agent lives until it is stopped. Its claim token need not be good.
    pub request: R,
}

/// Starts what does not live, once; stops what does; says which is which.
pub async fn launcher_conforms<R: Fn(ExecutionId) -> LaunchRequest>(make: impl AsyncFn() -> LauncherUnderTest<R>) {
    what_is_unknown_is_gone(make().await).await;
    a_second_launch_starts_nothing(make().await).await;
    one_is_stopped_and_the_other_lives(make().await).await;
}

async fn what_is_unknown_is_gone<R>(world: LauncherUnderTest<R>) {
    let unknown = execution(1);
    assert!(!alive(&*world.launcher, unknown).await);
    world.launcher.stop(unknown).await.expect("to stop what is unknown is fine");
    assert!(!listed(&*world.launcher, unknown).await);
}

async fn a_second_launch_starts_nothing<R: Fn(ExecutionId) -> LaunchRequest>(world: LauncherUnderTest<R>) {
    let launcher = &*world.launcher;
    let one = execution(2);
    start(launcher, &(world.request)(one)).await;
    start(launcher, &(world.request)(one)).await;
    // What a crash between launch and answer leads to: two callers at once.
    let (left, right) = ((world.request)(one), (world.request)(one));
    tokio::join!(start(launcher, &left), start(launcher, &right));
    assert!(alive(launcher, one).await);
    assert_eq!(list(launcher).await.iter().filter(|listed| **listed == one).count(), 1);
    stop(launcher, one).await;
}

async fn one_is_stopped_and_the_other_lives<R: Fn(ExecutionId) -> LaunchRequest>(world: LauncherUnderTest<R>) {
    let launcher = &*world.launcher;
    let (one, other) = (execution(3), execution(4));
    start(launcher, &(world.request)(one)).await;
    let mut second = (world.request)(other);
    // Two that live never hold one slot.
    second.slot += 1;
    start(launcher, &second).await;
    assert!(listed(launcher, one).await && listed(launcher, other).await);
    stop(launcher, one).await;
    launcher.stop(one).await.expect("to stop what is gone is fine");
    assert!(alive(launcher, other).await && listed(launcher, other).await && !listed(launcher, one).await);
    stop(launcher, other).await;
}

async fn start(launcher: &dyn Launcher, request: &LaunchRequest) {
    let deadline = tokio::time::Instant::now() + LIFE;
    loop {
        match launcher.launch(request).await.expect("launches") {
            Launched::Started { .. } => return,
            Launched::NoCapacity { reason, wait } | Launched::NotYet { reason, wait } => {
                assert!(tokio::time::Instant::now() < deadline, "no capacity: {reason}");
                tokio::time::sleep(wait).await;
            }
            Launched::Refused { reason } => panic!("refused: {reason}"),
        }
    }
}

/// Orders the end, and waits until it has come.
async fn stop(launcher: &dyn Launcher, execution: ExecutionId) {
    launcher.stop(execution).await.expect("stops");
    let deadline = tokio::time::Instant::now() + LIFE;
    while alive(launcher, execution).await || listed(launcher, execution).await {
        assert!(tokio::time::Instant::now() < deadline, "{execution} did not end");
        tokio::time::sleep(POLL).await;
    }
}

async fn alive(launcher: &dyn Launcher, execution: ExecutionId) -> bool {
    launcher.status(execution).await.expect("tells the status") == ContainerStatus::Alive
}

async fn list(launcher: &dyn Launcher) -> Vec<ExecutionId> {
    launcher.list().await.expect("lists")
}

async fn listed(launcher: &dyn Launcher, execution: ExecutionId) -> bool {
    list(launcher).await.contains(&execution)
}
