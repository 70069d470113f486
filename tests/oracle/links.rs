//! Cut links: packets between one process and one server are lost, while everybody else goes on. Only in a network namespace
//! that was made for the run (`make oracle` does): the rules are the namespace's, and go with it.

use std::process::Command;

/// A link that is cut, until it is mended.
pub struct Cut {
    group: u32,
    port: u16,
}

/// The variable by which a run is told that it has a namespace of its own.
const NAMESPACE: &str = "UNDERSTUDY_NAMESPACE";

/// Where servers listen, as gateways and consumers know them.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// Kafka.
    pub kafka: u16,
    /// The primary, or the fake before it.
    pub primary: u16,
    /// The backup, or the fake before it.
    pub backup: u16,
}

impl Ports {
    /// From addresses.
    ///
    /// # Panics
    /// When one has no port.
    pub fn of(kafka: &str, primary: &str, backup: &str) -> Self {
        let port = |address: &str| {
            let number = address.rsplit(':').next().and_then(|port| port.parse().ok());
            number.unwrap_or_else(|| panic!("{address} has no port"))
        };
        Self { kafka: port(kafka), primary: port(primary), backup: port(backup) }
    }
}

/// Whether links can be cut here.
pub fn can_be_cut() -> bool {
    std::env::var_os(NAMESPACE).is_some()
}

impl Cut {
    /// Loses every packet of a connection that a process of this group has to a port, both ways.
    ///
    /// # Panics
    /// When the kernel refuses, or the run has no namespace of its own.
    pub fn of(group: u32, port: u16) -> Self {
        assert!(can_be_cut(), "links are cut only in a network namespace of the run's own: make oracle");
        let cut = Self { group, port };
        for rule in cut.rules() {
            tables("-A", &rule);
        }
        cut
    }

    /// Lets everything pass again.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn mend(self) {
        for rule in self.rules() {
            tables("-D", &rule);
        }
    }

    /// The group's packets mark their connection; what is marked is lost, in both directions.
    fn rules(&self) -> [Vec<String>; 2] {
        let mark = self.group.to_string();
        let words = |text: String| text.split(' ').map(str::to_owned).collect();
        [
            words(format!(
                "OUTPUT -p tcp -m owner --gid-owner {} --dport {} -j CONNMARK --set-mark {mark}",
                self.group, self.port
            )),
            words(format!("OUTPUT -m connmark --mark {mark} -j DROP")),
        ]
    }
}

fn tables(verb: &str, rule: &[String]) {
    let output = Command::new("iptables").arg("-w").arg(verb).args(rule).output().expect("iptables can be run");
    assert!(output.status.success(), "iptables {verb} {rule:?}: {}", String::from_utf8_lossy(&output.stderr));
}
