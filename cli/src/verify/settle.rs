//! Looking again at what differed, until it is equal or stays as it is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    compare::{DocumentDifference, DocumentKey, Print, Stored, compare},
    comparison::Comparison,
    documents::found,
    indices, json_text,
    report::{Example, Kind},
    side::Failure,
    suspects::{Difference, Sight, Suspect},
};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Comparison<'_> {
    /// Empties the list of suspects: what is left on it when nothing moves any more is counted. True: some of it was
    /// lag.
    pub(super) async fn settle(&mut self) -> Result<bool, Failure> {
        let began = Instant::now();
        let listed = self.suspects.len();
        let mut pause = FIRST_PAUSE;
        let undecided = loop {
            if self.suspects.len() == 0 {
                break false;
            }
            self.look_again().await?;
            if self.suspects.at_rest(self.arguments.settle, Instant::now()) {
                break false;
            }
            if began.elapsed() > self.arguments.patience {
                break true;
            }
            self.progress.say(format!("looking again at {} differences", self.suspects.len()));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        let left = self.suspects.take();
        let some_was_lag = left.len() < listed;
        for (suspect, difference) in left {
            if undecided {
                self.report(&suspect.index).undecided += 1;
            } else {
                self.confirm(suspect, difference).await?;
            }
        }
        Ok(some_was_lag)
    }

    async fn look_again(&mut self) -> Result<(), Failure> {
        for (index, suspects) in self.suspects.by_index() {
            match self.look_again_at(&index, &suspects).await {
                Err(Failure::Index(error)) => {
                    self.suspects.forget_index(&index);
                    self.report(&index).error = Some(error);
                }
                result => result?,
            }
        }
        Ok(())
    }

    async fn look_again_at(&mut self, index: &Arc<str>, suspects: &[Suspect]) -> Result<(), Failure> {
        if suspects.iter().any(|suspect| suspect.document.is_none()) {
            let sight = self.look_at_index(index).await?;
            self.looked(&Suspect { index: index.clone(), document: None }, &sight);
        }
        let keys: Vec<DocumentKey> = suspects.iter().filter_map(|suspect| suspect.document.clone()).collect();
        let sights = self.lookup.judge(&keys, sight).await?;
        for (key, sight) in keys.into_iter().zip(sights) {
            self.looked(&Suspect { index: index.clone(), document: Some(key) }, &sight);
        }
        Ok(())
    }

    fn looked(&mut self, suspect: &Suspect, sight: &Sight) {
        if self.suspects.looked(suspect, sight, Instant::now()) {
            self.report(&suspect.index).settled += 1;
        }
    }

    /// Whether an index exists on both sides with one mapping; its report says it too.
    pub(super) async fn look_at_index(&mut self, index: &Arc<str>) -> Result<Sight, Failure> {
        let (primary, target) = self.mappings(index).await?;
        self.report(index).note_mappings(primary.as_deref(), target.as_deref());
        Ok(Sight {
            difference: (primary != target).then_some(Difference::Index),
            primary: Print::of(&primary),
            target: Print::of(&target),
        })
    }

    async fn mappings(&self, index: &str) -> Result<(Option<String>, Option<String>), Failure> {
        futures::try_join!(indices::mapping(self.primary, index), indices::mapping(self.target, index))
    }

    /// Counts a difference, and describes it while there is room.
    async fn confirm(&mut self, suspect: Suspect, difference: Difference) -> Result<(), Failure> {
        let room = self.examples.len() < usize::from(self.arguments.max_differences);
        let Suspect { index, document } = suspect;
        let example = match (difference, document) {
            (Difference::Document(difference), Some(key)) => {
                self.report(&index).count(difference);
                if !room {
                    return Ok(());
                }
                self.describe_document(key, difference).await
            }
            _ if room => self.describe_index(&index).await,
            _ => return Ok(()),
        };
        match example {
            Err(Failure::Index(error)) => self.report(&index).error = Some(error),
            example => self.examples.extend(example?),
        }
        Ok(())
    }

    async fn describe_document(
        &mut self,
        key: DocumentKey,
        difference: DocumentDifference,
    ) -> Result<Option<Example>, Failure> {
        let described = self.lookup.judge(std::slice::from_ref(&key), describe).await?.pop().flatten();
        // It may have moved in this very moment; then it is told as it was counted.
        let changed = || (difference, "changed while it was looked at".to_owned(), None, None);
        let (difference, what, primary, target) = described.unwrap_or_else(changed);
        let kind = match difference {
            DocumentDifference::Missing => Kind::Missing,
            DocumentDifference::Extra => Kind::Extra,
            DocumentDifference::Routing | DocumentDifference::Source => Kind::Different,
        };
        Ok(Some(Example { kind, index: key.index, id: Some(key.id), routing: key.routing, what, primary, target }))
    }

    async fn describe_index(&self, index: &Arc<str>) -> Result<Option<Example>, Failure> {
        let example = |kind, what: String, primary, target| Example {
            kind,
            index: index.clone(),
            id: None,
            routing: None,
            what,
            primary,
            target,
        };
        let only_on = |name: &str| Some(example(Kind::Index, format!("exists on {name} alone"), None, None));
        Ok(match self.mappings(index).await? {
            (Some(_), None) => only_on(self.primary.name()),
            (None, Some(_)) => only_on(self.target.name()),
            (Some(one), Some(other)) => json_text::first_difference(&one, &other)
                .map(|spot| example(Kind::Mapping, format!("at {}", spot.path), spot.one, spot.other)),
            (None, None) => None,
        })
    }
}

fn sight(key: &DocumentKey, primary: &Stored<'_>, target: &Stored<'_>) -> Sight {
    match found(key, primary, target) {
        Some((difference, primary, target)) => {
            Sight { difference: Some(Difference::Document(difference)), primary, target }
        }
        None => {
            let equal = primary.print();
            Sight { difference: None, primary: equal, target: equal }
        }
    }
}

type Description = (DocumentDifference, String, Option<String>, Option<String>);

fn describe(_: &DocumentKey, primary: &Stored<'_>, target: &Stored<'_>) -> Option<Description> {
    let difference = compare(primary, target)?;
    let (what, ours, theirs) = match (primary, target) {
        (Stored::Present { routing: ours, .. }, Stored::Present { routing: theirs, .. }) if ours != theirs => {
            ("routing".to_owned(), ours.clone(), theirs.clone())
        }
        (Stored::Present { source: Some(ours), .. }, Stored::Present { source: Some(theirs), .. }) => {
            match json_text::first_difference(ours, theirs) {
                Some(spot) => (format!("source at {}", spot.path), spot.one, spot.other),
                None => {
                    let what = "source, by the order of its fields or a field that stands twice";
                    (what.to_owned(), Some(json_text::shortened(ours)), Some(json_text::shortened(theirs)))
                }
            }
        }
        (Stored::Present { .. }, Stored::Present { .. }) => ("source, kept on one side only".to_owned(), None, None),
        (Stored::Present { .. }, _) => ("on the primary alone".to_owned(), None, None),
        _ => ("on the target alone".to_owned(), None, None),
    };
    Some((difference, what, ours, theirs))
}
