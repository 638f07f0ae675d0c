//! [`Subject`]: who a client certificate is made out to.
//!
//! Reads the few bytes of DER that matter; knows nothing of trust.

use crate::der::{Der, OBJECT_IDENTIFIER, SEQUENCE, SET};

/// The parts of a certificate's subject that Kubernetes reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// CN: the user's name; the last one, should there be several.
    pub common_name: String,
    /// O: the user's groups.
    pub organizations: Vec<String>,
}

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
        for bytes in
            [&[0x31][..], &[0x31, 5, 0], &[0x30, 0], &[0x31, 2, 0x30, 1], &[0x31, 0x85, 0, 0, 0, 0, 1]]
        {
            assert_eq!(Subject::parse(bytes), None, "{bytes:x?}");
        }
    }
}
