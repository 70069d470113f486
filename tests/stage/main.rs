//! Tests on real servers, side by side: none of them disturbs a server that others use.

mod processes;
mod servers;
