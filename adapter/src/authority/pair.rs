//! [`Pair`]: a serving certificate with the authority that signed it, as a Secret holds them.

use std::{collections::BTreeMap, path::Path, time::Duration};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, DnsName, ServerName, pem::PemObject};

use crate::{
    der,
    tls::{CertificateError, from_pem},
};

/// How long a certificate and its authority are valid.
pub const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// A certificate with less than this left is renewed.
pub const RENEWED_BEFORE: Duration = Duration::from_secs(120 * 24 * 3600);
/// Clocks of other machines may be behind by this much.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(3600);

const BUNDLE: &str = "ca.crt";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// A serving certificate with the authority that signed it.
///
/// The authority's key is thrown away once it has signed: the next certificate gets an authority of its own, and the bundle
/// holds both until the old one expires. So whoever still serves the old one is believed, too.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The authorities that clients are to believe, newest first; PEM.
    pub bundle: String,
    /// The serving certificate, PEM.
    pub certificate: String,
    key: String,
}

impl Pair {
    /// Makes a pair for these names; `previous` bundles stay believed as long as they are valid.
    pub fn make(names: &[String], now: Timestamp, previous: &[&str]) -> Result<Self, CertificateError> {
        let refuse = |error: rcgen::Error| CertificateError::Generate { why: error.to_string() };
        let authority = authority(now).map_err(refuse)?;
        let mut params = CertificateParams::new(names.to_vec()).map_err(refuse)?;
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, names.first().map_or("rbg-metrics-adapter", String::as_str));
        params.distinguished_name = subject;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        valid_from(&mut params, now);
        let key = KeyPair::generate().map_err(refuse)?;
        let certificate = params.signed_by(&key, &authority).map_err(refuse)?;
        let mut bundle = vec![authority.pem()];
        for known in previous.iter().flat_map(|bundle| valid_in(bundle, now)) {
            if !bundle.contains(&known) {
                bundle.push(known);
            }
        }
        Ok(Self { bundle: bundle.concat(), certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Reads what a Secret holds; `None` when it is not a whole pair.
    pub fn read(data: &BTreeMap<String, ByteString>) -> Option<Self> {
        let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
        let pair = Self { bundle: text(BUNDLE)?, certificate: text(CERTIFICATE)?, key: text(KEY)? };
        pair.usable().is_ok().then_some(pair)
    }

    /// Returns what the Secret is to hold.
    pub fn data(&self) -> BTreeMap<String, ByteString> {
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        BTreeMap::from([
            (BUNDLE.to_owned(), bytes(&self.bundle)),
            (CERTIFICATE.to_owned(), bytes(&self.certificate)),
            (KEY.to_owned(), bytes(&self.key)),
        ])
    }

    /// Returns what can be served.
    pub fn usable(&self) -> Result<CertifiedKey, CertificateError> {
        let (certificate, key) = (Path::new(CERTIFICATE), Path::new(KEY));
        from_pem((self.certificate.as_bytes(), certificate), (self.key.as_bytes(), key))
    }

    /// Says whether it must be renewed: it ends soon, is for other names, or none of its authorities is valid.
    pub fn is_due(&self, names: &[String], now: Timestamp) -> bool {
        let Ok(certificate) = CertificateDer::from_pem_slice(self.certificate.as_bytes()) else {
            return true;
        };
        let ends = der::not_after(&certificate);
        let lasts = ends.is_some_and(|ends| {
            Duration::try_from(ends.duration_since(now)).is_ok_and(|left| left > RENEWED_BEFORE)
        });
        !lasts || !is_for(&certificate, names) || valid_in(&self.bundle, now).is_empty()
    }
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// An authority that signs one certificate. Its name says when it was made, because two of them are believed at a time.
fn authority(now: Timestamp) -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, format!("rbg-metrics-adapter-{}", now.as_second()));
    params.distinguished_name = subject;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_from(&mut params, now);
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn valid_from(params: &mut CertificateParams, now: Timestamp) {
    let since_epoch = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default());
    let now = date_time_ymd(1970, 1, 1) + since_epoch;
    params.not_before = now - CLOCKS_DIFFER_BY;
    params.not_after = now + LIFETIME;
}

/// The certificates of a bundle that have not expired, PEM each.
fn valid_in(bundle: &str, now: Timestamp) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let mut valid = Vec::new();
    for block in bundle.split_inclusive(END) {
        let Some(start) = block.find("-----BEGIN CERTIFICATE-----") else { continue };
        let pem = &block[start..];
        let parsed = CertificateDer::from_pem_slice(pem.as_bytes());
        if parsed.is_ok_and(|found| der::not_after(&found).is_some_and(|ends| ends > now)) {
            valid.push(format!("{pem}\n"));
        }
    }
    valid
}

fn is_for(certificate: &CertificateDer<'_>, names: &[String]) -> bool {
    let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else { return false };
    names.iter().all(|name| {
        DnsName::try_from(name.as_str())
            .is_ok_and(|name| parsed.verify_is_valid_for_subject_name(&ServerName::DnsName(name)).is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["adapter.ns.svc".to_owned(), "adapter.ns".to_owned()].to_vec()
    }

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + days * 24 * 3600).expect("in range")
    }

    #[test]
    fn a_pair_survives_its_secret_and_is_renewed_in_time() {
        struct Case {
            name: &'static str,
            names: Vec<String>,
            day: i64,
            want: bool,
        }
        let pair = Pair::make(&names(), at(0), &[]).expect("made");
        assert_eq!(Pair::read(&pair.data()).as_ref(), Some(&pair));
        let other = vec!["other.ns.svc".to_owned()];
        let cases = [
            Case { name: "new", names: names(), day: 0, want: false },
            Case { name: "still long", names: names(), day: 240, want: false },
            Case { name: "a third is left", names: names(), day: 246, want: true },
            Case { name: "over", names: names(), day: 400, want: true },
            Case { name: "another name", names: other, day: 0, want: true },
        ];
        for Case { name, names, day, want } in cases {
            assert_eq!(pair.is_due(&names, at(day)), want, "{name}");
        }
    }

    #[test]
    fn what_is_no_pair_is_not_read() {
        let pair = Pair::make(&names(), at(0), &[]).expect("made");
        let other = Pair::make(&names(), at(0), &[]).expect("made");
        assert_eq!(Pair::read(&BTreeMap::new()), None, "empty");
        let mut data = pair.data();
        data.extend(other.data().into_iter().filter(|(key, _)| key == KEY));
        assert_eq!(Pair::read(&data), None, "the key of another certificate");
    }

    #[test]
    fn old_authorities_are_believed_until_they_expire() {
        let count = |pair: &Pair| pair.bundle.matches("BEGIN").count();
        let first = Pair::make(&names(), at(0), &[]).expect("made");
        let second = Pair::make(&names(), at(250), &[&first.bundle, &first.bundle]).expect("made");
        assert_eq!((count(&first), count(&second)), (1, 2));
        assert!(second.bundle.ends_with(&first.bundle), "newest first");
        let third = Pair::make(&names(), at(500), &[&second.bundle]).expect("made");
        assert_eq!(count(&third), 2, "the first has expired");
    }
}
