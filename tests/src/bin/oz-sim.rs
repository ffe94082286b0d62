//! Lives many histories of the whole control plane, in virtual time and with everything going wrong, and checks its laws
//! after each step. See docs/reliability.md.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anstream::{eprintln, println};
use clap::Parser;
use ozma_tests::sim::{History, Mutant, Options, simulate};

/// A history is a great many small things, allocated and gone.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Simulates the control plane: many short histories, each from a seed, in which anything may fail.
///
/// Exits with 1 if a law was broken, after the seed that breaks it and its story.
#[derive(Parser)]
#[command(
    name = "oz-sim",
    after_help = "\
Examples:
  oz-sim --runs 100000                about so many runs, in some thousand histories
  oz-sim --seed 4711 --trace          tells one history, call by call
  oz-sim --runs 10000 --calm          nothing goes wrong: the sweep must find nothing to do
  oz-sim --mutant slots-are-not-conditional      the product, broken: the law that notices it, and the seed"
)]
struct Arguments {
    /// Stop once so many runs were simulated; 10000, or with --seed the runs of its history
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    runs: Option<u64>,
    /// The first seed; with --runs, the histories after it have the next ones
    #[arg(long)]
    seed: Option<u64>,
    /// Nothing goes wrong
    #[arg(long)]
    calm: bool,
    /// Break the product on purpose, and see which law notices it
    #[arg(long, value_enum, hide_possible_values = true)]
    mutant: Option<Mutant>,
    /// Tell the history, call by call: one seed
    #[arg(long)]
    trace: bool,
    /// How many histories at a time
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    threads: usize,
}

struct Sum {
    history: History,
    /// The smallest seed that broke a law, with what it broke.
    broken: Option<(u64, History)>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.trace {
        return tell(&arguments);
    }
    let first = arguments.seed.unwrap_or(1);
    let one = arguments.seed.is_some() && arguments.runs.is_none();
    let runs = if one { 1 } else { arguments.runs.unwrap_or(10_000) };
    let threads = if one { 1 } else { arguments.threads.max(1) };
    let (next, done, stop) = (AtomicU64::new(first), AtomicU64::new(0), AtomicBool::new(false));
    let sum = Mutex::new(Sum { history: History::default(), broken: None });
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) && done.load(Ordering::Relaxed) < runs {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let history = simulate(options(seed, &arguments, false));
                    done.fetch_add(history.runs, Ordering::Relaxed);
                    let mut sum = sum.lock().expect("no panic while locked");
                    sum.history.add(&history);
                    if !history.violations.is_empty() && sum.broken.as_ref().is_none_or(|(first, _)| seed < *first) {
                        sum.broken = Some((seed, history));
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
        scope.spawn(|| progress(&done, &stop, runs));
    });
    let Sum { history, broken } = sum.into_inner().expect("no panic while locked");
    let seeds = next.load(Ordering::Relaxed) - first;
    report(&history, seeds, began.elapsed());
    match broken {
        None => ExitCode::SUCCESS,
        Some((seed, history)) => {
            for violation in &history.violations {
                eprintln!("seed {seed} breaks {:?}: {}", violation.law, violation.what);
            }
            eprintln!("its story: oz-sim --seed {seed} --trace{}", if arguments.calm { " --calm" } else { "" });
            ExitCode::FAILURE
        }
    }
}

fn options(seed: u64, arguments: &Arguments, trace: bool) -> Options {
    Options { seed, faults: !arguments.calm, mutant: arguments.mutant, trace }
}

fn progress(done: &AtomicU64, stop: &AtomicBool, runs: u64) {
    let mut told = Instant::now();
    while !stop.load(Ordering::Relaxed) && done.load(Ordering::Relaxed) < runs {
        std::thread::sleep(Duration::from_millis(50));
        if told.elapsed() > Duration::from_secs(10) {
            eprintln!("{} of {runs} runs", done.load(Ordering::Relaxed));
            told = Instant::now();
        }
    }
}

fn tell(arguments: &Arguments) -> ExitCode {
    let history = simulate(options(arguments.seed.unwrap_or(1), arguments, true));
    for line in &history.story {
        println!("{line}");
    }
    for violation in &history.violations {
        println!("BROKEN {:?}: {}", violation.law, violation.what);
    }
    report(&history, 1, Duration::ZERO);
    if history.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(history: &History, seeds: u64, took: Duration) {
    let list = |counts: &std::collections::BTreeMap<&'static str, u64>| {
        let lines: Vec<String> = counts.iter().map(|(name, number)| format!("  {name}: {number}")).collect();
        lines.join("\n")
    };
    let virtual_hours = history.virtual_seconds as f64 / 3_600.0;
    println!("histories: {seeds}, {virtual_hours:.0} hours of virtual time");
    println!("executions: {}, steps: {}", history.executions, history.steps);
    println!("ends:\n{}", list(&history.ends));
    println!("faults:\n{}", list(&history.faults));
    let faults: u64 = history.faults.values().sum();
    println!(
        "runs: {}, faults: {faults}, law checks: {}, seconds: {:.1}, violations: {}",
        history.runs,
        history.checks,
        took.as_secs_f64(),
        history.violations.len()
    );
}
