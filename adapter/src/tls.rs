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

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Reads a certificate chain and its key from PEM files.
pub fn from_files(certificate: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
    let file = |path: &Path, why: String| CertificateError::File { path: path.display().to_string(), why };
    let read = |path: &Path| std::fs::read(path).map_err(|error| file(path, error.to_string()));
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| file(certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(file(certificate, "holds no certificate".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| file(key, error.to_string()))?;
    let certified = CertifiedKey::from_der(chain, private, &provider())
        .map_err(|error| file(key, format!("cannot be used with {}: {error}", certificate.display())))?;
    Ok(certified)
}

/// Makes a self-signed certificate for these names, for when none is given.
///
/// The aggregation layer must then be told not to verify it (`insecureSkipTLSVerify`).
pub fn self_signed(names: Vec<String>) -> Result<CertifiedKey, CertificateError> {
    let generate = |why: String| CertificateError::Generate { why };
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| generate(error.to_string()))?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
        .map_err(|error| generate(error.to_owned()))?;
    CertifiedKey::from_der(vec![made.cert.der().clone()], key, &provider())
        .map_err(|error| generate(error.to_string()))
}

/// Returns the settings of the server's side: TLS 1.2 and later, HTTP/2 unless it is switched off.
pub fn server_config(
    certificate: Arc<ServingCertificate>,
    is_http2: bool,
) -> Result<ServerConfig, CertificateError> {
    let provider = Arc::new(provider());
    let verifier = Arc::new(AnyClient { algorithms: provider.signature_verification_algorithms });
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
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
    use super::*;

    #[test]
    fn unusable_files_are_named() {
        let missing = Path::new("/nowhere/tls.crt");
        let error = from_files(missing, missing).expect_err("not there");
        assert!(error.to_string().starts_with("/nowhere/tls.crt: "), "{error}");
    }

    #[test]
    fn a_certificate_is_made_when_none_is_given() {
        let certificate = self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("made");
        assert_eq!(certificate.cert.len(), 1);
        let serving = Arc::new(ServingCertificate::new(certificate));
        let config = server_config(serving, true).expect("set up");
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }
}
