//! understudy-consumer
fn main() {}
