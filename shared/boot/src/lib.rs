//! Configuration, tracing and wiring: the only crate that reads the environment.

pub mod environment;
#[cfg(feature = "local")]
pub mod local;
pub mod log;
