//! understudy-gateway
fn main() {}
