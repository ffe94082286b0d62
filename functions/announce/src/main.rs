//! Takes ends from the queue: seals the trail and publishes the outcome.

fn main() {}
