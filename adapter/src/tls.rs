//! The server's side of TLS: its certificate, and client certificates that are asked for but judged later.

use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    server::{
        ClientHello, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};

/// Why there is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be used.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// None could be made.
    #[error("no certificate could be made: {why}")]
    Generate {
        /// What is wrong.
        why: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {why}")]
    Setup {
        /// What is wrong.
        why: String,
    },
}

/// The certificate that is served; replaced while the server runs.
#[derive(Debug)]
pub struct ServingCertificate {
    current: RwLock<Arc<CertifiedKey>>,
}

impl ServingCertificate {
    /// Returns a holder of a certificate.
    pub fn new(certificate: CertifiedKey) -> Self {
        Self { current: RwLock::new(Arc::new(certificate)) }
    }

    /// Serves another certificate from the next connection on.
    pub fn replace(&self, certificate: CertifiedKey) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certificate);
    }
}

impl ServingCertificate {
    /// Returns the certificate that the next connection gets.
    pub fn current(&self) -> Arc<CertifiedKey> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl CertificateError {
    /// Returns the error of an unusable file.
    pub fn file(path: &Path, why: impl Into<String>) -> Self {
        Self::File { path: path.display().to_string(), why: why.into() }
    }
}

/// Reads a certificate chain and its key, each with the file that it came from.
pub fn from_pem(certificate: (&[u8], &Path), key: (&[u8], &Path)) -> Result<CertifiedKey, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(certificate.0)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| CertificateError::file(certificate.1, error.to_string()))?;
    if chain.is_empty() {
        return Err(CertificateError::file(certificate.1, "holds no certificate"));
    }
    let private = PrivateKeyDer::from_pem_slice(key.0)
        .map_err(|error| CertificateError::file(key.1, error.to_string()))?;
    CertifiedKey::from_der(chain, private, &provider()).map_err(|error| {
        CertificateError::file(key.1, format!("cannot be used with {}: {error}", certificate.1.display()))
    })
}

/// A self-signed certificate and its key, PEM.
pub struct SelfSigned {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// Makes a self-signed certificate for these names, for when none is given.
///
/// The aggregation layer must then be told not to verify it (`insecureSkipTLSVerify`).
pub fn self_signed(names: Vec<String>) -> Result<SelfSigned, CertificateError> {
    let made = rcgen::generate_simple_self_signed(names)
        .map_err(|error| CertificateError::Generate { why: error.to_string() })?;
    Ok(SelfSigned { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() })
}

impl SelfSigned {
    /// Returns what can be served.
    pub fn usable(&self) -> Result<CertifiedKey, CertificateError> {
        let made = Path::new("self-signed");
        from_pem((self.certificate.as_bytes(), made), (self.key.as_bytes(), made))
    }
}

/// Returns the settings of the server's side: TLS 1.2 and later or TLS 1.3 only, HTTP/2 unless it is switched off.
pub fn server_config(
    certificate: Arc<ServingCertificate>,
    is_http2: bool,
    only_tls13: bool,
) -> Result<ServerConfig, CertificateError> {
    let provider = Arc::new(provider());
    let versions: &[_] = if only_tls13 { &[&TLS13] } else { &[&TLS12, &TLS13] };
    let verifier = Arc::new(AnyClient { algorithms: provider.signature_verification_algorithms });
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| CertificateError::Setup { why: error.to_string() })?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    if is_http2 {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(config)
}

fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// Accepts any client certificate whose key the client holds; who is believed is decided per request.
///
/// Several authorities may have signed it (the front proxy's, the cluster's), they change while the server runs, and a client
/// without one must still get a proper 401 or 403.
#[derive(Debug)]
struct AnyClient {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// No hints: a client then sends whatever certificate it has.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::{
        ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion, pki_types::ServerName,
    };
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    /// What server and client have agreed on: the HTTP version, that of TLS, and how many certificates the client has shown.
    type Agreed = (String, ProtocolVersion, usize);

    /// A client's side of the story.
    struct Case {
        name: &'static str,
        is_http2: bool,
        only_tls13: bool,
        versions: &'static [&'static SupportedProtocolVersion],
        shows_certificate: bool,
        want: Option<(&'static str, ProtocolVersion, usize)>,
    }

    async fn handshake(case: &Case) -> Result<Agreed, String> {
        let made = self_signed(vec!["localhost".to_owned()]).expect("made");
        let serving = Arc::new(ServingCertificate::new(made.usable().expect("usable")));
        let server = server_config(serving, case.is_http2, case.only_tls13).expect("set up");
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(made.certificate.as_bytes()).expect("PEM"))
            .expect("an authority");
        let client = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(case.versions)
            .expect("versions")
            .with_root_certificates(roots);
        let mut client = if case.shows_certificate {
            let own = self_signed(vec!["nobody".to_owned()]).expect("made").usable().expect("usable");
            client.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(own)))
        } else {
            client.with_no_client_auth()
        };
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (near, far) = tokio::io::duplex(64 * 1024);
        let name = ServerName::try_from("localhost").expect("a name");
        let accepted = TlsAcceptor::from(Arc::new(server)).accept(far);
        let connected = TlsConnector::from(Arc::new(client)).connect(name, near);
        let (accepted, connected) = tokio::join!(accepted, connected);
        connected.map_err(|error| error.to_string())?;
        let accepted = accepted.map_err(|error| error.to_string())?;
        let connection = accepted.get_ref().1;
        let http = connection.alpn_protocol().map(|http| String::from_utf8_lossy(http).into_owned());
        let shown = connection.peer_certificates().unwrap_or_default().len();
        Ok((http.unwrap_or_default(), connection.protocol_version().expect("agreed"), shown))
    }

    #[tokio::test]
    async fn certificates_of_clients_are_asked_for_and_judged_later() {
        const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];
        const OLD: &[&SupportedProtocolVersion] = &[&TLS12];
        let case = Case {
            name: "as kube-apiserver comes",
            is_http2: true,
            only_tls13: false,
            versions: BOTH,
            shows_certificate: true,
            want: Some(("h2", ProtocolVersion::TLSv1_3, 1)),
        };
        for case in [
            Case {
                name: "an old client",
                versions: OLD,
                want: Some(("h2", ProtocolVersion::TLSv1_2, 1)),
                ..case
            },
            Case {
                name: "without a certificate",
                shows_certificate: false,
                want: Some(("h2", ProtocolVersion::TLSv1_3, 0)),
                ..case
            },
            Case {
                name: "without HTTP/2",
                is_http2: false,
                want: Some(("http/1.1", ProtocolVersion::TLSv1_3, 1)),
                ..case
            },
            Case { name: "an old client is refused", only_tls13: true, versions: OLD, want: None, ..case },
            case,
        ] {
            let agreed = handshake(&case).await;
            let want = case.want.map(|(http, version, shown)| (http.to_owned(), version, shown));
            assert_eq!(agreed.as_ref().ok(), want.as_ref(), "{}: {agreed:?}", case.name);
        }
    }

    #[test]
    fn a_certificate_is_made_when_none_is_given() {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = self_signed(names).and_then(|made| made.usable()).expect("made");
        assert_eq!(certificate.cert.len(), 1);
    }
}
