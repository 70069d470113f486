//! understudy-gateway
