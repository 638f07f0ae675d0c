//! [`Subject`]: who a client certificate is made out to.
//!
//! Reads the few bytes of DER that matter; knows nothing of trust.

/// The parts of a certificate's subject that Kubernetes reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// CN: the user's name; the last one, should there be several.
    pub common_name: String,
    /// O: the user's groups.
    pub organizations: Vec<String>,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.4.10
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

impl Subject {
    /// Reads the content of a subject's `Name`, without its outer header; `None` for malformed DER.
    pub fn parse(name: &[u8]) -> Option<Self> {
        let mut subject = Self::default();
        let mut names = Der(name);
        while !names.is_empty() {
            let mut attributes = Der(names.element_of(SET)?);
            while !attributes.is_empty() {
                let mut fields = Der(attributes.element_of(SEQUENCE)?);
                let kind = fields.element_of(OBJECT_IDENTIFIER)?;
                let (tag, value) = fields.element()?;
                match kind {
                    COMMON_NAME => subject.common_name = text(tag, value)?,
                    ORGANIZATION => subject.organizations.push(text(tag, value)?),
                    _ => {}
                }
            }
        }
        Some(subject)
    }
}

/// A string in one of the encodings that certificates use.
fn text(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        // UTF8String, PrintableString, IA5String; ASCII is UTF-8.
        0x0c | 0x13 | 0x16 => String::from_utf8(value.to_vec()).ok(),
        // TeletexString is read as Latin-1.
        0x14 => Some(value.iter().map(|byte| char::from(*byte)).collect()),
        // BMPString
        0x1e => {
            let units = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        _ => None,
    }
}

struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn element_of(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.element().and_then(|(tag, content)| (tag == wanted).then_some(content))
    }

    /// Takes one element off; `None` when malformed or at the end.
    fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], mut rest) = self.0.split_first_chunk()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            // Two length bytes are plenty for a name.
            let count = usize::from(first & 0x7f);
            if !(1..=2).contains(&count) {
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

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    use super::*;

    #[test]
    fn reads_name_and_groups_of_a_certificate() {
        let mut params = CertificateParams::default();
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CountryName, "DE");
        params
            .distinguished_name
            .push(DnType::OrganizationName, DnValue::Utf8String("system:masters".to_owned()));
        params.distinguished_name.push(DnType::CommonName, "admin-ü");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let parsed = webpki::EndEntityCert::try_from(certificate.der()).expect("parses");
        let subject = Subject::parse(parsed.subject()).expect("well-formed");
        assert_eq!(subject.common_name, "admin-ü");
        assert_eq!(subject.organizations, ["system:masters"]);
    }

    #[test]
    fn malformed_bytes_are_refused() {
        assert_eq!(Subject::parse(&[]), Some(Subject::default()));
        for bytes in [&[0x31][..], &[0x31, 5, 0], &[0x30, 0], &[0x31, 2, 0x30, 1], &[0x31, 0x84, 0, 0, 0, 1]]
        {
            assert_eq!(Subject::parse(bytes), None, "{bytes:x?}");
        }
    }
}
