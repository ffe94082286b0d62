//! Virtual time, chance, and the tasks that live by them.
//!
//! One thread runs everything: what waits is woken by an event, events are ordered by virtual time, and ties by the order
//! in which they were planned. So a seed is a history.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use jiff::{SignedDuration, Timestamp};
use ozma_app::ports::Clock;

use super::Event;
use super::door::{Chances, Service};

/// When every history begins.
const EPOCH: Timestamp = Timestamp::constant(1_795_248_000, 0);

pub(super) struct Core {
    inner: Mutex<Inner>,
    pub(super) chances: Chances,
    tracing: bool,
}

pub(super) struct Inner {
    pub(super) now_ms: i64,
    random: fastrand::Rng,
    planned: BinaryHeap<Reverse<(i64, u64)>>,
    events: HashMap<u64, Event>,
    next: u64,
    waits: HashMap<u64, Waker>,
    woken: HashSet<u64>,
    /// How many waits each task has.
    waiting: HashMap<u64, usize>,
    pub(super) scope: Scope,
    /// Handlers that are gone, until they are dropped.
    pub(super) crashed: HashSet<u64>,
    faults: BTreeMap<&'static str, u64>,
    /// From when to when a service is out of reach.
    pub(super) outages: Vec<(Service, i64, i64)>,
    calm_after: i64,
    steps: u64,
    trace: Vec<String>,
}

/// Whose code runs just now.
#[derive(Clone, Copy, Default)]
pub(super) struct Scope {
    task: u64,
    /// Zero: nobody's who could crash.
    pub(super) handler: u64,
    skew_ms: i64,
}

impl Inner {
    /// Plans the event of a number of its own, and returns that.
    fn plan(&mut self, in_ms: i64, event: impl FnOnce(u64) -> Event) -> u64 {
        let number = self.next;
        self.next += 1;
        self.planned.push(Reverse((self.now_ms + in_ms.max(0), number)));
        self.events.insert(number, event(number));
        number
    }
}

impl Core {
    pub(super) fn new(seed: u64, chances: Chances, tracing: bool) -> Arc<Self> {
        let inner = Inner {
            now_ms: 0,
            random: fastrand::Rng::with_seed(seed),
            planned: BinaryHeap::new(),
            events: HashMap::new(),
            next: 1,
            waits: HashMap::new(),
            woken: HashSet::new(),
            waiting: HashMap::new(),
            scope: Scope::default(),
            crashed: HashSet::new(),
            faults: BTreeMap::new(),
            outages: Vec::new(),
            calm_after: i64::MAX,
            steps: 0,
            trace: Vec::new(),
        };
        Arc::new(Self { inner: Mutex::new(inner), chances, tracing })
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- Time ----

    /// Milliseconds since the history began.
    pub(super) fn now_ms(&self) -> i64 {
        self.inner().now_ms
    }

    /// The true time; a handler's clock may be off.
    pub(super) fn time(&self) -> Timestamp {
        EPOCH + SignedDuration::from_millis(self.now_ms())
    }

    pub(super) fn plan(&self, in_ms: i64, event: Event) {
        self.inner().plan(in_ms, |_| event);
    }

    /// In how many milliseconds it is `at`.
    pub(super) fn until_ms(&self, at: Timestamp) -> i64 {
        i64::try_from(at.duration_since(self.time()).as_millis()).unwrap_or(i64::MAX)
    }

    /// The next event, at whose time it is then.
    pub(super) fn advance(&self) -> Option<Event> {
        let mut inner = self.inner();
        loop {
            let Reverse((at, number)) = inner.planned.pop()?;
            if let Some(event) = inner.events.remove(&number) {
                inner.now_ms = at;
                inner.steps += 1;
                return Some(event);
            }
        }
    }

    pub(super) fn steps(&self) -> u64 {
        self.inner().steps
    }

    // ---- Chance ----

    pub(super) fn pick(&self, from: i64, to: i64) -> i64 {
        self.inner().random.i64(from..=to)
    }

    /// Whether what happens in so many thousandths of all cases happens now; counted as `fault` if so.
    pub(super) fn strikes(&self, thousandths: u32, fault: &'static str) -> bool {
        let mut inner = self.inner();
        if thousandths == 0 || inner.now_ms >= inner.calm_after {
            return false;
        }
        let strikes = inner.random.u32(0..1000) < thousandths;
        if strikes {
            *inner.faults.entry(fault).or_default() += 1;
        }
        strikes
    }

    /// The same without being a fault.
    pub(super) fn happens(&self, thousandths: u32) -> bool {
        self.inner().random.u32(0..1000) < thousandths
    }

    /// From then on nothing goes wrong any more.
    pub(super) fn calm_after(&self, ms: i64) {
        self.inner().calm_after = ms;
    }

    pub(super) fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.inner().faults.clone()
    }

    pub(super) fn count(&self, fault: &'static str) {
        *self.inner().faults.entry(fault).or_default() += 1;
    }

    // ---- The story ----

    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        if self.tracing {
            let line = line();
            let mut inner = self.inner();
            let (now, Scope { task, handler, .. }) = (inner.now_ms, inner.scope);
            inner.trace.push(format!("{:>9.3} s  {task:>4}.{handler:<4} {line}", now as f64 / 1_000.0));
        }
    }

    pub(super) fn story(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().trace)
    }

    /// Waits in virtual time.
    pub(super) async fn pause(self: &Arc<Self>, ms: i64) {
        Pause { core: self.clone(), ms, wait: None }.await;
    }

    // ---- Tasks and handlers ----

    pub(super) fn new_task(&self) -> u64 {
        let mut inner = self.inner();
        inner.next += 1;
        inner.next
    }

    /// Polls a task. Whether it waits for anything but an event is told by [`Core::is_stuck`].
    pub(super) fn poll(&self, task: u64, future: Pin<&mut dyn Future<Output = ()>>) -> Poll<()> {
        self.inner().scope = Scope { task, ..Scope::default() };
        let polled = future.poll(&mut Context::from_waker(Waker::noop()));
        self.inner().scope = Scope::default();
        polled
    }

    /// Whether the task waits for no event: the code sleeps in real time.
    pub(super) fn is_stuck(&self, task: u64) -> bool {
        self.inner().waiting.get(&task).is_none_or(|waits| *waits == 0)
    }

    /// Lets a wait go on; false if nobody waits there any more.
    pub(super) fn wake(&self, wait: u64) -> bool {
        let mut inner = self.inner();
        let Some(waker) = inner.waits.remove(&wait) else { return false };
        inner.woken.insert(wait);
        drop(inner);
        waker.wake();
        true
    }

    /// Runs a handler of the control plane: it has a clock of its own, and may crash at any call that it makes.
    pub(super) async fn handler<T>(self: &Arc<Self>, work: impl Future<Output = T>) -> Result<T, Crashed> {
        let handler = self.new_task();
        let skew_ms = if self.strikes(self.chances.skew, "a clock is off") { self.pick(-2_000, 2_000) } else { 0 };
        // Dropped as soon as the handler crashes.
        let mut work = Box::pin(work);
        std::future::poll_fn(|cx| {
            let outer = self.inner().scope;
            self.inner().scope = Scope { handler, skew_ms, ..outer };
            let polled = work.as_mut().poll(cx);
            let mut inner = self.inner();
            inner.scope = outer;
            if inner.crashed.remove(&handler) { Poll::Ready(Err(Crashed)) } else { polled.map(Ok) }
        })
        .await
    }
}

/// The process is gone, as at a time-out, when memory is out, or at a deployment.
#[derive(Debug)]
pub(super) struct Crashed;

struct Pause {
    core: Arc<Core>,
    ms: i64,
    wait: Option<(u64, u64)>,
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let core = self.core.clone();
        let mut inner = core.inner();
        if let Some((wait, _)) = self.wait {
            if inner.woken.contains(&wait) {
                return Poll::Ready(());
            }
            inner.waits.insert(wait, cx.waker().clone());
            return Poll::Pending;
        }
        let task = inner.scope.task;
        let wait = inner.plan(self.ms, |wait| Event::Wake { task, wait });
        inner.waits.insert(wait, cx.waker().clone());
        *inner.waiting.entry(task).or_default() += 1;
        self.wait = Some((wait, task));
        Poll::Pending
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        if let Some((wait, task)) = self.wait {
            let mut inner = self.core.inner();
            inner.waits.remove(&wait);
            inner.woken.remove(&wait);
            inner.events.remove(&wait);
            if let Some(waits) = inner.waiting.get_mut(&task) {
                *waits -= 1;
                if *waits == 0 {
                    inner.waiting.remove(&task);
                }
            }
        }
    }
}

/// The clock that the code sees.
impl Clock for Core {
    fn now(&self) -> Timestamp {
        let skew = self.inner().scope.skew_ms;
        self.time() + SignedDuration::from_millis(skew)
    }

    fn random(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.inner().random.fill(&mut bytes);
        bytes
    }
}
