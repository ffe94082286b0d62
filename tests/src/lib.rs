//! Stories, conformance and the simulation.

pub mod conformance;

pub mod world;
