//! [`Target`]: a request's path and query, percent-decoded part by part.

use crate::{request::RequestError, selector::Selector};

/// The decoded segments of a path and the pairs of its query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    segments: Vec<String>,
    query: Vec<(String, String)>,
}

impl Target {
    /// Cuts a path with its query into parts and decodes each; a trailing slash is ignored.
    ///
    /// Errors: 400 when an escape is malformed or does not decode to UTF-8.
    pub fn parse(path_and_query: &str) -> Result<Self, RequestError> {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let path = path.trim_matches('/');
        let segments = if path.is_empty() {
            Vec::new()
        } else {
            path.split('/').map(|segment| decode(segment, false)).collect::<Result<_, _>>()?
        };
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(key, true)?, decode(value, true)?));
        }
        Ok(Self { segments, query: pairs })
    }

    /// Returns the path's segments.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// Returns the first value of a query parameter.
    pub fn first(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Returns all values of a query parameter.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Returns the selector in a query parameter; everything when it is absent or empty.
    pub fn selector(&self, key: &str) -> Result<Selector, RequestError> {
        Ok(Selector::parse(self.first(key).unwrap_or(""))?)
    }

    /// Returns the object name that `fieldSelector` demands, if there is a field selector.
    ///
    /// Errors: 400 for any other field, since these APIs hold no objects to look into.
    pub fn field_name(&self) -> Result<Option<&str>, RequestError> {
        let text = self.first("fieldSelector").unwrap_or("").trim();
        if text.is_empty() {
            return Ok(None);
        }
        let refused = || {
            RequestError::bad_request(format!("fieldSelector {text:?} is not of the form metadata.name=NAME"))
        };
        let (field, name) = text.split_once('=').ok_or_else(refused)?;
        let name = name.strip_prefix('=').unwrap_or(name);
        if field != "metadata.name" || name.contains([',', '=']) {
            return Err(refused());
        }
        Ok(Some(name))
    }
}

/// Decodes percent escapes, and `+` as a space in a form.
pub(crate) fn decode(text: &str, form: bool) -> Result<String, RequestError> {
    let refused = || RequestError::bad_request(format!("malformed percent-encoding in {text:?}"));
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next().ok_or_else(refused)?, bytes.next().ok_or_else(refused)?];
                hexadecimal(digits).ok_or_else(refused)?
            }
            b'+' if form => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).map_err(|_| refused())
}

fn hexadecimal(digits: [u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? * 16 + low?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_part_by_part() {
        let target = Target::parse("/a%2Fb/c+d/%2A?x=1+2&y=%3D%26&x=3&z").expect("parses");
        assert_eq!(target.segments(), ["a/b", "c+d", "*"]);
        assert_eq!(target.first("x"), Some("1 2"));
        assert_eq!(target.first("y"), Some("=&"));
        assert_eq!(target.first("z"), Some(""));
        assert_eq!(target.first("w"), None);
    }

    #[test]
    fn malformed_escapes_are_refused() {
        for text in ["/%", "/%a", "/%g0", "/%80", "/a?x=%", "/%+1"] {
            assert_eq!(Target::parse(text).expect_err(text).code, 400, "{text}");
        }
    }

    #[test]
    fn a_field_selector_names_one_object() {
        for (text, want) in [
            ("", Ok(None)),
            ("metadata.name%3Dx", Ok(Some("x"))),
            ("metadata.name%3D%3Dx", Ok(Some("x"))),
            ("metadata.name!%3Dx", Err(400)),
            ("metadata.name%3Dx,a%3Db", Err(400)),
            ("status.phase%3DRunning", Err(400)),
        ] {
            let target = Target::parse(&format!("/a?fieldSelector={text}")).expect("parses");
            assert_eq!(target.field_name().map_err(|error| error.code), want, "{text}");
        }
    }
}
