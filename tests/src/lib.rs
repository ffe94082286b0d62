//! Stories, conformance and the simulation.

pub mod conformance;
pub mod deliveries;
pub mod emulator;

pub mod sim;
pub mod world;
