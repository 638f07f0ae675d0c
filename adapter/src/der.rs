//! [`Der`]: reads the few parts of certificates that nobody else reads for us.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Elements, one after another.
pub(crate) struct Der<'a>(pub(crate) &'a [u8]);

impl<'a> Der<'a> {
    /// Says whether all elements were taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes one element of a kind off; `None` when it is another, malformed or missing.
    pub(crate) fn element_of(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.element().and_then(|(tag, content)| (tag == wanted).then_some(content))
    }

    /// Takes one element off; `None` when malformed or at the end.
    pub(crate) fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], mut rest) = self.0.split_first_chunk()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            // Three length bytes are plenty for a certificate.
            let count = usize::from(first & 0x7f);
            if !(1..=3).contains(&count) {
                return None;
            }
            let (bytes, after) = rest.split_at_checked(count)?;
            length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            rest = after;
        }
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}

/// Returns when a certificate expires; `None` when it is malformed.
pub fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let mut certificate = Der(Der(certificate).element_of(SEQUENCE)?);
    let mut body = Der(certificate.element_of(SEQUENCE)?);
    // Version (which is tagged and optional), serial number, algorithm, issuer, validity.
    let (tag, _) = body.element()?;
    let before_validity = if tag == 0xa0 { 3 } else { 2 };
    for _ in 0..before_validity {
        body.element()?;
    }
    let mut validity = Der(body.element_of(SEQUENCE)?);
    validity.element()?;
    let (tag, text) = validity.element()?;
    let text = str::from_utf8(text).ok()?;
    let text = match tag {
        // Two digits of a year are of 1950 to 2049.
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%SZ", &text).ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn reads_the_end_of_a_certificate() {
        for (year, want) in [(2031, "2031-05-17T00:00:00Z"), (2055, "2055-05-17T00:00:00Z")] {
            let mut params = CertificateParams::default();
            params.not_after = date_time_ymd(year, 5, 17);
            let key = KeyPair::generate().expect("a key");
            let certificate = params.self_signed(&key).expect("a certificate");
            assert_eq!(not_after(certificate.der()).map(|at| at.to_string()).as_deref(), Some(want));
        }
    }

    #[test]
    fn malformed_bytes_have_no_end() {
        for bytes in [&[][..], &[0x30], &[0x30, 0x80], &[0x30, 0x02, 0x30, 0x00], &[0xff; 64]] {
            assert_eq!(not_after(bytes), None, "{bytes:x?}");
        }
    }
}
