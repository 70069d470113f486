//! What the environment asks for.

use std::path::PathBuf;

use anyhow::{Context, bail};
use understudy_tests::repository;

use crate::acts::Act;

/// How the demo is played.
pub struct Settings {
    /// The acts, in their order.
    pub acts: Vec<Act>,
    /// Whether the stack stays up.
    pub keep: bool,
    /// How many flights are loaded.
    pub documents: usize,
    /// The run directory of the demo's own stack.
    pub run: PathBuf,
    /// Where downloads are kept.
    pub cache: PathBuf,
}

/// All that the data set has.
const ALL_FLIGHTS: usize = 200_000;
const FEWEST_FLIGHTS: usize = 1_000;

impl Settings {
    pub fn from_environment() -> anyhow::Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name: &str, default: &str| {
            let path = variable(name).map_or_else(|| repository().join(default), PathBuf::from);
            std::path::absolute(&path).with_context(|| format!("{name}={}", path.display()))
        };
        let documents = match variable("DOCUMENTS") {
            Some(text) => text.parse().with_context(|| format!("DOCUMENTS={text} is not a number"))?,
            None => ALL_FLIGHTS,
        };
        if !(FEWEST_FLIGHTS..=ALL_FLIGHTS).contains(&documents) {
            bail!("DOCUMENTS={documents}: from {FEWEST_FLIGHTS} to {ALL_FLIGHTS} flights can be loaded");
        }
        Ok(Self {
            acts: acts(variable("ACTS").as_deref())?,
            keep: variable("KEEP").is_some_and(|value| value != "0"),
            documents,
            run: path("STACK_RUN", "target/demo-run")?,
            cache: path("STACK_CACHE", "deploy/local/cache")?,
        })
    }
}

fn acts(wanted: Option<&str>) -> anyhow::Result<Vec<Act>> {
    let Some(wanted) = wanted else { return Ok(Act::ALL.to_vec()) };
    let numbers: Vec<&str> = wanted.split([',', ' ']).filter(|number| !number.is_empty()).collect();
    let unknown = numbers.iter().find(|number| !Act::ALL.iter().any(|act| act.number().to_string() == **number));
    if let Some(unknown) = unknown {
        bail!("ACTS={wanted}: {unknown:?} is no act; there are 1 to {}, such as ACTS=1,3", Act::ALL.len());
    }
    let chosen: Vec<Act> =
        Act::ALL.into_iter().filter(|act| numbers.contains(&act.number().to_string().as_str())).collect();
    if chosen.is_empty() {
        bail!("ACTS={wanted} names no act");
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_are_chosen_by_number_and_keep_their_order() {
        assert_eq!(acts(None).unwrap(), Act::ALL);
        assert_eq!(acts(Some("3,1")).unwrap(), [Act::AllWell, Act::KafkaKilled]);
        assert!(acts(Some("6")).is_err() && acts(Some(",")).is_err());
    }
}
