//! Takes task-state events of ECS: what ended is settled.

fn main() {}
