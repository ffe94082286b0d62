//! Configuration, tracing and wiring: the only crate that reads the environment.

pub mod environment;
pub mod local;
pub mod log;
