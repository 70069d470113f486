//! understudy
fn main() {}
