//! Ports for what tests start themselves.

use std::{
    fs::{self, File},
    net::TcpListener,
    sync::Mutex,
};

/// Neither the range from which local stacks take theirs (`deploy/local/lib/ports.sh`: 20000 to 32000), whose servers may be
/// down for a moment, nor what the kernel would give to a connection while the process that has the port is started anew (from
/// 32768 on).
const PORTS: std::ops::Range<u16> = 16_384..20_000;

/// What this process has taken: for good, as its processes may be started anew. The kernel lets go of the locks.
static TAKEN: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// An address of this machine where nobody listens, and that no other test gets as long as this process lives: between this
/// and the start of whoever is to listen there another test would find it free, too.
///
/// # Panics
/// When every port is taken, or nothing can be written for temporary files.
pub fn free_address() -> String {
    let folder = std::env::temp_dir().join("understudy-tests").join("ports");
    fs::create_dir_all(&folder).expect("temporary files can be written");
    let digits = || u16::from_str_radix(&understudy_common::process::random_id()[..4], 16).expect("four digits");
    let length = PORTS.end - PORTS.start;
    let begin = digits() % length;
    let taken = (0..length).map(|step| PORTS.start + (begin + step) % length).find_map(|port| {
        let claim = File::create(folder.join(port.to_string())).expect("temporary files can be written");
        claim.try_lock().ok()?;
        let address = format!("127.0.0.1:{port}");
        TcpListener::bind(&address).is_ok().then_some((address, claim))
    });
    let (address, claim) = taken.expect("a free port");
    TAKEN.lock().expect("nobody panics with it").push(claim);
    address
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nobody_gets_an_address_that_somebody_has() {
        let addresses: BTreeSet<String> = (0..200).map(|_| free_address()).collect();
        assert_eq!(addresses.len(), 200);
    }
}
