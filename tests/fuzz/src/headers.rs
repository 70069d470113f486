//! Headers: what is forwarded has nothing that belongs to a connection, and everything else; and what kind of body a write is.

use hyper::{
    HeaderMap, Request,
    header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue},
};
use understudy_common::cluster::empty;
use understudy_gateway::{
    body::{check_accept, check_content_type},
    forward::{answer_headers, of_read_body, with_headers},
};

/// RFC 9110, 7.6.1, and what belongs to a connection to a proxy.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that the gateway makes itself, or leaves out, in a request whose body it read.
const OWN: [&str; 5] = ["host", "expect", "content-encoding", "accept-encoding", "content-length"];

/// Lines `name: value`.
///
/// # Panics
/// When something does not hold that must.
pub fn check(data: &[u8]) {
    let headers = read(data);
    request(&headers, data.len());
    answer(&headers);
    read_body(&headers, data.len());
    kinds(&headers);
}

fn read(data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(60) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// Names that a `Connection` header has; one that is no text names nothing.
fn named(headers: &HeaderMap) -> Vec<String> {
    let texts = headers.get_all("connection").iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect()
}

fn belongs_to_a_connection(name: &str, named: &[String]) -> bool {
    HOP_BY_HOP.contains(&name) || named.iter().any(|other| other == name)
}

fn request(given: &HeaderMap, length: usize) {
    let request = with_headers(Request::new(empty()), given, length);
    let (sent, named) = (request.headers(), named(given));
    let lengths: Vec<&HeaderValue> = sent.get_all("content-length").iter().collect();
    assert_eq!(lengths, [length.to_string().as_str()], "one length, that of the body");
    for name in sent.keys().filter(|name| *name != "content-length") {
        assert!(!belongs_to_a_connection(name.as_str(), &named), "{name} is sent");
        assert!(!OWN.contains(&name.as_str()), "{name} is sent");
    }
    for name in given.keys() {
        if !belongs_to_a_connection(name.as_str(), &named) && !OWN.contains(&name.as_str()) {
            assert!(sent.get_all(name).iter().eq(given.get_all(name)), "{name} is lost");
        }
    }
}

fn answer(given: &HeaderMap) {
    let (sent, named) = (answer_headers(given.clone()), named(given));
    for name in given.keys() {
        let stays = !belongs_to_a_connection(name.as_str(), &named) && name != "content-length";
        assert_eq!(sent.contains_key(name), stays, "{name}");
        if stays {
            assert!(sent.get_all(name).iter().eq(given.get_all(name)), "{name} is changed");
        }
    }
    assert!(sent.keys().all(|name| given.contains_key(name)), "{sent:?} has more than {given:?}");
}

fn read_body(given: &HeaderMap, length: usize) {
    let mut headers = given.clone();
    of_read_body(&mut headers, length);
    assert!(!headers.contains_key("transfer-encoding") && !headers.contains_key("content-encoding"));
    let lengths: Vec<&HeaderValue> = headers.get_all("content-length").iter().collect();
    assert!(lengths.is_empty() && length == 0 || lengths == [length.to_string().as_str()], "{lengths:?}");
}

fn kinds(given: &HeaderMap) {
    let first =
        |name: HeaderName| given.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).to_lowercase());
    if check_content_type(given).is_ok() {
        let kind = first(CONTENT_TYPE).expect("a write says what it is");
        let essence = kind.split(';').next().unwrap_or_default();
        assert!(essence.contains("json"), "{kind} is taken for JSON");
        assert!(!["cbor", "smile", "yaml"].iter().any(|other| essence.contains(other)), "{kind} is taken for JSON");
    }
    if check_accept(given).is_ok()
        && let Some(accept) = first(ACCEPT).filter(|accept| accept.is_ascii())
    {
        let asks =
            |kind: &str| accept.split(',').any(|one| one.split(';').next().is_some_and(|one| one.contains(kind)));
        assert!(!["cbor", "smile", "yaml"].iter().any(|kind| asks(kind)), "{accept} is answered in JSON");
    }
}
