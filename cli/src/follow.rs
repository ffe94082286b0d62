//! Following a run: page after page of its transcript, until nothing more will come.

use std::time::{Duration, Instant};

use ozma_api::wire::QueuePlace;
use ozma_domain::audit::Event;
use ozma_domain::id::RunId;
use ozma_domain::limits;
use ozma_domain::state::RunState;

use crate::client::{Client, ClientError};
use crate::connect;
use crate::exit::Failure;
use crate::output;
use crate::transcript::Narrator;
use crate::view::View;

/// A run that has to wait should say so soon; one that has not starts within this.
const FIRST_POLL: Duration = Duration::from_secs(1);
/// While nothing is written yet, the state moves without events: look more often.
const EARLY_POLL: Duration = Duration::from_secs(3);
/// Between two looks that brought nothing, should the server not wait by itself.
const BREATHER: Duration = Duration::from_millis(500);
/// How long a control plane may be away before we give up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Follow<'a> {
    client: &'a Client,
    run: RunId,
    cursor: Option<String>,
    queue: Option<QueuePlace>,
    away_since: Option<Instant>,
    pub(crate) narrator: Narrator,
}

impl<'a> Follow<'a> {
    pub(crate) fn new(client: &'a Client, run: RunId) -> Self {
        Self { client, run, cursor: None, queue: None, away_since: None, narrator: Narrator::default() }
    }

    /// Shows everything up to the end.
    pub(crate) async fn until_ended(&mut self, view: &mut View) -> Result<(), Failure> {
        while !self.step(view).await? {}
        Ok(())
    }

    /// Shows everything there is now.
    pub(crate) async fn so_far(&mut self, view: &mut View) -> Result<(), Failure> {
        loop {
            let page = self.client.events(self.run, self.cursor.as_deref(), Duration::ZERO).await?;
            let caught_up = page.events.is_empty() || page.ended;
            self.show(&page, view)?;
            if caught_up {
                return Ok(());
            }
        }
    }

    /// Shows the next page; says whether it was the last. May be dropped at any await: nothing is shown twice or lost.
    async fn step(&mut self, view: &mut View) -> Result<bool, Failure> {
        let early = matches!(view.state(), None | Some(RunState::Queued | RunState::Pending));
        let wait = match self.cursor {
            None => FIRST_POLL,
            Some(_) if early => EARLY_POLL,
            Some(_) => Duration::from_secs(limits::LONG_POLL_SECONDS),
        };
        let asked = Instant::now();
        let page = match self.client.events(self.run, self.cursor.as_deref(), wait).await {
            Ok(page) => page,
            Err(err) if err.is_transient() => return self.wait_for_return(err).await.map(|()| false),
            Err(err) => return Err(err.into()),
        };
        if self.away_since.take().is_some() {
            output::note("note: the control plane is back");
        }
        let empty = page.events.is_empty();
        self.show(&page, view)?;
        if page.ended {
            return Ok(true);
        }
        if page.state == RunState::Queued {
            self.show_place(view).await?;
        }
        if empty && asked.elapsed() < BREATHER {
            tokio::time::sleep(BREATHER).await;
        }
        Ok(false)
    }

    fn show(&mut self, page: &ozma_api::wire::Transcript, view: &mut View) -> Result<(), Failure> {
        // The cursor first: what cannot be shown now, such as to a closed pipe, is not tried again.
        self.cursor = Some(page.next.clone());
        for raw in &page.events {
            view.raw(raw)?;
            // A newer control plane may say things that this version has no words for.
            let event: Option<Event> = serde_json::from_str(raw.get()).ok();
            if let Some(said) = event.and_then(|event| self.narrator.tell(&event)) {
                view.say(said)?;
            }
        }
        // Later states are told by the agent's own events, in their place among the others.
        if matches!(page.state, RunState::Queued | RunState::Pending) {
            view.moved(page.state)?;
        }
        Ok(())
    }

    async fn show_place(&mut self, view: &mut View) -> Result<(), Failure> {
        let queue = self.client.run(self.run).await?.queue;
        // An estimate moves all the time; what is told is where it stands and why.
        let told = |queue: &QueuePlace| (queue.position, queue.reason.clone());
        if let Some(queue) = queue.filter(|queue| self.queue.as_ref().map(told) != Some(told(queue))) {
            view.queued(&queue);
            self.queue = Some(queue);
        }
        Ok(())
    }

    async fn wait_for_return(&mut self, err: ClientError) -> Result<(), Failure> {
        let since = *self.away_since.get_or_insert_with(|| {
            output::note("note: the control plane does not answer; trying again for a minute");
            Instant::now()
        });
        if since.elapsed() > PATIENCE {
            let hint = format!("once a control plane is back, `oz run logs {} -f` shows the rest", self.run);
            return Err(Failure::from(err).hint(hint));
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        connect::find_again(self.client, since.elapsed());
        Ok(())
    }
}
