//! `understudy dead-letters drop`.

use std::io::{BufRead, IsTerminal, Write};

use understudy_common::control::Became;

use super::{
    Failure, Invocation,
    arguments::DropArguments,
    letter::Letter,
    mark::Marker,
    tidy,
    topic::{Letters, Mailbox},
};
use crate::text::{count, plain};

/// Letters that are named in the question.
const NAMED: usize = 10;

/// How it ended.
pub enum Dropped {
    /// It is done; how many.
    Done(usize),
    /// Whoever was asked did not say yes.
    Refused,
    /// Nobody can be asked.
    NobodyToAsk,
}

/// Marks letters as dropped. Those that were decided before are left out by the caller.
pub async fn drop_letters(
    mailbox: &Mailbox,
    letters: &mut Letters,
    chosen: &[Letter],
    marker: &Marker,
    arguments: &DropArguments,
    invocation: &Invocation,
) -> Result<Dropped, Failure> {
    if !chosen.is_empty() && !arguments.yes {
        if !std::io::stdin().is_terminal() {
            return Ok(Dropped::NobodyToAsk);
        }
        let question = question(chosen, &invocation.target);
        let agreed = tokio::task::spawn_blocking(move || ask(&question)).await.unwrap_or(false);
        if !agreed {
            return Ok(Dropped::Refused);
        }
    }
    let marked: Vec<&Letter> = chosen.iter().collect();
    marker.mark(&marked, Became::Dropped, &mut letters.facts).await?;
    if let Err(Failure(error)) = tidy::tidy(mailbox, letters, marker).await {
        eprintln!("understudy dead-letters: they are dropped, but {error}; the next redrive or drop tries again");
    }
    Ok(Dropped::Done(chosen.len()))
}

fn question(chosen: &[Letter], target: &str) -> String {
    let mut text = format!("{} of {target}:\n", count(chosen.len(), "dead letter"));
    for letter in chosen.iter().take(NAMED) {
        let document = letter.document().map_or_else(|| "a whole record".to_owned(), |key| plain(&key.record_key()));
        text.push_str(&format!("  {}  {document}\n", letter.id));
    }
    if chosen.len() > NAMED {
        text.push_str(&format!("  … and {} more\n", chosen.len() - NAMED));
    }
    text + &format!("Drop them? {target} stays without what they hold. [y/N] ")
}

fn ask(question: &str) -> bool {
    eprint!("{question}");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer).is_ok();
    read && matches!(answer.trim(), "y" | "Y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::{super::letter::tests::refused, *};

    #[test]
    fn the_question_names_what_is_dropped() {
        let chosen: Vec<Letter> = (0..12).map(|offset| refused(offset, "flights", "1\\n2")).collect();
        let text = question(&chosen, "backup");
        assert!(text.starts_with("12 dead letters of backup:\n  0:0  flights/1 2\n"), "{text}");
        assert!(text.contains("… and 2 more\n") && text.ends_with("[y/N] "), "{text}");
    }
}
