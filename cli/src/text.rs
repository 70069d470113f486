//! How times, names and documents are shown to a person. Pure.

/// A time in UTC: `2026-11-22 14:03:05`.
pub fn utc(at_ms: i64) -> String {
    let seconds = at_ms.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 1970 to a date of the Gregorian calendar, by eras of 400 years that begin on the 1st of March.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// The same as machines write it: `2026-11-22T14:03:05Z`.
pub fn utc_iso(at_ms: i64) -> String {
    format!("{}Z", utc(at_ms).replace(' ', "T"))
}

/// A text on one line, without what a terminal would act upon: ids and reasons come from strangers.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// As much of a text as fits into so many characters, with a sign where something is left off.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

/// `1 letter`, `2 letters`.
pub fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// JSON with a field a line. Tokens stay as they are, so that `1.10` is not shown as `1.1`.
pub fn pretty(json: &str) -> String {
    let (mut text, mut depth) = (String::with_capacity(json.len() * 2), 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    let mut tokens = json.chars().peekable();
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
    };
    while let Some(c) = tokens.next() {
        if in_string {
            // Control characters are no part of strict JSON, but servers take them.
            text.push(if c.is_control() { ' ' } else { c });
            (in_string, escaped) = (escaped || c != '"', !escaped && c == '\\');
            continue;
        }
        match c {
            '{' | '[' => {
                while tokens.next_if(|next| next.is_whitespace()).is_some() {}
                text.push(c);
                if let Some(end) = tokens.next_if(|next| matches!(next, '}' | ']')) {
                    text.push(end);
                } else {
                    depth += 1;
                    line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            c if c.is_whitespace() || c.is_control() => {}
            c => {
                in_string = c == '"';
                text.push(c);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (at_ms, wanted) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399_999, "2000-02-28 23:59:59"),
            (951_782_400_000, "2000-02-29 00:00:00"),
            (1_795_356_185_123, "2026-11-22 14:03:05"),
            (4_107_542_400_000, "2100-03-01 00:00:00"),
            (-1, "1969-12-31 23:59:59"),
        ] {
            assert_eq!(utc(at_ms), wanted);
        }
        assert_eq!(utc_iso(1_795_356_185_123), "2026-11-22T14:03:05Z");
    }

    #[test]
    fn texts_stay_on_their_line() {
        assert_eq!(plain("a\u{1b}[31m\nb"), "a [31m b");
        assert_eq!((cut("häuser", 6), cut("häuser", 4)), ("häuser".to_owned(), "häu…".to_owned()));
    }

    #[test]
    fn a_document_is_shown_token_by_token() {
        let shown = pretty(r#"{"n":1.10, "s":"a{\",\\","o":{ },"l":[1,{"x":null}]}"#);
        let wanted = "{\n  \"n\": 1.10,\n  \"s\": \"a{\\\",\\\\\",\n  \"o\": {},\n  \"l\": [\n    1,\n    {\n      \"x\": null\n    }\n  ]\n}";
        assert_eq!(shown, wanted);
    }
}
