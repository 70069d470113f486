//! Bodies of writes: read whole, within a budget, decompressed, and no larger than allowed.

use std::{fmt::Display, io::Read, time::Duration};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::{
    body::Body,
    header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName},
};

use crate::{
    budget::{Budget, Hold},
    refusal::Refusal,
    request_body::RequestBody,
};

/// A body with its part of the budget, which is given back when it is dropped.
pub struct Admitted {
    /// Decompressed.
    pub bytes: Bytes,
    hold: Hold,
}

impl Admitted {
    /// Takes more of the budget, for a copy that the write makes of its bytes.
    ///
    /// # Errors
    /// When there is none left.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.hold.grow(bytes)
    }
}

/// Refuses replies that are not JSON.
///
/// # Errors
/// 406.
pub fn check_accept(headers: &HeaderMap) -> Result<(), Refusal> {
    let other = |accept: &str| {
        accept.split(',').any(|one| ["yaml", "cbor", "smile"].iter().any(|kind| essence(one).contains(kind)))
    };
    match lower(headers, &ACCEPT) {
        Some(accept) if other(&accept) => Err(Refusal::not_acceptable(format!(
            "a write is answered in JSON only, and [{accept}] asks for something else"
        ))),
        _ => Ok(()),
    }
}

/// Refuses bodies that are not JSON.
///
/// # Errors
/// 415.
pub fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    const JSON: [&str; 5] = [
        "application/json",
        "application/x-ndjson",
        "application/x-json",
        "application/vnd.elasticsearch+json",
        "application/vnd.elasticsearch+x-ndjson",
    ];
    match lower(headers, &CONTENT_TYPE) {
        Some(content_type) if JSON.contains(&essence(&content_type).as_str()) => Ok(()),
        Some(content_type) => Err(Refusal::unsupported_media_type(format!(
            "a write as [{content_type}] cannot be replicated: send application/json or application/x-ndjson"
        ))),
        None => Err(Refusal::unsupported_media_type(
            "a write needs a Content-Type header: application/json or application/x-ndjson",
        )),
    }
}

fn lower(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?").trim().to_ascii_lowercase())
}

fn essence(text: &str) -> String {
    text.split(';').next().unwrap_or_default().trim().to_owned()
}

/// Reads a body, and checks that it is JSON where there is one.
///
/// # Errors
/// When it is too large, too slow, of another kind, no budget is left, or it cannot be decompressed.
pub async fn read<B>(body: &mut B, headers: &HeaderMap, max_bytes: u64, budget: &Budget) -> Result<Admitted, Refusal>
where
    B: Body<Data = Bytes, Error: Display> + Unpin,
{
    let max = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let too_large = || {
        Refusal::too_large(format!(
            "the body is larger than {max_bytes} bytes (gateway.max_body_bytes, after decompression)"
        ))
    };
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > max {
        return Err(too_large());
    }
    if announced > 0 {
        check_content_type(headers)?;
    }
    let mut hold = budget.hold();
    let mut whole = Vec::new();
    while let Some(data) = next_data(body).await? {
        if whole.len() + data.len() > max {
            return Err(too_large());
        }
        make_room(&mut whole, data.len(), announced, &mut hold)?;
        whole.extend_from_slice(&data);
    }
    if whole.len() < announced {
        return Err(Refusal::malformed("the body was not sent whole: it is shorter than its length says"));
    }
    let whole = Bytes::from(whole);
    if whole.is_empty() {
        return Ok(Admitted { bytes: whole, hold });
    }
    check_content_type(headers)?;
    match lower(headers, &CONTENT_ENCODING).as_deref() {
        None | Some("identity" | "") => Ok(Admitted { bytes: whole, hold }),
        Some("gzip" | "x-gzip") => {
            let bytes = gunzip(&whole, max, &mut hold).await.map_err(|error| error.unwrap_or_else(too_large))?;
            hold.shrink(whole.len());
            Ok(Admitted { bytes, hold })
        }
        Some(other) => Err(Refusal::unsupported_media_type(format!(
            "a write compressed as [{other}] cannot be read here: use gzip"
        ))),
    }
}

/// Reads a body of `size` bytes, whatever it is.
///
/// # Errors
/// When it breaks off, or no budget is left.
pub async fn read_as_it_is<B>(body: &mut B, size: u64, budget: &Budget) -> Result<Admitted, Refusal>
where
    B: Body<Data = Bytes, Error: Display> + Unpin,
{
    let announced = usize::try_from(size).unwrap_or(usize::MAX);
    let (mut whole, mut hold) = (Vec::new(), budget.hold());
    while let Some(data) = next_data(body).await? {
        make_room(&mut whole, data.len(), announced, &mut hold)?;
        whole.extend_from_slice(&data);
    }
    Ok(Admitted { bytes: Bytes::from(whole), hold })
}

/// Makes room for more of a body. The budget pays for all that is taken, and only when something has come: who announces
/// and sends nothing takes nothing.
fn make_room(whole: &mut Vec<u8>, more: usize, announced: usize, hold: &mut Hold) -> Result<(), Refusal> {
    let needed = whole.len() + more;
    if needed > whole.capacity() {
        let doubled = 2 * whole.capacity();
        let capacity = if announced > 0 { doubled.min(announced) } else { doubled }.max(needed);
        hold.grow(capacity - whole.capacity())?;
        whole.reserve_exact(capacity - whole.len());
    }
    Ok(())
}

/// The next data of a body, or its end.
async fn next_data<B>(body: &mut B) -> Result<Option<Bytes>, Refusal>
where
    B: Body<Data = Bytes, Error: Display> + Unpin,
{
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(Refusal::malformed(format!("the body was not sent whole: {error}"))),
            // Trailers say nothing.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Reads what a client still sends of a body that is not wanted, for a while: many clients read no answer before they have
/// sent everything, and take a connection that closes for an unknown outcome.
pub async fn discard(body: &mut RequestBody, max_bytes: u64) {
    const PATIENCE: Duration = Duration::from_secs(5);
    let drain = async {
        let mut left = max_bytes;
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(bytes) {
                Some(less) => left = less,
                None => return,
            }
        }
    };
    // Who sends for longer is cut off.
    let _ = tokio::time::timeout(PATIENCE, drain).await;
}

/// Decompresses; `Err(None)` when it is too large. Others get their turn in between.
async fn gunzip(compressed: &[u8], max: usize, hold: &mut Hold) -> Result<Bytes, Option<Refusal>> {
    const STEP: usize = 256 << 10;
    let mut decoder = MultiGzDecoder::new(compressed);
    let mut whole = Vec::new();
    loop {
        let begun = whole.len();
        make_room(&mut whole, STEP, 0, hold).map_err(Some)?;
        whole.resize(begun + STEP, 0);
        let mut filled = begun;
        while filled < whole.len() {
            let read = decoder.read(&mut whole[filled..]);
            let read = read.map_err(|error| Some(Refusal::malformed(format!("the body is no gzip: {error}"))))?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        let ended = filled < whole.len();
        whole.truncate(filled);
        if whole.len() > max {
            return Err(None);
        }
        if ended {
            return Ok(Bytes::from(whole));
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use hyper::header::HeaderValue;
    use prometheus::IntGauge;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn what_decompresses_to_more_than_allowed_is_refused_early() {
        let gauge = IntGauge::new("g", "g").unwrap();
        let budget = Budget::new(8 << 20, gauge.clone());
        let zeros = vec![0u8; 3 << 20];
        let gunzip = async |bytes: &[u8], max: usize| super::gunzip(bytes, max, &mut budget.hold()).await;
        assert_eq!(gunzip(&gzip(&zeros), 4 << 20).await.unwrap(), zeros);
        assert_eq!(gunzip(&gzip(&zeros), 1 << 20).await, Err(None));
        let beyond = gunzip(&gzip(&vec![0u8; 12 << 20]), 64 << 20).await.unwrap_err();
        assert_eq!(beyond.unwrap().status, 413);
        assert_eq!(gunzip(b"nothing", 1 << 20).await.unwrap_err().unwrap().status, 400);
        assert_eq!(gauge.get(), 0, "all was given back");
    }

    #[test]
    fn all_that_a_body_takes_is_paid() {
        let gauge = IntGauge::new("g", "g").unwrap();
        let budget = Budget::new(1 << 20, gauge.clone());
        for announced in [0, 300_000] {
            let (mut whole, mut hold) = (Vec::new(), budget.hold());
            for _ in 0..30 {
                make_room(&mut whole, 10_000, announced, &mut hold).unwrap();
                whole.extend_from_slice(&[0; 10_000]);
                assert_eq!(gauge.get(), whole.capacity() as i64);
            }
            assert!(announced == 0 || whole.capacity() == announced, "no more than was announced");
        }
        let mut whole = Vec::new();
        assert_eq!(make_room(&mut whole, 2 << 20, 0, &mut budget.hold()).unwrap_err().status, 413);
        assert_eq!((whole.capacity(), gauge.get()), (0, 0));
    }

    #[test]
    fn media_types() {
        let headers = |content: Option<&'static str>, accept: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            content.map(|value| headers.insert(CONTENT_TYPE, HeaderValue::from_static(value)));
            accept.map(|value| headers.insert(ACCEPT, HeaderValue::from_static(value)));
            headers
        };
        for (content, accept, status) in [
            (Some("application/json"), None, 200),
            (Some("Application/X-NDJSON; charset=UTF-8"), Some("*/*"), 200),
            (
                Some("application/vnd.elasticsearch+json; compatible-with=8"),
                Some("application/vnd.elasticsearch+json"),
                200,
            ),
            (Some("application/smile"), None, 415),
            (Some("application/yaml"), None, 415),
            (Some("application/vnd.elasticsearch+cbor"), None, 415),
            (Some("text/plain"), None, 415),
            (None, None, 415),
            (Some("application/json"), Some("application/yaml"), 406),
            (Some("application/json"), Some("application/json, application/cbor;q=0.5"), 406),
        ] {
            let headers = headers(content, accept);
            let checked = check_accept(&headers).and_then(|()| check_content_type(&headers));
            assert_eq!(
                checked.map_or_else(|refusal| refusal.status.as_u16(), |()| 200),
                status,
                "{content:?} {accept:?}"
            );
        }
    }
}
