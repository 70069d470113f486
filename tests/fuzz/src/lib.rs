//! What must hold for whatever bytes strangers send: a property for each parser, which a fuzzer tries to break.
//!
//! ```text
//! bytes ─► check(bytes): a panic is a finding
//!   bulk     the grammar of _bulk, and the plan of a bulk
//!   answer   the reader of the primary's answers: nothing is done that the JSON does not say
//!   reply    what is cut out of replies
//!   record   what stands in Kafka
//!   route    methods, paths, queries: what passes is harmless
//!   headers  what is forwarded: nothing that belongs to a connection
//! ```
//!
//! `make fuzz` runs each for a minute; `cargo test -p understudy-fuzz` runs the corpus, where what was found once stays.

pub mod answer;
pub mod bulk;
pub mod headers;
pub mod input;
pub mod record;
pub mod reply;
pub mod route;
pub mod unambiguous;

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Everything that stands in the corpus of a property, and each input with its tail cut off or a byte changed.
    fn corpus(name: &str, check: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut files: Vec<_> =
            std::fs::read_dir(&folder).expect("a corpus").map(|file| file.unwrap().path()).collect();
        files.sort();
        assert!(files.len() > 2, "{}", folder.display());
        for file in files {
            let data = std::fs::read(&file).unwrap();
            check(&data);
            for cut in 0..data.len().min(400) {
                check(&data[..cut]);
                let mut changed = data.clone();
                changed[cut] ^= 1 << (cut % 8);
                check(&changed);
            }
        }
    }

    #[test]
    fn answers() {
        corpus("answer", super::answer::check);
    }

    #[test]
    fn bulks() {
        corpus("bulk", super::bulk::check);
    }

    #[test]
    fn headers() {
        corpus("headers", super::headers::check);
    }

    #[test]
    fn records() {
        corpus("record", super::record::check);
    }

    #[test]
    fn replies() {
        corpus("reply", super::reply::check);
    }

    #[test]
    fn routes() {
        corpus("route", super::route::check);
    }
}
