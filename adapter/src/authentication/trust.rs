//! [`Trust`]: which certificates speak for whom, as the ConfigMap `extension-apiserver-authentication` says.

use std::{collections::BTreeMap, fmt};

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime, pem::PemObject};

use crate::authentication::subject::Subject;

/// What a server behind the aggregation layer trusts; replaced as a whole when the ConfigMap changes.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The front proxy: kube-apiserver, which tells the user in headers.
    pub front_proxy: Option<FrontProxy>,
    /// Certificates that speak for their own subject.
    pub client_ca: Option<Bundle>,
}

/// The front proxy's certificates and the headers in which it tells the user.
#[derive(Clone, Debug)]
pub struct FrontProxy {
    /// Who signs its certificates.
    pub ca: Bundle,
    /// The common names it may have; empty for any.
    pub allowed_names: Vec<String>,
    /// Headers that hold the user's name; the first that is not empty counts.
    pub username_headers: Vec<String>,
    /// Headers that hold the user's unique id.
    pub uid_headers: Vec<String>,
    /// Headers whose values are groups.
    pub group_headers: Vec<String>,
    /// Beginnings of headers that hold extra attributes.
    pub extra_prefixes: Vec<String>,
}

/// Certificate authorities.
#[derive(Clone)]
pub struct Bundle {
    anchors: Vec<TrustAnchor<'static>>,
}

/// Why the ConfigMap cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} of the ConfigMap kube-system/extension-apiserver-authentication {why}")]
pub struct TrustError {
    key: &'static str,
    why: String,
}

impl Trust {
    /// Reads the data of the ConfigMap; what is not in it is not trusted.
    pub fn from_config_map(data: &BTreeMap<String, String>) -> Result<Self, TrustError> {
        let bundle = |key: &'static str| {
            data.get(key).map(|pem| Bundle::from_pem(pem).map_err(|why| TrustError { key, why })).transpose()
        };
        let list = |key: &'static str| match data
            .get(key)
            .map(|text| serde_json::from_str::<Vec<String>>(text))
        {
            None => Ok(Vec::new()),
            Some(Ok(list)) => Ok(list),
            Some(Err(error)) => Err(TrustError { key, why: format!("is no JSON array of strings: {error}") }),
        };
        let front_proxy = match bundle("requestheader-client-ca-file")? {
            None => None,
            Some(ca) => Some(FrontProxy {
                ca,
                allowed_names: list("requestheader-allowed-names")?,
                username_headers: list("requestheader-username-headers")?,
                uid_headers: list("requestheader-uid-headers")?,
                group_headers: list("requestheader-group-headers")?,
                extra_prefixes: list("requestheader-extra-headers-prefix")?,
            }),
        };
        Ok(Self { front_proxy, client_ca: bundle("client-ca-file")? })
    }
}

impl Bundle {
    /// Reads PEM with at least one certificate in it.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let mut anchors = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| format!("is no PEM: {error}"))?;
            let anchor = webpki::anchor_from_trusted_cert(&certificate)
                .map_err(|error| format!("holds a certificate that cannot be read: {error}"))?;
            anchors.push(anchor.to_owned());
        }
        if anchors.is_empty() { Err("holds no certificate".to_owned()) } else { Ok(Self { anchors }) }
    }

    /// Returns the subject of a client certificate that one of the authorities signed and that is valid at `now`.
    ///
    /// Errors: the reason in words.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<Subject, String> {
        let Some((certificate, intermediates)) = chain.split_first() else {
            return Err("no client certificate".to_owned());
        };
        let certificate =
            webpki::EndEntityCert::try_from(certificate).map_err(|error| format!("unreadable: {error}"))?;
        certificate
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &self.anchors,
                intermediates,
                now,
                webpki::KeyUsage::client_auth(),
                None,
                None,
            )
            .map_err(|error| error.to_string())?;
        Subject::parse(certificate.subject()).ok_or_else(|| "its subject is unreadable".to_owned())
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bundle({} certificates)", self.anchors.len())
    }
}
