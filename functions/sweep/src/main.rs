//! Every minute: repairs what got lost.

fn main() {}
