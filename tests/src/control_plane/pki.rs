//! Certificates of a control plane: a cluster CA, a front-proxy CA, and what they sign.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A certificate and its private key, as PEM files.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key (PKCS #8).
    pub key: PathBuf,
}

/// The authorities of one control plane and the folder with all files.
#[derive(Debug)]
pub struct Pki {
    folder: PathBuf,
    cluster: Authority,
    front_proxy: Authority,
}

impl Pki {
    /// Makes both authorities, the front proxy's client certificate and the key that signs service account tokens.
    pub fn create(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let pki = Self {
            cluster: authority("rbga-cluster-ca")?,
            front_proxy: authority("rbga-front-proxy-ca")?,
            folder,
        };
        write(&pki.ca_file(), &pki.cluster.pem())?;
        write(&pki.front_proxy_ca_file(), &pki.front_proxy.pem())?;
        let name = subject("front-proxy-client", None);
        pki.sign("front-proxy-client", &pki.front_proxy, name, &[])?;
        let tokens = KeyPair::generate()?;
        write(&pki.token_key_file(), &tokens.serialize_pem())?;
        write(&pki.token_public_key_file(), &tokens.public_key_pem())?;
        Ok(pki)
    }

    /// Returns the certificate of the cluster CA as PEM.
    pub fn ca(&self) -> String {
        self.cluster.pem()
    }

    /// Returns the file of the cluster CA's certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// Returns the file of the CA that signs kube-apiserver's certificate towards aggregated API servers.
    pub fn front_proxy_ca_file(&self) -> PathBuf {
        self.folder.join("front-proxy-ca.crt")
    }

    /// Returns the files of kube-apiserver's client certificate towards aggregated API servers.
    pub fn front_proxy_client(&self) -> CertificateFiles {
        self.files("front-proxy-client")
    }

    /// Returns the file of the key that signs service account tokens.
    pub fn token_key_file(&self) -> PathBuf {
        self.folder.join("service-account.key")
    }

    /// Returns the file of the public key that service account tokens are checked with.
    pub fn token_public_key_file(&self) -> PathBuf {
        self.folder.join("service-account.pub")
    }

    /// Signs a client certificate of a user, optionally in a group.
    pub fn user(&self, name: &str, group: Option<&str>) -> Result<CertificateFiles> {
        let file = format!("user-{}", name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-"));
        self.sign(&file, &self.cluster, subject(name, group), &[])
    }

    /// Signs a client certificate with the *front-proxy* CA: what only kube-apiserver should have.
    ///
    /// Tests use it to play kube-apiserver, or an impostor with another `name`.
    pub fn front_proxy_user(&self, name: &str) -> Result<CertificateFiles> {
        self.sign(&format!("front-proxy-{name}"), &self.front_proxy, subject(name, None), &[])
    }

    /// Signs a serving certificate for names and addresses.
    pub fn server(&self, file: &str, names: &[&str]) -> Result<CertificateFiles> {
        self.sign(file, &self.cluster, subject(file, None), names)
    }

    fn files(&self, name: &str) -> CertificateFiles {
        CertificateFiles {
            certificate: self.folder.join(format!("{name}.crt")),
            key: self.folder.join(format!("{name}.key")),
        }
    }

    fn sign(
        &self,
        file: &str,
        by: &Authority,
        subject: DistinguishedName,
        names: &[&str],
    ) -> Result<CertificateFiles> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = subject;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, by)?;
        let files = self.files(file);
        write(&files.certificate, &certificate.pem())?;
        write(&files.key, &key.serialize_pem())?;
        Ok(files)
    }
}

fn authority(name: &str) -> Result<Authority> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = subject(name, None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// Kubernetes reads the user from the common name and its group from the organisation.
fn subject(name: &str, group: Option<&str>) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    if let Some(group) = group {
        subject.push(DnType::OrganizationName, group);
    }
    subject
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
