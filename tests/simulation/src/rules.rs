//! The rules of the protocol, by the names that DESIGN gives them, and what takes each away.
//!
//! Production code has no switches. A rule is taken away by lying to it: it is given a window without width, an old sight for
//! a new one, `not sent` for `unknown`, or what it wants done is not done.

macro_rules! rules {
    ($($rule:ident $name:literal $says:literal,)*) => {
        /// A rule of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rule {
            $(#[doc = $says] $rule,)*
        }

        impl Rule {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$rule,)*];

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$rule => $name,)* }
            }

            /// What it says.
            #[must_use]
            pub fn says(self) -> &'static str {
                match self { $(Self::$rule => $says,)* }
            }
        }
    };
}

rules! {
    Intent "intent" "an intent is appended before the primary is touched",
    Void "void" "consumers drop an effect appended L or more after its ticket",
    VoidCheck "void_check" "who publishes checks the append time before it replies or settles",
    Reopen "reopen" "who ends late opens another intent: the old one may be settled",
    SentLate "sent_late" "a write of unknown outcome that may have been sent late opens another intent",
    Window "window" "consumers drop an effect older than the newest of its document in the last W",
    Rebuild "rebuild" "the window is rebuilt on assignment",
    WindowSkew "window_skew" "the window is wider than L by what the clocks of brokers may differ",
    TicketFirst "ticket_first" "an observation takes its ticket before it looks",
    Guard "guard" "after the answer a look decides whether the request may be trusted",
    LookLater "look_later" "the look of the guard begins after the answer",
    SecondLook "second_look" "an intent is settled only when a later look still shows the old state",
    SettingsVersion "settings_version" "the guard compares settings_version, not the name of a pipeline",
    ObservationWins "observation_wins" "of two effects with one version the observed one wins",
    Observe409 "observe_409" "items with 409 are observed when the state moved",
    NoopEffect "noop_effect" "a noop is published",
    IndexShown "index_shown" "what was written is not nothing because the master does not show its index",
    Slow "slow" "a conflict after a long wait is observed although the state rests",
    PrimaryLook "primary_look" "an observation asks the primary copy",
    CurrentTerm "current_term" "an observation carries the shard's current term",
    TermTwice "term_twice" "the term and the copy are read before and after the look, and are equal",
    TermRests "term_rests" "a shard whose term changed a while ago is not observed yet",
    MaxSeqBefore "max_seq_before" "max_seq_no is read before the look",
    ShardMaxSeq "shard_max_seq" "max_seq_no is that of the very shard",
    EmptyShard "empty_shard" "an absent document of an empty shard is a delete, newer than what former copies wrote",
    Reconcile "reconcile" "the reconciler observes open intents",
    UnknownWaits "unknown_waits" "an intent with an unknown item is settled by the reconciler alone",
    Linger "linger" "an intent is settled only by an observation made after the linger time",
    StillThere "still" "the reconciler settles only while the copies that it saw are primaries",
    RoutingKey "routing_key" "a document is named with its shard",
    ZombieDeletes "zombie_deletes" "after an unclean takeover deletes are repeated after the linger time, and then committed",
    OwnTimeout "own_timeout" "a bulk of its own that was not answered counts like an unclean takeover",
    ZombieReports "zombie_reports" "who lost a partition opens intents for what it had sent",
    External "external" "a target is written with external versions",
    OneBatch "one_batch" "a partition has one batch in flight, and commits nothing of it before it is answered",
    Seal "seal" "Kafka knows that a partition has an owner before anything of it is sent",
    Caution "caution" "a process that stood still sends nothing for a while",
    Fresh "fresh" "a bulk that was decided a while ago is not sent",
    SchemaFirst "schema_first" "a mapping is published before the effects that need it",
    SchemaGreatest "schema_greatest" "of two schema records the greater version counts, not the later",
    ClientCas "client_cas" "a conflict on an index with client versions is resolved by compare-and-set",
    PackedOrder "packed_order" "collapse and window go by packed versions, never by clients'",
    ZombieClients "zombie_clients" "with client versions not only deletes are repeated",
}

/// Names of the model's rules that this build has no code for, and why.
pub const ABSENT: &[(&str, &str)] = &[
    ("reobserve", "replaced by second_look, which leaves the intent of such a write open"),
    ("arrive_clean", "no barriers in this build"),
    ("incarnation, set_aside, deleted_uuids", "an effect of another incarnation stops its partition; an operator acts"),
    ("barrier, barrier_uuid, barrier_adopts", "no barriers in this build: deletions of indices are refused"),
    ("lock, change_intent, lock_recheck", "changes to indices are forwarded or refused, not replicated as barriers"),
    ("strict_target", "not offered: a guess shows in the second look (ARCHITECTURE.md)"),
    ("adopt", "schema/plan.rs, I/O of the consumer; shown by tests/replication on real servers"),
    ("lease_after_ack, lease_wait, marker, lower_epoch", "no switchover in this build"),
    ("old_primary_waits, stray, label_old, label_all, one_snapshot", "no switchover in this build"),
    ("redrive_observes", "in the command line, not in a process that is simulated; shown by tests/letters"),
];

/// A rule that no schedule is known to miss alone.
#[derive(Clone, Copy, Debug)]
pub struct Covered {
    /// The rule.
    pub rule: Rule,
    /// A rule that does its work here when it is off, and a scenario where that shows: with that one off nothing fails, with
    /// both off something does.
    pub by: Option<(Rule, &'static str)>,
    /// What stands in for it.
    pub why: &'static str,
}

/// Rules that no schedule is known to miss alone.
pub const COVERED: &[Covered] = &[
    Covered {
        rule: Rule::LookLater,
        by: Some((Rule::SecondLook, "prompt")),
        why: "what a look of before does not show shows in the second look, and the intent stays open",
    },
    Covered {
        rule: Rule::Slow,
        by: None,
        why: "a node tries again when a shard fails over, and that shows in the second look as another term",
    },
    Covered {
        rule: Rule::TermTwice,
        by: Some((Rule::TermRests, "observe")),
        why: "a term that came during the look has not rested",
    },
    Covered {
        rule: Rule::TermRests,
        by: Some((Rule::TermTwice, "observe")),
        why: "a look asks the very copy that the master shows, and a former one shows as another term after it, or in still",
    },
    Covered {
        rule: Rule::StillThere,
        by: None,
        why: "what a look under an old term publishes is corrected by the look that settles, unless the shard moves within it",
    },
    Covered {
        rule: Rule::ZombieReports,
        by: None,
        why: "seldom missed (regressions.txt has a schedule): whoever takes over repeats what may still arrive",
    },
    Covered {
        rule: Rule::Caution,
        by: None,
        why: "whoever takes over repeats what may still arrive, and who lost a partition reports what it sent",
    },
    Covered {
        rule: Rule::SchemaGreatest,
        by: None,
        why: "whoever publishes an older schema looks again and publishes the newest behind it",
    },
    Covered {
        rule: Rule::Fresh,
        by: None,
        why: "caution does the same for all that is decided after a freeze; fresh is for what was decided before",
    },
];

/// Which rules are switched off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Without(u64);

impl Without {
    /// All rules but these.
    #[must_use]
    pub fn these(rules: &[Rule]) -> Self {
        Self(rules.iter().fold(0, |bits, rule| bits | 1 << *rule as u64))
    }

    /// Reads names with commas.
    ///
    /// # Errors
    /// With the name that is none.
    pub fn read(names: &str) -> Result<Self, String> {
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        let known = |name: &str| {
            let rule = Rule::ALL.iter().find(|rule| rule.name() == name);
            rule.copied().ok_or_else(|| format!("no rule is called {name}"))
        };
        Ok(Self::these(&names.map(known).collect::<Result<Vec<_>, _>>()?))
    }

    /// Whether a rule holds.
    #[must_use]
    pub fn holds(self, rule: Rule) -> bool {
        self.0 & 1 << rule as u64 == 0
    }
}
