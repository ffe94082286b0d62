//! Takes ticks from the queue: starts as many agents as there are slots.

fn main() {}
