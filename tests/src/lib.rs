//! Stories, conformance and the simulation.

pub mod conformance;
pub mod emulator;

pub mod world;
