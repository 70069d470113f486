//! Durations and sizes as people write them.

use std::time::Duration;

/// `"500ms"`, `"2s"`, `"5m"`, `"1h"`, `"7d"`; above zero.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).filter(|millis| *millis > 0).map(Duration::from_millis)
}

/// `1048576`, `"64KiB"`, `"100MiB"`, `"1GiB"`; above zero.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let bytes = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes).filter(|bytes| *bytes > 0)
}

/// A duration as [`duration`] reads it.
pub(super) fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, of_it) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if millis >= of_it && millis.is_multiple_of(of_it) {
            return format!("{}{unit}", millis / of_it);
        }
    }
    format!("{millis}ms")
}

/// A size as [`size`] reads it.
pub(super) fn size_text(bytes: u64) -> String {
    for (unit, of_it) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= of_it && bytes.is_multiple_of(of_it) {
            return format!("{}{unit}", bytes / of_it);
        }
    }
    bytes.to_string()
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..digits].parse().ok()?, text[digits..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes() {
        assert_eq!(duration("1500ms"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("7d"), Some(Duration::from_secs(604_800)));
        assert_eq!(size("32MiB"), Some(33_554_432));
        assert_eq!(size("12"), Some(12));
        for text in ["1500ms", "2s", "90s", "5m", "36h", "7d"] {
            assert_eq!(duration_text(duration(text).unwrap()), text);
        }
        for text in ["1023", "64KiB", "1025KiB", "100MiB", "2GiB"] {
            assert_eq!(size_text(size(text).unwrap()), text);
        }
        for wrong in ["", "2", "0s", "-1s", "2 weeks", "s", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
        for wrong in ["", "0", "1MB", "-1", "1.5MiB", "18446744073709551615GiB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}
