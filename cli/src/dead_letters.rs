//! `understudy dead-letters`: what a target refused for good, and what becomes of it.
//!
//! ```text
//! arguments, config ─► topic: letters (letter), and what the control topic says (facts) ─► selection
//!   list     a table, or JSON
//!   show     all of one letter
//!   redrive  its document as it is on the primary now, published to the target's topic
//!   give_up  drop
//!   mark     what became of a letter ─► control topic; tidy: what is decided is deleted
//! ```

mod arguments;
mod facts;
mod give_up;
mod letter;
mod list;
mod mark;
mod redrive;
mod selection;
mod show;
mod tidy;
mod topic;

use std::{io::Write, path::PathBuf, process::ExitCode};

pub use arguments::Arguments;
use understudy_common::{
    config::{Config, EXIT_CONFIG},
    control::Became,
    kafka::Publisher,
};

use self::{
    arguments::{Choice, Command, DropArguments, ListArguments, Place, RedriveArguments, ShowArguments},
    give_up::{Dropped, drop_letters},
    letter::Letter,
    mark::Marker,
    redrive::Redrive,
    topic::{Letters, Mailbox},
};
use crate::{
    interrupt::{EXIT_INTERRUPTED, interrupted},
    text::{count, utc},
};

/// Something was left undone, or found.
const EXIT_LEFT: u8 = 1;
/// It could not be done.
const EXIT_FAILED: u8 = 2;
/// How librdkafka names this command to brokers.
const CLIENT: &str = "understudy-dead-letters";

/// Why it could not be done, in a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

/// How this command was called: for lines that say how to go on.
pub struct Invocation {
    config: PathBuf,
    target: String,
}

impl Invocation {
    fn command(&self, verb: &str) -> String {
        let (verb, rest) = verb.split_once(' ').unwrap_or((verb, ""));
        let line =
            format!("understudy dead-letters {verb} --config {} --target {}", self.config.display(), self.target);
        format!("{line} {rest}").trim_end().to_owned()
    }

    fn verify(&self, indices: Option<String>) -> String {
        let only = indices.map_or_else(String::new, |indices| format!(" --index '{indices}'"));
        format!("understudy verify --config {} --target {}{only}", self.config.display(), self.target)
    }
}

/// Does what is asked, and says it by the exit status.
pub async fn run(arguments: Arguments) -> ExitCode {
    let place = match &arguments.command {
        Command::List(arguments) => &arguments.place,
        Command::Show(arguments) => &arguments.place,
        Command::Redrive(arguments) => &arguments.place,
        Command::Drop(arguments) => &arguments.place,
    };
    let mailbox = match mailbox(place) {
        Ok(mailbox) => mailbox,
        Err(errors) => {
            errors.iter().for_each(say);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let invocation = Invocation { config: place.config.clone(), target: mailbox.target.clone() };
    let ended = match arguments.command {
        // It tells by itself where it was interrupted.
        Command::Redrive(arguments) => redrive(&mailbox, &arguments, &invocation).await,
        command => tokio::select! {
            ended = simple(&mailbox, command, &invocation) => ended,
            () = interrupted() => Ok(EXIT_INTERRUPTED),
        },
    };
    ExitCode::from(ended.unwrap_or_else(|failure| {
        say(failure);
        EXIT_FAILED
    }))
}

fn mailbox(place: &Place) -> Result<Mailbox, Vec<String>> {
    let config = Config::load(&place.config).map_err(|errors| errors.0)?;
    Mailbox::new(config, place.target.as_deref()).map_err(|error| vec![error])
}

async fn simple(mailbox: &Mailbox, command: Command, invocation: &Invocation) -> Result<u8, Failure> {
    match command {
        Command::List(arguments) => list(mailbox, &arguments).await,
        Command::Show(arguments) => show(mailbox, &arguments, invocation).await,
        Command::Drop(arguments) => give_up(mailbox, &arguments, invocation).await,
        Command::Redrive(arguments) => redrive(mailbox, &arguments, invocation).await,
    }
}

async fn list(mailbox: &Mailbox, arguments: &ListArguments) -> Result<u8, Failure> {
    let letters = mailbox.read().await?;
    let (listed, undecided) = list::chosen(&letters, arguments);
    let width = console::Term::stdout().size_checked().map(|(_, width)| usize::from(width));
    print(&list::render(&letters, &listed, &mailbox.target, arguments, width));
    Ok(if arguments.check && undecided > 0 { EXIT_LEFT } else { 0 })
}

async fn show(mailbox: &Mailbox, arguments: &ShowArguments, invocation: &Invocation) -> Result<u8, Failure> {
    let (letters, topic) = (mailbox.read().await?, mailbox.topic());
    let letter = letters.find(arguments.id, &topic).map_err(Failure)?;
    let record = mailbox.record(&topic, letter.id.partition, letter.id.offset).await?;
    let body = record.and_then(|record| record.value);
    let became = letters.facts.became(letter);
    print(&if arguments.json {
        show::json(letter, became, body.as_ref())
    } else {
        show::render(letter, became, body.as_ref(), invocation)
    });
    Ok(0)
}

async fn redrive(mailbox: &Mailbox, arguments: &RedriveArguments, invocation: &Invocation) -> Result<u8, Failure> {
    let prepared = tokio::select! {
        prepared = prepare(mailbox, &arguments.choice, &[Became::Redriven]) => prepared?,
        () = interrupted() => return Ok(EXIT_INTERRUPTED),
    };
    let Some((mut letters, chosen)) = prepared else { return Ok(EXIT_FAILED) };
    if chosen.is_empty() {
        print("There is nothing to redrive.\n");
        return Ok(0);
    }
    let publisher = publisher(mailbox)?;
    let marker = Marker::new(publisher.clone(), mailbox);
    let mut redrive = Redrive::new(mailbox, &mut letters, &marker, publisher, arguments.wait);
    let ended = tokio::select! {
        ended = redrive.run(chosen) => Some(ended),
        () = interrupted() => None,
    };
    let summary = redrive.summary();
    print(&if arguments.json { summary.json() } else { summary.render(invocation) });
    match ended {
        None => {
            say("interrupted");
            Ok(EXIT_INTERRUPTED)
        }
        Some(ended) => ended.map(|()| if summary.is_whole() { 0 } else { EXIT_LEFT }),
    }
}

async fn give_up(mailbox: &Mailbox, arguments: &DropArguments, invocation: &Invocation) -> Result<u8, Failure> {
    let decided = [Became::Redriven, Became::Dropped];
    let Some((mut letters, chosen)) = prepare(mailbox, &arguments.choice, &decided).await? else {
        return Ok(EXIT_FAILED);
    };
    if chosen.is_empty() {
        print("There is nothing to drop.\n");
        return Ok(0);
    }
    let marker = Marker::new(publisher(mailbox)?, mailbox);
    match drop_letters(mailbox, &mut letters, &chosen, &marker, arguments, invocation).await? {
        Dropped::Done(number) => {
            let be = if number == 1 { "is" } else { "are" };
            print(&format!("{} of {} {be} dropped.\n", count(number, "letter"), mailbox.target));
            Ok(0)
        }
        Dropped::Refused => {
            print("Nothing is dropped.\n");
            Ok(EXIT_LEFT)
        }
        Dropped::NobodyToAsk => {
            say("there is no terminal to ask on: say --yes");
            Ok(EXIT_CONFIG)
        }
    }
}

/// Reads the letters and chooses among them; leaves out, and says so, what was decided in one of these ways before.
/// `None`: some are not there, which is said.
async fn prepare(
    mailbox: &Mailbox,
    choice: &Choice,
    done: &[Became],
) -> Result<Option<(Letters, Vec<Letter>)>, Failure> {
    let letters = mailbox.read().await?;
    let chosen: Vec<Letter> = match choice.of(&letters, &mailbox.topic()) {
        Ok(chosen) => chosen.into_iter().cloned().collect(),
        Err(errors) => {
            errors.iter().for_each(say);
            return Ok(None);
        }
    };
    let undone = |letter: &Letter| {
        let before = letters.facts.became(letter).filter(|mark| done.contains(&mark.became));
        if let Some(mark) = before {
            let became = if mark.became == Became::Redriven { "redriven" } else { "dropped" };
            say(format!("{} was {became} before, at {} UTC", letter.id, utc(mark.at_ms)));
        }
        before.is_none()
    };
    let chosen = chosen.into_iter().filter(undone).collect();
    Ok(Some((letters, chosen)))
}

fn publisher(mailbox: &Mailbox) -> Result<Publisher, Failure> {
    let config = &mailbox.config;
    Publisher::new(&config.kafka, CLIENT, config.gateway.publish_timeout).map_err(|error| Failure(error.to_string()))
}

/// Whoever reads us may have closed the pipe; the exit status still tells.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn say(text: impl std::fmt::Display) {
    eprintln!("understudy dead-letters: {text}");
}
