//! Bodies of writes: read whole, within a budget, decompressed, and no larger than allowed.

use std::{fmt::Display, io::Read, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::{
    body::{Body, Incoming},
    header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName},
};
use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::refusal::Refusal;

/// Bytes that writes under way may take together.
#[derive(Clone)]
pub struct Budget {
    kibibytes: Arc<Semaphore>,
    gauge: IntGauge,
}

/// A body with its part of the budget, which is given back when it is dropped.
pub struct Admitted {
    /// Decompressed.
    pub bytes: Bytes,
    hold: Hold,
}

struct Hold {
    budget: Budget,
    permit: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Budget {
    /// A budget of `bytes`.
    #[must_use]
    pub fn new(bytes: u64, gauge: IntGauge) -> Self {
        let kibibytes = usize::try_from(bytes >> 10).unwrap_or(Semaphore::MAX_PERMITS).clamp(1, Semaphore::MAX_PERMITS);
        Self { kibibytes: Arc::new(Semaphore::new(kibibytes)), gauge }
    }

    /// Whether so many bytes are left; others may take them meanwhile.
    #[must_use]
    pub fn has(&self, bytes: u64) -> bool {
        self.kibibytes.available_permits() as u64 >= bytes.div_ceil(1024)
    }

    fn hold(&self) -> Hold {
        Hold { budget: self.clone(), permit: None, bytes: 0 }
    }
}

impl Hold {
    fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let kibibytes = |bytes: usize| bytes.div_ceil(1024);
        let more = kibibytes(self.bytes + bytes) - kibibytes(self.bytes);
        if more > 0 {
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            let permit = self.budget.kibibytes.clone().try_acquire_many_owned(more).map_err(|_| {
                Refusal::overloaded("too many bytes of writes are under way in this gateway (gateway.max_bytes_in_flight); try again later")
            })?;
            match &mut self.permit {
                Some(held) => held.merge(permit),
                held => *held = Some(permit),
            }
        }
        self.bytes += bytes;
        self.budget.gauge.add(i64::try_from(bytes).unwrap_or(0));
        Ok(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.budget.gauge.sub(i64::try_from(self.bytes).unwrap_or(0));
    }
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

/// A client must send some of its body within this.
const FRAME_TIMEOUT: Duration = Duration::from_secs(30);
/// What is set aside for a body before any of it has come.
const FIRST: usize = 64 << 10;

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
    let mut whole = BytesMut::with_capacity(announced.min(FIRST));
    while let Some(frame) = next_frame(body).await? {
        if whole.len() + frame.len() > max {
            return Err(too_large());
        }
        // The budget pays for what came, not for what was announced: who announces and sends nothing takes nothing.
        hold.grow(frame.len())?;
        whole.extend_from_slice(&frame);
    }
    let whole = whole.freeze();
    if whole.is_empty() {
        return Ok(Admitted { bytes: whole, hold });
    }
    check_content_type(headers)?;
    match lower(headers, &CONTENT_ENCODING).as_deref() {
        None | Some("identity" | "") => Ok(Admitted { bytes: whole, hold }),
        Some("gzip" | "x-gzip") => {
            let bytes = gunzip(&whole, max, &mut hold).map_err(|error| error.unwrap_or_else(too_large))?;
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
/// When it is too slow, breaks off, or no budget is left.
pub async fn read_as_it_is<B>(body: &mut B, size: u64, budget: &Budget) -> Result<Admitted, Refusal>
where
    B: Body<Data = Bytes, Error: Display> + Unpin,
{
    let mut hold = budget.hold();
    let mut whole = BytesMut::with_capacity(usize::try_from(size).unwrap_or(FIRST).min(FIRST));
    while let Some(frame) = next_frame(body).await? {
        hold.grow(frame.len())?;
        whole.extend_from_slice(&frame);
    }
    Ok(Admitted { bytes: whole.freeze(), hold })
}

/// The next data of a body, or its end.
async fn next_frame<B>(body: &mut B) -> Result<Option<Bytes>, Refusal>
where
    B: Body<Data = Bytes, Error: Display> + Unpin,
{
    loop {
        let frame = tokio::time::timeout(FRAME_TIMEOUT, body.frame())
            .await
            .map_err(|_| Refusal::request_timeout(format!("nothing of the body came for {FRAME_TIMEOUT:?}")))?;
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Err(Refusal::malformed(format!("the body was not sent whole: {error}"))),
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
pub async fn discard(body: &mut Incoming, max_bytes: u64) {
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

/// Decompresses; `Err(None)` when it is too large.
fn gunzip(compressed: &[u8], max: usize, hold: &mut Hold) -> Result<Bytes, Option<Refusal>> {
    const STEP: usize = 256 << 10;
    let mut decoder = MultiGzDecoder::new(compressed);
    let mut whole = Vec::new();
    loop {
        let before = whole.len();
        hold.grow(STEP).map_err(Some)?;
        let read = decoder
            .by_ref()
            .take(STEP as u64)
            .read_to_end(&mut whole)
            .map_err(|error| Some(Refusal::malformed(format!("the body is no gzip: {error}"))))?;
        if whole.len() > max {
            return Err(None);
        }
        if read < STEP {
            debug_assert_eq!(whole.len(), before + read);
            return Ok(Bytes::from(whole));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use hyper::header::HeaderValue;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_decompresses_to_more_than_allowed_is_refused_early() {
        let budget = Budget::new(4 << 20, IntGauge::new("g", "g").unwrap());
        let zeros = vec![0u8; 3 << 20];
        assert_eq!(gunzip(&gzip(&zeros), 4 << 20, &mut budget.hold()).unwrap().len(), zeros.len());
        assert_eq!(gunzip(&gzip(&zeros), 1 << 20, &mut budget.hold()), Err(None));
        let beyond = gunzip(&gzip(&vec![0u8; 8 << 20]), 64 << 20, &mut budget.hold()).unwrap_err();
        assert_eq!(beyond.unwrap().status, 429);
        assert_eq!(gunzip(b"nothing", 1 << 20, &mut budget.hold()).unwrap_err().unwrap().status, 400);
        assert_eq!(budget.gauge.get(), 0, "all was given back");
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
