//! The simulation: the real use cases and the real table in virtual time, with everything outside them replaced by
//! something that fails. One seed is one history; it can be replayed, and told.

mod agent;
mod archive;
mod core;
mod door;
mod launcher;
mod laws;
mod mutants;
mod people;
mod ports;
mod table;
mod world;

use std::collections::BTreeMap;

use ozma_app::ports::{ContainerEnd, QueueMessage};
use ozma_domain::id::ExecutionId;

pub use laws::{Law, Violation};
pub use mutants::Mutant;

/// The name of the one table.
const TABLE: &str = "ozma";

/// What the audit of a simulation is signed with.
const SIGNING_SEED: [u8; 32] = [7; 32];

/// One history to be lived.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub seed: u64,
    /// Whether anything goes wrong.
    pub faults: bool,
    pub mutant: Option<Mutant>,
    /// Whether the story is told.
    pub trace: bool,
}

/// What became of it.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub runs: u64,
    /// Ends by state.
    pub ends: BTreeMap<&'static str, u64>,
    pub executions: u64,
    pub steps: u64,
    pub virtual_seconds: u64,
    pub faults: BTreeMap<&'static str, u64>,
    pub checks: u64,
    pub violations: Vec<Violation>,
    pub story: Vec<String>,
}

impl History {
    /// Adds another up; stories are told one by one.
    pub fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.executions += other.executions;
        self.steps += other.steps;
        self.virtual_seconds += other.virtual_seconds;
        self.checks += other.checks;
        for (sum, more) in [(&mut self.ends, &other.ends), (&mut self.faults, &other.faults)] {
            for (name, number) in more {
                *sum.entry(name).or_default() += number;
            }
        }
        self.violations.extend(other.violations.iter().cloned());
    }
}

/// Lives one history.
pub fn simulate(options: Options) -> History {
    // The SDKs expect a runtime; nothing is ever spawned on it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(world::live(options))
}

/// What happens at a moment.
enum Event {
    /// A wait is over.
    Wake {
        task: u64,
        wait: u64,
    },
    /// A task sleeps in real time, between two tries of a transaction.
    Nudge(u64),
    /// The queue delivers.
    Message {
        message: QueueMessage,
        receives: u32,
    },
    /// The launcher tells the end of a container.
    Stopped {
        execution: ExecutionId,
        end: ContainerEnd,
        receives: u32,
    },
    Sweep,
    /// A container has booted.
    Agent(ExecutionId),
    /// A container is killed, if it still is there.
    Die(ExecutionId),
    /// Somebody outside wants something.
    Person(people::Wish),
}
