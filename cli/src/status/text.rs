//! Times for a person. Pure.

/// `0.4 s`, `52 s`, `12 min`, `5.2 h`, `3.4 d`.
pub fn span(seconds: f64) -> String {
    match seconds {
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 119.5 => format!("{s:.0} s"),
        s if s < 7_170.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} d", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (seconds, text) in [
            (0.0, "0.0 s"),
            (0.44, "0.4 s"),
            (9.97, "10 s"),
            (119.0, "119 s"),
            (120.0, "2 min"),
            (7_200.0, "2.0 h"),
            (604_800.0, "7.0 d"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
