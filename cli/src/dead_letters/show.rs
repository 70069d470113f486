//! `understudy dead-letters show`: all of one letter, and what a person may do.

use std::{collections::BTreeMap, fmt::Write};

use bytes::Bytes;
use serde::Serialize;
use understudy_common::{
    control::{Became, DeadLetterRecord},
    record::header,
};

use super::{
    Invocation,
    letter::{Content, Letter},
    list::LetterJson,
};
use crate::text::{plain, pretty, utc};

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    letter: LetterJson<'a>,
    from: Option<From<'a>>,
    request: Option<&'a str>,
    gateway: Option<&'a str>,
    key: &'a str,
    headers: &'a BTreeMap<String, String>,
    body: Option<String>,
}

#[derive(Serialize)]
struct From<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
}

/// One object, on one line.
pub fn json(letter: &Letter, became: Option<&DeadLetterRecord>, body: Option<&Bytes>) -> String {
    let from = letter.origin.as_ref();
    let shown = Shown {
        letter: LetterJson::new(letter, became),
        from: from.map(|from| From { topic: &from.topic, partition: from.partition, offset: from.offset }),
        request: letter.request(),
        gateway: letter.header(header::GATEWAY),
        key: &letter.key,
        headers: &letter.headers,
        body: body.map(|body| String::from_utf8_lossy(body).into_owned()),
    };
    serde_json::to_string(&shown).unwrap_or_default() + "\n"
}

/// The text for a person.
pub fn render(
    letter: &Letter,
    became: Option<&DeadLetterRecord>,
    body: Option<&Bytes>,
    invocation: &Invocation,
) -> String {
    let target = &invocation.target;
    let mut text = format!("dead letter {} of {target}\n\n", letter.id);
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(text, "{name:<10} {}", plain(&value));
        }
    };
    line("kept", Some(format!("{} UTC", utc(letter.at_ms))));
    let routing =
        |routing: &Option<_>| routing.as_deref().map_or_else(String::new, |name: &str| format!(", routing {name}"));
    line("document", letter.document().map(|key| format!("{}{}", key.record_key(), routing(&key.routing))));
    let version = match &letter.content {
        Content::Effect { version: Some(version), .. } => format!(", version {version}"),
        _ => String::new(),
    };
    line("operation", letter.operation().map(|operation| format!("{operation}{version}")));
    line("status", letter.status.map(|status| status.to_string()));
    line("type", Some(letter.kind.clone()).filter(|kind| !kind.is_empty()));
    line("reason", Some(letter.reason.clone()).filter(|reason| !reason.is_empty()));
    let from = letter.origin.as_ref();
    line("from", from.map(|from| format!("{}, partition {}, offset {}", from.topic, from.partition, from.offset)));
    line("request", letter.request().map(str::to_owned));
    line("gateway", letter.header(header::GATEWAY).map(str::to_owned));
    line("became", became.map(|mark| format!("{} at {} UTC", became_text(mark.became), utc(mark.at_ms))));
    text.push_str("\nbody\n");
    for row in shown_body(letter, body).lines() {
        let _ = writeln!(text, "  {row}");
    }
    text.push_str("\nheaders\n");
    let width = letter.headers.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, value) in &letter.headers {
        let _ = writeln!(text, "  {:<width$}  {}", plain(name), plain(value));
    }
    text.push_str("\nwhat can be done\n");
    for row in advice(letter, became, invocation).lines() {
        let _ = writeln!(text, "  {row}");
    }
    text
}

fn became_text(became: Became) -> &'static str {
    match became {
        Became::Redriven => "redriven",
        Became::Dropped => "dropped",
    }
}

fn shown_body(letter: &Letter, body: Option<&Bytes>) -> String {
    let Some(body) = body else {
        return match &letter.content {
            Content::Elsewhere(_) => "too large to be kept here; it stands where the record comes from".to_owned(),
            _ => "none".to_owned(),
        };
    };
    let text = String::from_utf8_lossy(body);
    match (&letter.content, text.lines().nth(1)) {
        (Content::Effect { action: "delete", .. }, _) => "none: it is a delete".to_owned(),
        (Content::Effect { .. }, Some(source)) => pretty(source),
        _ => text.lines().map(plain).collect::<Vec<_>>().join("\n"),
    }
}

fn advice(letter: &Letter, became: Option<&DeadLetterRecord>, invocation: &Invocation) -> String {
    let (target, id) = (&invocation.target, letter.id);
    let drop = invocation.command(&format!("drop {id}"));
    let redrive = invocation.command(&format!("redrive {id}"));
    match (became.map(|mark| mark.became), letter.hopeless()) {
        (Some(Became::Redriven), _) => {
            "Nothing: it was redriven. What the target refused then is another letter.".to_owned()
        }
        (_, Some(reason)) => format!("It cannot be redriven: {}.\nGive it up:\n  {drop}", plain(&reason)),
        (Some(Became::Dropped), None) => {
            format!("It was dropped. While it is still kept, that can be taken back:\n  {redrive}")
        }
        (None, None) => format!(
            "Mend on {target} what refuses it (see the reason), then publish the document as it is on the primary by then:\n  {redrive}\nOr leave {target} without it:\n  {drop}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::letter::tests::*, *};

    fn invocation() -> Invocation {
        Invocation { config: "u.toml".into(), target: "backup".into() }
    }

    const BODY: &[u8] =
        b"{\"index\":{\"_index\":\"flights\",\"_id\":\"1\",\"version\":9}}\n{\"n\": 1.10,\"s\":\"x\"}\n";

    #[test]
    fn a_person_is_told_everything_and_what_to_do() {
        let letter = refused(7, "flights", "1");
        let text = render(&letter, None, Some(&Bytes::from_static(BODY)), &invocation());
        for wanted in [
            "dead letter 0:7 of backup\n",
            "document   flights/1\n",
            "operation  index, version 9\n",
            "reason     failed to parse field [n]\n",
            "from       understudy.target.backup, partition 2, offset 40\n",
            "body\n  {\n    \"n\": 1.10,\n    \"s\": \"x\"\n  }\n",
            "  understudy-dead-status     400\n",
            "understudy dead-letters redrive --config u.toml --target backup 0:7\n",
        ] {
            assert!(text.contains(wanted), "{wanted} in\n{text}");
        }
    }

    #[test]
    fn json_has_the_body_as_it_is() {
        let letter = refused(7, "flights", "1");
        let shown: serde_json::Value =
            serde_json::from_str(&json(&letter, None, Some(&Bytes::from_static(BODY)))).unwrap();
        assert_eq!(shown["body"], String::from_utf8_lossy(BODY).into_owned());
        assert_eq!((&shown["id"], &shown["from"]["offset"]), (&"0:7".into(), &40.into()));
        assert_eq!(shown["headers"]["understudy-dead-status"], "400");
    }

    #[test]
    fn what_was_decided_says_so() {
        let letter = refused(7, "flights", "1");
        let mark = |became| DeadLetterRecord { became, at_ms: 0, letter_ms: letter.at_ms };
        let advice = |became| advice(&letter, Some(&mark(became)), &invocation());
        assert!(advice(Became::Redriven).starts_with("Nothing"));
        assert!(advice(Became::Dropped).contains("taken back"));
    }
}
