//! [`Document`]: bytes that answer a request, and how they become a response.

use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hash, Hasher},
    io::Write as _,
};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use crate::{reply, request::RequestError};

/// The content type of everything but aggregated discovery and our own metrics.
pub const JSON: &str = "application/json";

/// Longer answers are compressed for who takes that, as kube-apiserver does.
const WORTH_COMPRESSING: usize = 128 * 1024;

/// Bytes to send, and what they are.
pub struct Document {
    /// The bytes.
    pub body: Bytes,
    /// What they are.
    pub content_type: Cow<'static, str>,
    /// Whether the same bytes come again and again, so that a tag of them is worth its while.
    pub is_stable: bool,
}

impl Document {
    /// Returns a JSON document that seldom changes.
    pub fn stable(value: &Value, is_pretty: bool) -> Result<Self, RequestError> {
        Ok(Self { body: write(value, is_pretty)?.into(), content_type: JSON.into(), is_stable: true })
    }

    /// Returns a JSON document that is new each time; `body` is compact.
    pub fn values(body: Bytes, is_pretty: bool) -> Result<Self, RequestError> {
        let body = if is_pretty {
            let value: Value = serde_json::from_slice(&body).map_err(RequestError::internal)?;
            write(&value, true)?.into()
        } else {
            body
        };
        Ok(Self { body, content_type: JSON.into(), is_stable: false })
    }

    /// Returns the response, or 304 when the client has the same bytes already.
    pub fn response(self, asked: &HeaderMap) -> Response {
        let mut response = Response::builder()
            .header(header::CONTENT_TYPE, &*self.content_type)
            .header(header::CACHE_CONTROL, "no-cache, private");
        if self.is_stable {
            let mut hasher = DefaultHasher::new();
            self.body.hash(&mut hasher);
            let tag = format!("\"{:016x}\"", hasher.finish());
            response = response.header(header::ETAG, &tag).header(header::VARY, "Accept");
            if asked.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
                return finish(response.status(StatusCode::NOT_MODIFIED).body(Body::empty()));
            }
        }
        let packed = if takes_gzip(asked) { packed(&self.body) } else { None };
        match packed {
            Some(packed) => finish(
                response
                    .header(header::CONTENT_ENCODING, "gzip")
                    .header(header::VARY, "Accept-Encoding")
                    .body(Body::from(packed)),
            ),
            None => finish(response.body(Body::from(self.body))),
        }
    }
}

fn takes_gzip(asked: &HeaderMap) -> bool {
    let encodings = asked.get(header::ACCEPT_ENCODING).and_then(|encodings| encodings.to_str().ok());
    encodings.into_iter().flat_map(|encodings| encodings.split(',')).any(|encoding| {
        let (name, weight) = encoding.split_once(';').unwrap_or((encoding, ""));
        name.trim().eq_ignore_ascii_case("gzip")
            && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

/// Compresses what is worth it, as fast as can be.
fn packed(body: &[u8]) -> Option<Vec<u8>> {
    if body.len() < WORTH_COMPRESSING {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

/// Returns the response of a failure.
pub fn refusal(error: &RequestError) -> Response {
    let status = StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::builder().status(status).header(header::CONTENT_TYPE, JSON);
    if status == StatusCode::UNAUTHORIZED {
        response = response.header(header::WWW_AUTHENTICATE, "Bearer");
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        response = response.header(header::RETRY_AFTER, "1");
    }
    finish(response.body(Body::from(reply::status(error))))
}

fn write(value: &Value, is_pretty: bool) -> Result<Vec<u8>, RequestError> {
    let written = if is_pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
    written.map_err(RequestError::internal)
}

/// Fails for malformed headers only, and ours are fixed.
fn finish(response: Result<Response, http::Error>) -> Response {
    response.unwrap_or_else(|_| Response::new(Body::empty()))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn long_answers_are_compressed_for_who_takes_that() {
        let long = "metrics ".repeat(20_000);
        for (encodings, text, is_packed) in [
            ("gzip", long.as_str(), true),
            ("deflate, GZIP;q=0.5", &long, true),
            ("gzip;q=0", &long, false),
            ("identity", &long, false),
            ("", &long, false),
            ("gzip", "short", false),
        ] {
            for is_stable in [false, true] {
                let asked =
                    HeaderMap::from_iter([(header::ACCEPT_ENCODING, encodings.parse().expect("a value"))]);
                let body = Bytes::copy_from_slice(text.as_bytes());
                let response = Document { body, content_type: JSON.into(), is_stable }.response(&asked);
                let encoding = response.headers().get(header::CONTENT_ENCODING).cloned();
                assert_eq!(encoding.is_some(), is_packed, "{encodings}: {} bytes", text.len());
                assert_eq!(response.headers().contains_key(header::ETAG), is_stable);
                let sent = response.into_body().collect().await.expect("a body").to_bytes();
                let mut read = String::new();
                if is_packed {
                    assert!(sent.len() < text.len() / 10);
                    GzDecoder::new(&*sent).read_to_string(&mut read).expect("gzip");
                } else {
                    read = String::from_utf8(sent.into()).expect("text");
                }
                assert!(read == text, "{encodings}");
            }
        }
    }
}
