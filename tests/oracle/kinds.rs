//! The table of all kinds of writes, each a switch of its own (`KINDS=index,delete`).

mod body;
pub mod late;
mod plain;
mod size;
mod through;
mod update;
mod version;

use crate::{
    dice::Dice,
    ledger::{Item, Leaves},
    named,
    operation::{Action, Operation, Request, bulk},
    world::World,
};

/// A row of the table.
#[derive(Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// How often it is chosen, beside the others.
    pub weight: u64,
    /// Which bulks may hold it.
    pub bulks: Bulks,
    make: Make,
}

/// Which bulks may hold a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bulks {
    /// All of them.
    Every,
    /// Those of all kinds: a gateway that refuses one item refuses the whole.
    Mixed,
    /// None.
    Never,
}

#[derive(Clone, Copy, Debug)]
enum Make {
    One(fn(&mut Maker<'_>) -> Operation),
    Bulk,
}

const fn kind(name: &'static str, weight: u64, bulks: Bulks, make: fn(&mut Maker<'_>) -> Operation) -> Kind {
    Kind { name, weight, bulks, make: Make::One(make) }
}

const fn bulks(name: &'static str, weight: u64, bulks: Bulks) -> Kind {
    Kind { name, weight, bulks, make: Make::Bulk }
}

/// The table.
pub static KINDS: &[Kind] = &[
    kind("index", 14, Bulks::Every, plain::index),
    kind("create", 8, Bulks::Every, plain::create),
    kind("delete", 10, Bulks::Every, plain::delete),
    kind("conditional", 8, Bulks::Every, plain::conditional),
    kind("auto-id", 6, Bulks::Every, plain::auto_id),
    kind("routing", 8, Bulks::Every, plain::routing),
    kind("awkward", 5, Bulks::Every, plain::awkward),
    kind("pretty", 4, Bulks::Never, plain::pretty),
    kind("grown", 4, Bulks::Every, plain::grown),
    bulks("bulk", 10, Bulks::Every),
    bulks("bulk-mixed", 5, Bulks::Mixed),
    kind("update-doc", 5, Bulks::Mixed, update::doc),
    kind("update-upsert", 4, Bulks::Mixed, update::upsert),
    kind("update-doc-as-upsert", 4, Bulks::Mixed, update::doc_as_upsert),
    kind("update-script", 5, Bulks::Mixed, update::script),
    kind("update-script-delete", 2, Bulks::Mixed, update::script_delete),
    kind("update-script-none", 2, Bulks::Mixed, update::script_none),
    kind("update-noop", 3, Bulks::Mixed, update::noop),
    kind("external", 6, Bulks::Mixed, version::external),
    kind("external-gte", 3, Bulks::Mixed, version::external_gte),
    kind("external-delete", 3, Bulks::Mixed, version::external_delete),
    kind("external-mixed", 5, Bulks::Mixed, version::mixed),
    kind("alias", 4, Bulks::Mixed, through::alias),
    kind("alias-routing", 4, Bulks::Mixed, through::routed_alias),
    kind("pipeline", 4, Bulks::Mixed, through::pipeline),
    kind("default-pipeline", 4, Bulks::Mixed, through::default_pipeline),
    kind("turned", 4, Bulks::Mixed, through::turned),
    kind("large", 1, Bulks::Mixed, size::large),
    kind("update-large", 1, Bulks::Mixed, size::update),
    kind("misfit", 1, Bulks::Mixed, plain::misfit),
];

/// What a kind makes its operations with.
pub struct Maker<'a> {
    /// Chance.
    pub dice: &'a mut Dice,
    /// What there is.
    pub world: &'a World,
    /// The write id.
    pub w: String,
    name: &'static str,
}

/// Few, so that writers meet all the time; some that a path must escape.
const IDS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "ü é", "a/b+c"];
const ROUTINGS: [&str; 3] = ["r1", "r2", "7"];

impl Maker<'_> {
    /// An id that others write as well.
    pub fn id(&mut self) -> String {
        if self.dice.percent(40) { self.world.brief_id() } else { (*self.dice.pick(&IDS)).to_owned() }
    }

    /// A routing.
    pub fn routing(&mut self) -> String {
        (*self.dice.pick(&ROUTINGS)).to_owned()
    }

    /// One of the indices that take everything.
    pub fn index(&mut self) -> String {
        let world = self.world;
        if self.dice.percent(50) { world.single.clone() } else { world.spread.clone() }
    }

    /// A write of a document, without parameters and body yet.
    pub fn operation(&self, action: Action, index: &str, id: Option<String>) -> Operation {
        let item = Item {
            w: self.w.clone(),
            kind: self.name.to_owned(),
            index: index.to_owned(),
            id,
            routing: None,
            leaves: if action == Action::Delete { Leaves::Nothing } else { Leaves::Document },
            stored: None,
        };
        Operation { action, target: index.to_owned(), parameters: Vec::new(), body: None, item }
    }
}

impl Operation {
    /// With a body that is stored as it is.
    fn storing(mut self, source: String) -> Self {
        self.item.stored = Some(source.clone());
        self.body = Some(source);
        self
    }

    /// With a body that says what to do.
    fn saying(mut self, body: String) -> Self {
        self.body = Some(body);
        self
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.parameters.push((name, value.to_string()));
        self
    }

    /// With routing, which the document keeps.
    fn routed(mut self, routing: String) -> Self {
        self.item.routing = Some(routing.clone());
        self.with("routing", routing)
    }
}

/// A request of a kind. `write` is its name; of several documents each has a write id of its own.
pub fn make(kind: &'static Kind, allowed: &[&'static Kind], dice: &mut Dice, world: &World, write: &str) -> Request {
    match kind.make {
        Make::One(make) => make(&mut Maker { dice, world, w: write.to_owned(), name: kind.name }).into_request(),
        Make::Bulk => {
            let fits = |row: &&&'static Kind| match row.make {
                Make::One(_) => row.bulks == Bulks::Every || row.bulks == kind.bulks,
                Make::Bulk => false,
            };
            let rows: Vec<&'static Kind> = allowed.iter().filter(fits).copied().collect();
            let operations = (0..dice.between(2, 8))
                .map(|place| {
                    let row = *dice.weighted(&rows, |row| row.weight);
                    let Make::One(make) = row.make else { unreachable!("bulks hold no bulks") };
                    make(&mut Maker { dice, world, w: format!("{write}.{place}"), name: row.name })
                })
                .collect();
            bulk(operations)
        }
    }
}

/// The rows that are named.
///
/// # Errors
/// When a name is not in the table.
pub fn named(names: &str) -> Result<Vec<&'static Kind>, String> {
    named::rows("kind", KINDS, |kind| kind.name, named::names(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        let all: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(named(&all.join(",")).unwrap().len(), KINDS.len());
        assert!(named("index,updates").is_err());
        let mut sorted = all.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), all.len());
    }
}
