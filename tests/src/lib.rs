//! Stories, conformance and the simulation.

pub mod conformance;
pub mod deliveries;
pub mod emulator;
pub mod pem;

pub mod sim;
pub mod world;
