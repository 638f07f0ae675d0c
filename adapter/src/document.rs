//! [`Document`]: bytes that answer a request, and how they become a response.

use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hash, Hasher},
};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use crate::{reply, request::RequestError};

/// The content type of everything but aggregated discovery and our own metrics.
pub const JSON: &str = "application/json";

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
        finish(response.body(Body::from(self.body)))
    }
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
