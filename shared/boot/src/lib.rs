//! Configuration, tracing and wiring: the only crate that reads the environment.

#[cfg(feature = "aws")]
pub mod aws;
pub mod environment;
#[cfg(feature = "local")]
pub mod local;
pub mod log;
#[cfg(any(feature = "aws", feature = "local"))]
mod seed;
