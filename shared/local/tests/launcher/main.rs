//! The launcher, with scripts in the place of agents and of container engines.

mod bench;
mod containers;
mod processes;
