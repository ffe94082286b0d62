//! The one door to the outside. Every call that the code makes to anything but itself waits at [`Core::pass`], where it may
//! be delayed, lost, refused, or the last thing its handler does.

use std::sync::Arc;

use super::core::Core;

/// Something outside that can be out of reach.
#[derive(Clone, Copy, PartialEq, Eq)]
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
}

impl Passing {
    /// Whether the service does what it is asked, heard of or not.
    pub(super) fn is_done(self) -> bool {
        matches!(self, Self::Through | Self::ReplyLost)
    }
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

impl Core {
    /// A call to `service`: takes its time, and may not get through. Where [`Passing::is_done`], the caller does what the
    /// service would, and then awaits [`Core::back`].
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

    pub(super) fn outage(&self, service: Service, from_ms: i64, to_ms: i64) {
        self.inner().outages.push((service, from_ms, to_ms));
    }

    /// Whether any service was out of reach since.
    pub(super) fn any_outage_since(&self, ms: i64) -> bool {
        let inner = self.inner();
        inner.outages.iter().any(|(_, from, to)| *from <= inner.now_ms && *to >= ms)
    }
}
