//! When certificates end: `notAfter` (RFC 5280, 4.1.2.5), as a metric.

use std::path::Path;

use prometheus::{GaugeVec, Opts, Registry};

use crate::on_look;

/// Of each file, by the name of its key in the configuration: when what it holds ends, in seconds since 1970. What cannot be
/// told is not there.
pub type Ends = Vec<(&'static str, Option<i64>)>;

/// Sections of the configuration, and what tells the ends of what is used there now.
pub type Sections = Vec<(String, Box<dyn Fn() -> Ends + Send + Sync>)>;

/// A chain holds until the first of its certificates ends.
pub(super) fn earliest(file: &Path) -> Option<i64> {
    of_file(file).into_iter().min()
}

/// Roots are enough until the last of them ends: one that follows another stands beside it.
pub(super) fn latest(file: &Path) -> Option<i64> {
    of_file(file).into_iter().max()
}

fn of_file(file: &Path) -> Vec<i64> {
    let certificates = super::certificates(file).unwrap_or_default();
    certificates.iter().filter_map(|certificate| not_after(certificate)).collect()
}

/// Registers the metric.
///
/// # Errors
/// When two metrics have one name.
pub fn register_ends(registry: &Registry, sections: Sections) -> prometheus::Result<()> {
    let shown = GaugeVec::new(
        Opts::new(
            "understudy_certificate_not_after_seconds",
            "When the certificate that is used now ends, in seconds since 1970, by section and key of the configuration",
        ),
        &["section", "file"],
    )?;
    let set = shown.clone();
    on_look::register(registry, vec![Box::new(shown)], move || {
        for (section, ends) in &sections {
            for (file, end) in ends() {
                match end {
                    Some(end) => set.with_label_values(&[section.as_str(), file]).set(end as f64),
                    // What was never shown cannot be removed, which is as good.
                    None => drop(set.remove_label_values(&[section.as_str(), file])),
                }
            }
        }
    })
}

/// The end of a certificate's validity, in seconds since 1970; `None` for what is no certificate.
fn not_after(certificate: &[u8]) -> Option<i64> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let inside = |wanted: u8, bytes| element(bytes).filter(|(tag, _, _)| *tag == wanted);
    let (_, certificate, _) = inside(SEQUENCE, certificate)?;
    let (_, mut fields, _) = inside(SEQUENCE, certificate)?;
    if let Some((_, _, rest)) = inside(VERSION, fields) {
        fields = rest;
    }
    // Serial number, signature algorithm and issuer.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (_, validity, _) = inside(SEQUENCE, fields)?;
    let (_, _, after) = element(validity)?;
    let (tag, text, _) = element(after)?;
    seconds(tag, std::str::from_utf8(text).ok()?)
}

/// The first element of DER: its tag, what is in it, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(*first);
    if length >= 0x80 {
        let (digits, behind) = rest.split_at_checked(length - 0x80).filter(|(digits, _)| digits.len() <= 4)?;
        length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
        rest = behind;
    }
    let (inside, behind) = rest.split_at_checked(length)?;
    Some((*tag, inside, behind))
}

/// `YYMMDDHHMMSSZ` (UTCTime), and with a year of four digits (GeneralizedTime).
fn seconds(tag: u8, text: &str) -> Option<i64> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = match (tag, digits.len()) {
        (0x17, 12) => {
            let year: i64 = digits[..2].parse().ok()?;
            (if year < 50 { 2_000 + year } else { 1_900 + year }, &digits[2..])
        }
        (0x18, 14) => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let part = |at: usize| rest[at..at + 2].parse::<i64>().ok();
    Some(days(year, part(0)?, part(2)?) * 86_400 + part(4)? * 3_600 + part(6)? * 60 + part(8)?)
}

/// Days since 1970 in the Gregorian calendar, of which years begin in March here.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_read() {
        // By `date -u -d … +%s`. From 2050 on, years have four digits.
        for (year, month, day, seconds) in [
            (2031, 5, 6, 1_935_792_000),
            (2028, 2, 29, 1_835_395_200),
            (2049, 12, 31, 2_524_521_600),
            (2100, 3, 1, 4_107_542_400),
        ] {
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.not_after = date_time_ymd(year, month, day);
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(not_after(certificate.der()), Some(seconds), "{year}");
            for cut in 0..certificate.der().len() {
                assert_eq!(not_after(&certificate.der()[..cut]), None);
            }
        }
        assert_eq!(seconds(0x17, "700101000001Z"), Some(1));
        assert_eq!(seconds(0x17, "7001010000Z"), None);
    }

    #[test]
    fn of_a_chain_the_first_end_counts_and_of_roots_the_last() {
        let folder = super::super::tests::Folder::new("ends");
        let pem = |year| {
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.not_after = date_time_ymd(year, 1, 1);
            params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
        };
        let file = folder.0.join("two.pem");
        std::fs::write(&file, pem(2031) + &pem(2030)).unwrap();
        assert_eq!((earliest(&file), latest(&file)), (Some(1_893_456_000), Some(1_924_992_000)));
        assert_eq!(earliest(&folder.0.join("none.pem")), None);
    }
}
