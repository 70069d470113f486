//! understudy-consumer
