//! The product as people use it: each story drives the real `oz` program on a machine of its own.
//!
//! They need the program: `cargo build -p oz` first, which `tests/run` does.

mod agents;
mod artifacts;
mod audit;
mod automations;
mod cancel;
mod cli;
mod data_folder;
mod definitions;
mod environments;
mod forge;
mod hostile_tasks;
mod isolation;
mod plans;
mod private_repositories;
mod repositories;
mod restart;
mod secrets;
mod terminals;
mod world;
