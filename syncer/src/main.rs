//! syncer
fn main() {}
