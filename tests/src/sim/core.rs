//! Virtual time, chance and the one door to the outside. Every call that the code makes to anything but itself waits at
//! [`Core::pass`], where it may be delayed, lost, refused, or the last thing its handler does.
//!
//! One thread runs everything: what waits is woken by an event, events are ordered by virtual time, and ties by the order
//! in which they were planned. So a seed is a history.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use jiff::{SignedDuration, Timestamp};
use ozma_app::ports::Clock;

use super::Event;

/// When every history begins.
const EPOCH: Timestamp = Timestamp::constant(1_795_248_000, 0);

/// Something outside that can be out of reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Service {
    Table,
    Archive,
    Queue,
    Timer,
    Launcher,
    Bus,
    /// Between an agent, or a person, and the control plane.
    Network,
}

impl Service {
    pub(super) const ALL: [Self; 7] =
        [Self::Table, Self::Archive, Self::Queue, Self::Timer, Self::Launcher, Self::Bus, Self::Network];
}

/// How a call is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passing {
    Through,
    /// It never arrives.
    RequestLost,
    /// It is done, and the caller does not hear of it.
    ReplyLost,
    /// The service refuses for now.
    Throttled,
    /// The service refuses because of another's transaction.
    Conflict,
}

/// What may go wrong, each in a thousandth of the calls.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chances {
    pub(super) request_lost: u32,
    pub(super) reply_lost: u32,
    pub(super) throttled: u32,
    pub(super) conflict: u32,
    pub(super) slow: u32,
    pub(super) crash: u32,
    pub(super) stale: u32,
    pub(super) duplicate: u32,
    pub(super) skew: u32,
    /// Of launches, containers and stop events.
    pub(super) launch: u32,
}

pub(super) struct Core {
    inner: Mutex<Inner>,
    pub(super) chances: Chances,
    pub(super) tracing: bool,
}

struct Inner {
    now_ms: i64,
    random: fastrand::Rng,
    planned: BinaryHeap<Reverse<(i64, u64)>>,
    events: HashMap<u64, Event>,
    next: u64,
    waits: HashMap<u64, Waker>,
    woken: HashSet<u64>,
    /// How many waits each task has.
    waiting: HashMap<u64, usize>,
    scope: Scope,
    crashed: HashSet<u64>,
    faults: BTreeMap<&'static str, u64>,
    outages: Vec<(Service, i64, i64)>,
    calm_after: i64,
    steps: u64,
    trace: Vec<String>,
}

/// Whose code runs just now.
#[derive(Clone, Copy, Default)]
struct Scope {
    task: u64,
    handler: u64,
    skew_ms: i64,
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

    fn inner(&self) -> MutexGuard<'_, Inner> {
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
        let mut inner = self.inner();
        let (at, number) = (inner.now_ms + in_ms.max(0), inner.next);
        inner.next += 1;
        inner.planned.push(Reverse((at, number)));
        inner.events.insert(number, event);
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

    pub(super) fn outage(&self, service: Service, from_ms: i64, to_ms: i64) {
        self.inner().outages.push((service, from_ms, to_ms));
    }

    pub(super) fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.inner().faults.clone()
    }

    pub(super) fn count(&self, fault: &'static str) {
        *self.inner().faults.entry(fault).or_default() += 1;
    }

    /// Whether any service was out of reach since.
    pub(super) fn any_outage_since(&self, ms: i64) -> bool {
        let inner = self.inner();
        inner.outages.iter().any(|(_, from, to)| *from <= inner.now_ms && *to >= ms)
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

    // ---- The door ----

    /// A call to `service`: takes its time, and may not get through. Whatever the caller does on `Through` and
    /// `ReplyLost` happens at the service. After that, the caller awaits [`Core::back`].
    pub(super) async fn pass(self: &Arc<Self>, service: Service, call: impl Fn() -> String) -> Passing {
        let (quick, long) = match service {
            Service::Table => (2, 12),
            Service::Archive => (5, 50),
            Service::Queue | Service::Timer => (3, 30),
            Service::Launcher => (80, 900),
            Service::Bus => (5, 40),
            Service::Network => (5, 90),
        };
        let mut latency = self.pick(quick, long);
        if self.strikes(self.chances.slow, "a call is slow") {
            latency += self.pick(1_000, 20_000);
        }
        self.pause(latency).await;
        self.crash_point(&call).await;
        if self.is_out(service) {
            self.tell(|| format!("{} is out of reach", call()));
            self.count("a call to a service that is down");
            return Passing::RequestLost;
        }
        let chances = self.chances;
        let passing = if self.strikes(chances.request_lost, "a request is lost") {
            Passing::RequestLost
        } else if self.strikes(chances.reply_lost, "a reply is lost") {
            Passing::ReplyLost
        } else if self.strikes(chances.throttled, "a call is throttled") {
            Passing::Throttled
        } else if chances.conflict > 0
            && call().starts_with("Transact")
            && self.strikes(chances.conflict, "a transaction conflicts")
        {
            Passing::Conflict
        } else {
            Passing::Through
        };
        self.tell(|| if passing == Passing::Through { call() } else { format!("{} [{passing:?}]", call()) });
        passing
    }

    /// The way back of an answer, on which its handler may end as well.
    pub(super) async fn back(self: &Arc<Self>, call: impl Fn() -> String) {
        self.pause(1).await;
        self.crash_point(call).await;
    }

    fn is_out(&self, service: Service) -> bool {
        let inner = self.inner();
        inner.outages.iter().any(|(out, from, to)| *out == service && (*from..*to).contains(&inner.now_ms))
    }

    async fn crash_point(&self, call: impl Fn() -> String) {
        let handler = self.inner().scope.handler;
        if handler != 0 && self.strikes(self.chances.crash, "a handler crashes") {
            self.tell(|| format!("crashes at {}", call()));
            self.inner().crashed.insert(handler);
            std::future::pending::<()>().await;
        }
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

    /// Polls a task. None while it waits. Whether it waits for anything but an event is told by [`Core::is_stuck`].
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
            let polled = pin!(&mut work).poll(cx);
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
        let (at, wait) = (inner.now_ms + self.ms.max(0), inner.next);
        inner.next += 1;
        inner.planned.push(Reverse((at, wait)));
        inner.events.insert(wait, Event::Wake { task, wait });
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
