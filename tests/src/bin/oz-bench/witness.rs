//! Somebody outside who sees what tasks do: each task calls here, says who it is, and hangs up when it is over. So what
//! ran, how often and when does not rest on the word of the product under test.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ozma_domain::id::{ExecutionId, RunId};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::Result;

pub(crate) struct Witness {
    port: u16,
    visits: Arc<Mutex<Vec<Visit>>>,
    finishes: Arc<Notify>,
}

/// One task that was alive once.
#[derive(Clone, Debug)]
struct Visit {
    execution: ExecutionId,
    began: Instant,
    /// It came to its last line.
    finished: bool,
    /// None: it is alive.
    left: Option<Instant>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Testimony {
    pub(crate) visits: usize,
    /// Runs whose task came to its last line at least once.
    pub(crate) finished: HashSet<RunId>,
    /// Runs whose task came to its last line more than once.
    pub(crate) finished_twice: HashSet<RunId>,
    /// Runs whose task was alive twice at the same time.
    pub(crate) alive_twice: HashSet<RunId>,
    /// Tasks alive at the same time, over all runs.
    pub(crate) most_at_once: usize,
    pub(crate) still_alive: usize,
    /// Runs whose task was here and never came to its last line.
    pub(crate) cut_off: usize,
    /// At how many of the moments asked for any task was alive.
    pub(crate) met: usize,
    /// Tasks that were alive at one of those moments: which, and whether they came to their last line.
    pub(crate) caught: Vec<(ExecutionId, bool)>,
}

impl Witness {
    pub(crate) async fn listen() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (port, visits) = (listener.local_addr()?.port(), Arc::new(Mutex::new(Vec::new())));
        let finishes = Arc::new(Notify::new());
        tokio::spawn({
            let (visits, finishes) = (visits.clone(), finishes.clone());
            async move {
                while let Ok((caller, _)) = listener.accept().await {
                    tokio::spawn(hear(caller, visits.clone(), finishes.clone()));
                }
            }
        });
        Ok(Self { port, visits, finishes })
    }

    /// A task that is seen here from its beginning to its end, and tells its transcript the same.
    pub(crate) fn task(&self, seconds: f64) -> String {
        format!(
            "exec 3<>/dev/tcp/127.0.0.1/{} || exit 9\n\
             echo \"$OZ_EXECUTION_ID\" >&3\n\
             sleep {seconds}\n\
             echo finished >&3\n\
             echo \"did $OZ_RUN_ID:$OZ_ATTEMPT\"\n",
            self.port
        )
    }

    /// Whether a task of the run was ever here.
    pub(crate) fn has_met(&self, run: RunId) -> bool {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|visit| visit.execution.run == run)
    }

    /// Until some task comes to its last line.
    pub(crate) async fn a_finish(&self) {
        self.finishes.notified().await;
    }

    /// What was seen, in all and at some moments.
    pub(crate) fn testimony(&self, moments: &[Instant]) -> Testimony {
        testimony(&self.visits.lock().unwrap_or_else(PoisonError::into_inner), moments)
    }
}

async fn hear(caller: TcpStream, visits: Arc<Mutex<Vec<Visit>>>, finishes: Arc<Notify>) {
    let began = Instant::now();
    let mut lines = BufReader::new(caller).lines();
    let Ok(Some(line)) = lines.next_line().await else { return };
    let Ok(execution) = line.parse::<ExecutionId>() else { return };
    let with = |change: &dyn Fn(&mut Vec<Visit>)| change(&mut visits.lock().unwrap_or_else(PoisonError::into_inner));
    let at = {
        let mut visits = visits.lock().unwrap_or_else(PoisonError::into_inner);
        visits.push(Visit { execution, began, finished: false, left: None });
        visits.len() - 1
    };
    while let Ok(Some(line)) = lines.next_line().await {
        with(&|visits| visits[at].finished |= line == "finished");
        finishes.notify_waiters();
    }
    let left = Instant::now();
    with(&|visits| visits[at].left = Some(left));
}

fn testimony(visits: &[Visit], moments: &[Instant]) -> Testimony {
    let mut by_run: HashMap<RunId, Vec<&Visit>> = HashMap::new();
    for visit in visits {
        by_run.entry(visit.execution.run).or_default().push(visit);
    }
    let finished = |visits: &[&Visit]| visits.iter().filter(|visit| visit.finished).count();
    let runs_with = |law: &dyn Fn(&[&Visit]) -> bool| {
        let found = by_run.iter().filter(|(_, visits)| law(visits));
        found.map(|(run, _)| *run).collect()
    };
    let caught = visits.iter().filter(|visit| moments.iter().any(|at| visit.is_alive(*at)));
    Testimony {
        visits: visits.len(),
        finished: runs_with(&|visits| finished(visits) > 0),
        finished_twice: runs_with(&|visits| finished(visits) > 1),
        alive_twice: runs_with(&|visits| most_at_once(visits) > 1),
        most_at_once: most_at_once(&visits.iter().collect::<Vec<_>>()),
        still_alive: visits.iter().filter(|visit| visit.left.is_none()).count(),
        cut_off: by_run.values().filter(|visits| finished(visits) == 0).count(),
        met: moments.iter().filter(|at| visits.iter().any(|visit| visit.is_alive(**at))).count(),
        caught: caught.map(|visit| (visit.execution, visit.finished)).collect(),
    }
}

impl Visit {
    fn is_alive(&self, at: Instant) -> bool {
        self.began <= at && self.left.is_none_or(|left| left > at)
    }
}

fn most_at_once(visits: &[&Visit]) -> usize {
    let alive_at = |at: Instant| visits.iter().filter(|visit| visit.is_alive(at)).count();
    visits.iter().map(|visit| alive_at(visit.began)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Each visit: run, from, to, and whether it finished.
    #[track_caller]
    fn check(told: &[(u64, u64, u64, bool)], twice: usize, most_at_once: usize) {
        let start = Instant::now();
        let visits: Vec<Visit> = told
            .iter()
            .map(|(run, from, to, finished)| Visit {
                execution: ExecutionId::new(RunId::first_at(*run), 1),
                began: start + Duration::from_secs(*from),
                finished: *finished,
                left: Some(start + Duration::from_secs(*to)),
            })
            .collect();
        let found = testimony(&visits, &[start + Duration::from_millis(1_500), start + Duration::from_secs(9)]);
        assert_eq!((found.finished_twice.union(&found.alive_twice).count(), found.most_at_once), (twice, most_at_once));
        let caught = told.iter().filter(|(_, from, to, _)| *from <= 1 && *to >= 2).count();
        assert_eq!((found.caught.len(), found.met), (caught, usize::from(caught > 0)));
    }

    #[test]
    fn twice_is_finished_twice_or_alive_twice() {
        check(&[(1, 0, 2, true), (2, 1, 3, true)], 0, 2);
        check(&[(1, 0, 2, false), (1, 2, 4, true)], 0, 1);
        check(&[(1, 0, 2, true), (1, 3, 4, true)], 1, 1);
        check(&[(1, 0, 2, false), (1, 1, 4, true)], 1, 2);
    }
}
