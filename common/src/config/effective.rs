//! What a configuration counts as: every key that is read, with its default where nothing is said, as TOML.

use std::fmt::Write;

/// Every key that was read, by table, in the order of reading.
#[derive(Debug, Default)]
pub(super) struct Effective {
    tables: Vec<(String, Vec<(String, String)>)>,
}

/// A text as TOML has it, which is as JSON does.
pub(super) fn text(text: &str) -> String {
    // TOML takes no DEL as it is.
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A list of texts.
pub(super) fn texts(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|one| text(one)).collect::<Vec<_>>().join(", "))
}

/// What stands in place of a secret.
pub(super) fn masked() -> String {
    text("***")
}

impl Effective {
    /// Notes a key, its value as TOML has it. `table` is empty for keys outside of tables, and `name[0]` for the first table
    /// of a list.
    pub(super) fn note(&mut self, table: &str, key: &str, toml: String) {
        let place = self.tables.iter().position(|(name, _)| name == table).unwrap_or_else(|| {
            self.tables.push((table.to_owned(), Vec::new()));
            self.tables.len() - 1
        });
        self.tables[place].1.push((key.to_owned(), toml));
    }

    /// A file that says the same, secrets apart.
    pub(super) fn to_toml(&self) -> String {
        let mut text = String::new();
        // What stands outside of tables must come first.
        let (outside, inside): (Vec<_>, Vec<_>) = self.tables.iter().partition(|(table, _)| table.is_empty());
        for (table, keys) in outside.into_iter().chain(inside) {
            if !text.is_empty() {
                text.push('\n');
            }
            match table.split_once('[') {
                _ if table.is_empty() => {}
                Some((list, _)) => {
                    let _ = writeln!(text, "[[{list}]]");
                }
                None => {
                    let _ = writeln!(text, "[{table}]");
                }
            }
            for (key, toml) in keys {
                let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                let key = if key.chars().all(is_bare) { key.clone() } else { self::text(key) };
                let _ = writeln!(text, "{key} = {toml}");
            }
        }
        text
    }
}
