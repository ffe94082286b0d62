//! Takes planned events: each starts a run from a stored template.

fn main() {}
