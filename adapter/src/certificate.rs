//! Where the serving certificate comes from: files that are followed, a folder that keeps a made one, or memory.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use rustls::sign::CertifiedKey;

use crate::{
    der,
    telemetry::Telemetry,
    tls::{CertificateError, SelfSigned, ServingCertificate, from_pem, self_signed},
};

/// How often files are looked at. Mounted secrets change minutes after they were written anyway.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The two files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The chain, PEM.
    pub certificate: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
}

/// Where the serving certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Files that somebody else renews.
    Files(Files),
    /// Made by ourselves for these names, and kept in a folder if there is one.
    SelfSigned {
        /// The names.
        names: Vec<String>,
        /// The folder; files in it are used again.
        folder: Option<PathBuf>,
    },
}

/// What was read: bytes that tell a change, and the usable pair.
type Pair = (Vec<u8>, Vec<u8>);

impl Files {
    fn read(&self) -> Result<Pair, CertificateError> {
        let read =
            |path: &Path| fs::read(path).map_err(|error| CertificateError::file(path, error.to_string()));
        Ok((read(&self.certificate)?, read(&self.key)?))
    }

    fn parse(&self, (certificate, key): &Pair) -> Result<CertifiedKey, CertificateError> {
        from_pem((certificate, &self.certificate), (key, &self.key))
    }
}

impl Origin {
    /// Returns the certificate to begin with, and the files to follow from then on.
    pub fn load(&self) -> Result<(CertifiedKey, Option<Files>), CertificateError> {
        match self {
            Self::Files(files) => Ok((files.parse(&files.read()?)?, Some(files.clone()))),
            Self::SelfSigned { names, folder: None } => Ok((self_signed(names.clone())?.usable()?, None)),
            Self::SelfSigned { names, folder: Some(folder) } => {
                let files =
                    Files { certificate: folder.join("apiserver.crt"), key: folder.join("apiserver.key") };
                if let Ok(kept) = files.read().and_then(|pair| files.parse(&pair)) {
                    return Ok((kept, Some(files)));
                }
                let made = self_signed(names.clone())?;
                match keep(&made, folder, &files) {
                    Ok(()) => tracing::info!(folder = %folder.display(), "serving certificate made and kept"),
                    Err(error) => {
                        tracing::warn!(%error, folder = %folder.display(), "serving certificate not kept");
                    }
                }
                Ok((made.usable()?, None))
            }
        }
    }
}

fn keep(made: &SelfSigned, folder: &Path, files: &Files) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(&files.certificate, &made.certificate)?;
    fs::write(&files.key, &made.key)
}

/// Takes over new contents of the files until dropped; unusable ones are logged once and the old certificate stays.
pub async fn follow(files: Files, serving: Arc<ServingCertificate>, telemetry: Telemetry) {
    let mut known = files.read().ok();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let read = files.read().ok();
        if read.is_none() || read == known {
            continue;
        }
        match read.as_ref().map(|pair| files.parse(pair)) {
            Some(Ok(certificate)) => {
                tracing::info!(file = %files.certificate.display(), "serving certificate taken over");
                note_expiry(&certificate, &telemetry);
                serving.replace(certificate);
            }
            // Both files are not written at the same instant; the next look may see a pair that fits.
            Some(Err(error)) => tracing::warn!(%error, "serving certificate kept as it was"),
            None => {}
        }
        known = read;
    }
}

/// Puts a certificate's end into our own metrics.
pub fn note_expiry(certificate: &CertifiedKey, telemetry: &Telemetry) {
    let end = certificate.cert.first().and_then(|first| der::not_after(first));
    telemetry.certificate_expires(end.unwrap_or(Timestamp::UNIX_EPOCH));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("rbg-metrics-adapter-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn a_made_certificate_is_kept_and_used_again() {
        let folder = folder("kept");
        let origin = Origin::SelfSigned { names: vec!["localhost".to_owned()], folder: Some(folder.clone()) };
        let (first, follow) = origin.load().expect("made");
        assert_eq!(follow, None);
        let (second, follow) = origin.load().expect("kept");
        assert_eq!(first.cert, second.cert);
        assert!(follow.is_some());
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn unusable_files_are_named() {
        let missing = PathBuf::from("/nowhere/tls.crt");
        let files = Files { certificate: missing.clone(), key: missing };
        let error = Origin::Files(files).load().expect_err("not there");
        assert!(error.to_string().starts_with("/nowhere/tls.crt: "), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn new_files_are_taken_over_and_bad_ones_are_not() {
        let folder = folder("followed");
        let files = Files { certificate: folder.join("apiserver.crt"), key: folder.join("apiserver.key") };
        let make = || {
            let made = self_signed(vec!["localhost".to_owned()]).expect("made");
            keep(&made, &folder, &files).expect("written");
            made.usable().expect("usable")
        };
        let first = make();
        let serving = Arc::new(ServingCertificate::new(first));
        let following = tokio::spawn(follow(files.clone(), serving.clone(), Telemetry::default()));
        tokio::time::sleep(LOOK_EVERY / 2).await;
        let second = make();
        tokio::time::sleep(LOOK_EVERY).await;
        assert_eq!(serving.current().cert, second.cert, "taken over");
        fs::write(&files.key, "no key").expect("written");
        tokio::time::sleep(LOOK_EVERY).await;
        assert_eq!(serving.current().cert, second.cert, "kept");
        fs::remove_dir_all(&folder).expect("removed");
        tokio::time::sleep(LOOK_EVERY).await;
        assert_eq!(serving.current().cert, second.cert, "kept while the files are away");
        let third = make();
        tokio::time::sleep(LOOK_EVERY).await;
        assert_eq!(serving.current().cert, third.cert, "taken over again");
        following.abort();
        fs::remove_dir_all(folder).expect("removed");
    }
}
