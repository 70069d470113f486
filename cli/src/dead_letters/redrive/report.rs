//! What a redrive came to, for a person or as JSON. Pure.

use std::fmt::Write;

use super::tasks::{Tasks, Told};
use crate::dead_letters::{Invocation, letter::LetterId};
use crate::text::{count, plain};

/// What it came to.
pub struct Summary<'a> {
    /// Every letter.
    pub tasks: &'a Tasks,
    /// Name of the primary.
    pub primary: &'a str,
    /// Whether an intent stays open.
    pub left_to_consumers: bool,
}

/// Letters that are told of one by one.
const NAMED: usize = 20;
/// Indices that are named.
const INDICES: usize = 5;

impl Summary<'_> {
    /// Whether every letter was redriven.
    pub fn is_whole(&self) -> bool {
        self.tasks.left().is_empty()
    }

    /// An object a letter.
    pub fn json(&self) -> String {
        let line = |id: &LetterId, result: &str, reason: Option<&str>| {
            serde_json::json!({ "id": id.to_string(), "result": result, "reason": reason }).to_string() + "\n"
        };
        let redriven = self.tasks.redriven().iter().map(|id| line(id, "redriven", None));
        let left = self.tasks.left();
        redriven.chain(left.iter().map(|(id, reason)| line(id, "not_redriven", Some(reason)))).collect()
    }

    /// The text for a person.
    pub fn render(&self, invocation: &Invocation) -> String {
        let (mut text, target) = (String::new(), &invocation.target);
        let redriven = self.tasks.redriven().len();
        if redriven > 0 {
            let be = if redriven == 1 { "is" } else { "are" };
            let _ = writeln!(text, "{} {be} redriven: {}.", count(redriven, "letter"), self.documents());
            let indices: Vec<&str> = self.tasks.indices().into_iter().collect();
            if !indices.is_empty() {
                let _ = writeln!(text, "The consumers of {target} apply that now. To see that it arrived:");
                let _ =
                    writeln!(text, "  {}", invocation.verify((indices.len() <= INDICES).then(|| indices.join(","))));
                let _ = writeln!(text, "What {target} refuses once more is a new letter:");
                let _ = writeln!(text, "  {}", invocation.command("list"));
            }
        }
        let left = self.tasks.left();
        if !left.is_empty() {
            let be = if left.len() == 1 { "is" } else { "are" };
            let _ = writeln!(text, "{} {be} not redriven:", count(left.len(), "letter"));
            for (id, reason) in left.iter().take(NAMED) {
                let _ = writeln!(text, "  {id}  {}", plain(reason));
            }
            if left.len() > NAMED {
                let _ = writeln!(text, "  … and {} more", left.len() - NAMED);
            }
            if self.left_to_consumers {
                let _ = writeln!(
                    text,
                    "The consumers read their documents from {} by themselves when that is possible (an intent stays open). The letters\nstay listed, and may be redriven again or dropped.",
                    self.primary
                );
            }
        }
        text
    }

    fn documents(&self) -> String {
        let primary = self.primary;
        let parts = [
            (Told::Present, format!("published as on {primary} now")),
            (Told::Deleted, format!("deleted on {primary}, which is published")),
            (Told::Nothing, format!("that {primary} knows nothing of any more, so nothing is published")),
        ];
        let told = parts.into_iter().filter_map(|(told, what)| {
            let number = self.tasks.count(told);
            (number > 0).then(|| format!("{} {what}", count(number, "document")))
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use understudy_common::document::DocumentKey;

    use super::*;
    use crate::dead_letters::letter::tests::refused;

    #[test]
    fn it_says_what_was_done_what_not_and_how_to_see_it() {
        let key = |id: &str| DocumentKey { index: "i".into(), id: id.into(), routing: None };
        let mut tasks = Tasks::default();
        for (offset, id) in [(1, "a"), (2, "b"), (3, "c")] {
            tasks.add(refused(offset, "i", id), vec![key(id)]);
        }
        tasks.tell(key("a"), Told::Present);
        tasks.tell(key("b"), Told::Deleted);
        tasks.unknown(key("c"), "away".to_owned());
        let complete: Vec<LetterId> = tasks.complete().iter().map(|letter| letter.id).collect();
        tasks.marked(&complete);
        let summary = Summary { tasks: &tasks, primary: "primary", left_to_consumers: true };
        let text = summary.render(&Invocation { config: "u.toml".into(), target: "backup".into() });
        for wanted in [
            "2 letters are redriven: 1 document published as on primary now, 1 document deleted on primary, which is published.\n",
            "understudy verify --config u.toml --target backup --index 'i'\n",
            "1 letter is not redriven:\n  0:3  away\nThe consumers read",
        ] {
            assert!(text.contains(wanted), "{wanted} in\n{text}");
        }
        assert!(!summary.is_whole());
        let last = summary.json().lines().last().map(str::to_owned).unwrap();
        assert_eq!(last, r#"{"id":"0:3","result":"not_redriven","reason":"away"}"#);
    }
}
