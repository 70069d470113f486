//! What happens in a schedule, and how often. Times are the configuration's defaults; rates are chances a second.

/// A kind of schedule.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it shows that does not hold: it is run when it is named alone.
    pub known: Option<&'static str>,
    /// How long clients write and faults come, in seconds.
    pub(crate) seconds: u64,
    /// Writes.
    pub(crate) rate: f64,
    pub(crate) gateways: usize,
    /// Consumers of each target.
    pub(crate) consumers: usize,
    pub(crate) targets: usize,
    pub(crate) partitions: i32,
    pub(crate) shards: u32,
    /// Ids that are written at one time; after `burst` seconds others take their place.
    pub(crate) keys: u64,
    pub(crate) burst: u64,
    /// Index, delete, create, update.
    pub(crate) mix: [u64; 4],
    pub(crate) routings: &'static [&'static str],
    /// The index is made by the first write.
    pub(crate) created: bool,
    /// Documents have fields whose type the first one decides.
    pub(crate) fields: bool,
    /// The master shows a new mapping, and a new index, as late as everything else.
    pub(crate) mapping_lag: bool,
    /// How much later than the nodes act on it the master shows a cluster state, in ms: one of these.
    pub(crate) lag: &'static [u64],
    /// Share of puts and deletes with a version of the client's.
    pub(crate) client_versions: f64,
    /// The longest time that a request waits in the primary before it is executed, in ms, and how many do.
    pub(crate) linger: u64,
    pub(crate) lingers: f64,
    /// How long the replica takes, in ms: one of these.
    pub(crate) replication: &'static [u64],
    pub(crate) lose_reply: f64,
    /// Connections to the primary that break within 2 s.
    pub(crate) breaks: f64,
    /// A demoted copy goes on answering.
    pub(crate) stale: bool,
    pub(crate) kafka_error: f64,
    /// How late an append may arrive that nobody heard of, in ms.
    pub(crate) kafka_late: u64,
    /// Bulks that linger in the target.
    pub(crate) bulk_slow: f64,
    pub(crate) bulk_unanswered: f64,
    /// A look at the cluster state that takes seconds.
    pub(crate) slow_look: f64,
    /// The age at which the reconciler looks at an intent for the first time, in ms.
    pub(crate) reconcile_after: u64,
    /// A connection to a cluster that takes long, at several nodes, in ms, and how many do.
    pub(crate) connects: (u64, f64),
    pub(crate) gateway_dies: f64,
    pub(crate) gateway_freezes: f64,
    /// Share of writes in the middle of which their gateway freezes, and of those while which a consumer freezes or dies.
    pub(crate) caught: f64,
    pub(crate) consumer_caught: f64,
    /// Share of frozen gateways that die soon after they go on.
    pub(crate) dies_thawed: f64,
    /// Freezes, in ms.
    pub(crate) freeze: (u64, u64),
    pub(crate) shard_fails: f64,
    pub(crate) target_restarts: f64,
    pub(crate) consumer_dies: f64,
    pub(crate) consumer_freezes: f64,
    /// Partitions that are handed over in good order.
    pub(crate) hands_over: f64,
    pub(crate) kafka_blocks: f64,
    pub(crate) pipeline_changes: f64,
    pub(crate) clock_jumps: f64,
}

const BASE: Scenario = Scenario {
    name: "",
    known: None,
    seconds: 100,
    rate: 0.3,
    gateways: 2,
    consumers: 2,
    targets: 1,
    partitions: 2,
    shards: 1,
    keys: 2,
    burst: 30,
    mix: [5, 4, 1, 1],
    routings: &[""],
    created: false,
    fields: false,
    mapping_lag: false,
    lag: &[0, 100, 700, 1_900],
    client_versions: 0.0,
    linger: 30_000,
    lingers: 0.15,
    replication: &[1, 1, 2, 500, 8_000],
    lose_reply: 0.04,
    breaks: 0.02,
    stale: false,
    kafka_error: 0.03,
    kafka_late: 20_000,
    bulk_slow: 0.0,
    bulk_unanswered: 0.01,
    slow_look: 0.05,
    reconcile_after: 5_000,
    connects: (3_000, 0.02),
    gateway_dies: 0.0,
    gateway_freezes: 0.0,
    caught: 0.0,
    consumer_caught: 0.0,
    dies_thawed: 0.0,
    freeze: (1_000, 150_000),
    shard_fails: 0.0,
    target_restarts: 0.0,
    consumer_dies: 0.0,
    consumer_freezes: 0.0,
    hands_over: 0.0,
    kafka_blocks: 0.0,
    pipeline_changes: 0.0,
    clock_jumps: 0.0,
};

/// Puts and deletes of one document: what comes late undoes something.
const ONE: Scenario = Scenario { partitions: 1, keys: 1, mix: [5, 5, 0, 0], rate: 0.35, ..BASE };

/// All of them.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "calm", hands_over: 0.01, ..BASE },
    Scenario {
        name: "observe",
        lose_reply: 0.3,
        gateway_dies: 0.02,
        shard_fails: 0.02,
        keys: 1,
        linger: 10_000,
        slow_look: 0.3,
        replication: &[1, 5_000, 20_000],
        shards: 2,
        ..BASE
    },
    Scenario {
        name: "stale",
        lose_reply: 0.3,
        gateway_dies: 0.02,
        shard_fails: 0.015,
        stale: true,
        keys: 1,
        linger: 10_000,
        slow_look: 0.3,
        replication: &[1, 5_000, 20_000],
        ..BASE
    },
    Scenario { name: "noop", shard_fails: 0.03, keys: 1, mix: [2, 1, 4, 6], lose_reply: 0.0, ..BASE },
    Scenario {
        name: "unknown",
        connects: (4_000, 0.5),
        lose_reply: 0.1,
        breaks: 0.4,
        linger: 38_000,
        lingers: 0.5,
        gateway_dies: 0.01,
        caught: 0.2,
        freeze: (7_000, 45_000),
        gateways: 4,
        ..BASE
    },
    Scenario {
        name: "slow_look",
        seconds: 250,
        slow_look: 0.6,
        consumer_caught: 0.2,
        consumers: 3,
        lose_reply: 0.4,
        consumer_freezes: 0.02,
        freeze: (135_000, 200_000),
        target_restarts: 0.1,
        keys: 1,
        mix: [5, 5, 0, 0],
        ..BASE
    },
    Scenario {
        name: "order",
        kafka_error: 0.25,
        kafka_late: 150_000,
        target_restarts: 0.06,
        gateway_dies: 0.02,
        consumer_dies: 0.01,
        gateways: 3,
        ..ONE
    },
    Scenario {
        name: "frozen",
        gateway_freezes: 0.01,
        caught: 0.15,
        dies_thawed: 0.5,
        gateway_dies: 0.01,
        target_restarts: 0.05,
        consumer_dies: 0.01,
        gateways: 4,
        mix: [5, 4, 1, 1],
        ..ONE
    },
    Scenario {
        name: "late",
        seconds: 250,
        caught: 0.2,
        slow_look: 0.4,
        freeze: (135_000, 200_000),
        dies_thawed: 0.8,
        target_restarts: 0.1,
        gateways: 6,
        ..ONE
    },
    Scenario {
        name: "skew",
        clock_jumps: 0.3,
        caught: 0.1,
        slow_look: 0.6,
        freeze: (58_000, 65_000),
        reconcile_after: 66_500,
        target_restarts: 0.1,
        gateways: 12,
        rate: 0.8,
        burst: 6,
        ..ONE
    },
    Scenario {
        name: "inverted",
        caught: 0.2,
        freeze: (1_000, 58_000),
        target_restarts: 0.1,
        gateways: 5,
        consumer_dies: 0.01,
        hands_over: 0.02,
        rate: 0.45,
        ..ONE
    },
    Scenario {
        name: "zombie",
        consumer_caught: 0.05,
        target_restarts: 0.06,
        consumer_dies: 0.04,
        consumer_freezes: 0.02,
        freeze: (1_000, 60_000),
        bulk_slow: 0.15,
        ..ONE
    },
    Scenario {
        name: "thawed",
        seconds: 200,
        connects: (2_000, 0.3),
        consumer_caught: 0.15,
        target_restarts: 0.06,
        consumer_freezes: 0.04,
        freeze: (14_000, 150_000),
        consumers: 3,
        bulk_slow: 0.05,
        ..ONE
    },
    Scenario {
        name: "redeliver",
        consumer_caught: 0.05,
        bulk_slow: 0.1,
        consumer_dies: 0.04,
        hands_over: 0.04,
        target_restarts: 0.1,
        gateway_freezes: 0.02,
        freeze: (1_000, 50_000),
        gateways: 3,
        ..ONE
    },
    Scenario { name: "slow_bulk", target_restarts: 0.1, bulk_slow: 0.15, bulk_unanswered: 0.05, ..ONE },
    Scenario { name: "pipeline", seconds: 200, pipeline_changes: 0.06, keys: 1, burst: 15, gateway_dies: 0.01, ..BASE },
    Scenario {
        name: "seldom",
        pipeline_changes: 0.06,
        keys: 1,
        burst: 20,
        rate: 0.12,
        gateways: 4,
        gateway_dies: 0.02,
        shard_fails: 0.02,
        mix: [5, 2, 4, 1],
        ..BASE
    },
    // The master shows at once what the nodes act on: what a look does not show was not looked at late enough.
    Scenario {
        name: "prompt",
        lag: &[0],
        pipeline_changes: 0.3,
        slow_look: 0.6,
        gateways: 1,
        rate: 0.8,
        keys: 1,
        burst: 5,
        ..BASE
    },
    Scenario {
        name: "schema",
        caught: 0.15,
        dies_thawed: 0.5,
        fields: true,
        slow_look: 0.4,
        gateway_freezes: 0.03,
        freeze: (500, 20_000),
        gateways: 4,
        ..BASE
    },
    Scenario { name: "created", created: true, gateway_dies: 0.02, shard_fails: 0.01, fields: true, ..BASE },
    Scenario {
        name: "schema_lag",
        known: Some(
            "a target guesses the type of a field when the master shows a new mapping later than the nodes use it",
        ),
        fields: true,
        mapping_lag: true,
        gateways: 3,
        ..BASE
    },
    Scenario { name: "routing", routings: &["r0", "r1", "r2"], shards: 2, ..BASE },
    Scenario { name: "client_versions", client_versions: 1.0, mix: [5, 4, 0, 0], ..BASE },
    Scenario {
        name: "mixed_versions",
        client_versions: 0.5,
        consumer_dies: 0.01,
        target_restarts: 0.01,
        gateway_freezes: 0.004,
        ..BASE
    },
    Scenario {
        name: "client_zombie",
        consumer_caught: 0.1,
        client_versions: 0.6,
        consumer_freezes: 0.03,
        consumer_dies: 0.04,
        freeze: (1_000, 80_000),
        bulk_slow: 0.15,
        target_restarts: 0.02,
        ..ONE
    },
    Scenario {
        name: "two_targets",
        targets: 2,
        kafka_error: 0.08,
        kafka_blocks: 0.01,
        gateway_dies: 0.006,
        consumer_dies: 0.01,
        rate: 0.2,
        ..BASE
    },
    Scenario {
        name: "everything",
        gateway_dies: 0.006,
        gateway_freezes: 0.006,
        freeze: (1_000, 100_000),
        shard_fails: 0.004,
        target_restarts: 0.01,
        kafka_blocks: 0.005,
        consumer_dies: 0.01,
        consumer_freezes: 0.004,
        hands_over: 0.005,
        pipeline_changes: 0.005,
        bulk_slow: 0.01,
        ..BASE
    },
];

impl Scenario {
    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }
}
