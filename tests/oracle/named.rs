//! Rows of a table by their names, as the environment gives them: `index,delete` or `index delete`.

/// The names in a text.
pub fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ']).filter(|name| !name.is_empty())
}

/// The rows of these names. `what` is what a row is.
///
/// # Errors
/// When a name is not in the table.
pub fn rows<'a, T>(
    what: &str,
    table: &'static [T],
    name: fn(&T) -> &'static str,
    wanted: impl Iterator<Item = &'a str>,
) -> Result<Vec<&'static T>, String> {
    let found = |wanted: &str| {
        let all = || table.iter().map(name).collect::<Vec<_>>().join(",");
        table.iter().find(|row| name(row) == wanted).ok_or_else(|| format!("there is no {what} [{wanted}]: {}", all()))
    };
    wanted.map(found).collect()
}
