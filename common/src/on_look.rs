//! Gauges that are set when somebody looks at them.

use prometheus::{
    Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

type Shown = Box<dyn Collector>;

struct OnLook {
    shown: Vec<Shown>,
    set: Box<dyn Fn() + Send + Sync>,
}

impl Collector for OnLook {
    fn desc(&self) -> Vec<&Desc> {
        self.shown.iter().flat_map(|one| one.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        (self.set)();
        self.shown.iter().flat_map(|one| one.collect()).collect()
    }
}

/// Registers metrics that `set` sets before they are shown. It must not wait for anything.
///
/// # Errors
/// When two metrics have one name.
pub fn register(
    registry: &Registry,
    shown: Vec<Shown>,
    set: impl Fn() + Send + Sync + 'static,
) -> prometheus::Result<()> {
    registry.register(Box::new(OnLook { shown, set: Box::new(set) }))
}
