use std::{ffi::OsString, sync::Arc};

use jiff::Timestamp;
use rbg_autoscaler::metrics::{SourceError, prometheus::PrometheusClient};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::options::Options;

fn settings_of(arguments: &[&str]) -> Result<Settings, UpstreamError> {
    settings_for("http://p:9090", arguments)
}

fn settings_for(url: &str, arguments: &[&str]) -> Result<Settings, UpstreamError> {
    let arguments = ["adapter"].iter().chain(arguments).map(OsString::from);
    let (options, _) = Options::parse_foreign(arguments).unwrap_or_else(|error| panic!("{error}"));
    settings(url, &options.prometheus, Duration::from_secs(10))
}

#[test]
fn headers_and_method() {
    let settings =
        settings_of(&["--prometheus-header=a=b=c", "--prometheus-header", "d: e", "--prometheus-verb=POST"]);
    let settings = settings.unwrap_or_else(|error| panic!("{error}"));
    let headers: Vec<_> =
        settings.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(headers, [("a", "b=c"), ("d", "e")]);
    assert!(settings.post);
    assert!(settings_of(&["--prometheus-header=nothing"]).is_err());
    assert!(settings_of(&["--prometheus-ca-file=/nowhere"]).is_err());
}

#[test]
fn credentials_of_a_kubeconfig() {
    let file = std::env::temp_dir().join(format!("rbg-metrics-adapter-kubeconfig-{}", std::process::id()));
    let text = "
        current-context: here
        contexts: [{name: here, context: {cluster: c, user: u}}]
        clusters: [{name: c, cluster: {server: 'https://x', insecure-skip-tls-verify: true}}]
        users: [{name: other, user: {}}, {name: u, user: {token: t0ken}}]
    ";
    fs::write(&file, text).expect("written");
    let given = format!("--prometheus-auth-config={}", file.display());
    let settings = settings_of(&[&given]).unwrap_or_else(|error| panic!("{error}"));
    assert!(settings.insecure);
    assert!(matches!(&settings.token, Some(Token::Fixed(token)) if token == "t0ken"));
    fs::write(&file, "current-context: there").expect("written");
    let error = settings_of(&[&given]).err().expect("refused");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(cause.contains("there is no context \"there\""), "{cause}");
    fs::remove_file(file).expect("removed");
}

/// A Prometheus behind TLS that lets only those in who have a certificate of its authority; hands the heads of requests on.
struct Guarded {
    url: String,
    folder: tempfile::TempDir,
    heads: mpsc::UnboundedReceiver<String>,
}

impl Guarded {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "monitoring");
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("made");
        let signed = |names: Vec<String>, usage| {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new(names).expect("names");
            params.extended_key_usages = vec![usage];
            (params.signed_by(&key, &authority).expect("signed"), key)
        };
        let (certificate, key) = signed(vec!["localhost".to_owned()], ExtendedKeyUsagePurpose::ServerAuth);
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).expect("an authority");
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("a verifier");
        let private = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("a key");
        let config = ServerConfig::builder().with_client_cert_verifier(verifier);
        let config = config.with_single_cert(vec![certificate.der().clone()], private).expect("a pair");

        let folder = tempfile::tempdir().expect("a folder");
        let (certificate, key) = signed(Vec::new(), ExtendedKeyUsagePurpose::ClientAuth);
        for (name, text) in [
            ("ca.pem", authority.pem()),
            ("client.pem", certificate.pem()),
            ("client-key.pem", key.serialize_pem()),
            ("token", "one\n".to_owned()),
        ] {
            fs::write(folder.path().join(name), text).expect("written");
        }

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
        let (sender, heads) = mpsc::unbounded_channel();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n")
                    && stream.read_buf(&mut head).await.is_ok_and(|read| read > 0)
                {}
                let _ = sender.send(String::from_utf8_lossy(&head).into_owned());
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { url, folder, heads }
    }

    fn flag(&self, flag: &str, file: &str) -> String {
        format!("--prometheus-{flag}={}", self.folder.path().join(file).display())
    }

    async fn ask(&self, flags: &[String]) -> Result<Vec<u8>, SourceError> {
        self.client(flags).query("up", Timestamp::UNIX_EPOCH).await
    }

    fn client(&self, flags: &[String]) -> PrometheusClient {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let settings = settings_for(&self.url, &flags).unwrap_or_else(|error| panic!("{error}"));
        PrometheusClient::new(settings).expect("a client")
    }
}

#[tokio::test]
async fn certificates_on_both_sides_and_a_token_that_is_renewed() {
    let mut guarded = Guarded::start().await;
    let ca = guarded.flag("ca-file", "ca.pem");
    let identity = [
        guarded.flag("client-tls-cert-file", "client.pem"),
        guarded.flag("client-tls-key-file", "client-key.pem"),
    ];
    let token = guarded.flag("token-file", "token");
    let [certificate, key] = identity;

    let refused =
        guarded.ask(&[certificate.clone(), key.clone()]).await.expect_err("an authority of its own");
    assert!(refused.to_string().contains("invalid peer certificate: UnknownIssuer"), "{refused}");
    let refused = guarded.ask(std::slice::from_ref(&ca)).await.expect_err("no certificate of ours");
    assert_eq!(refused.class(), "unreachable", "{refused}");

    let client = guarded.client(&[ca, certificate, key, token]);
    client.query("up", Timestamp::UNIX_EPOCH).await.expect("let in");
    let head = guarded.heads.recv().await.expect("a request");
    assert!(head.contains("authorization: Bearer one\r\n"), "{head}");
    fs::write(guarded.folder.path().join("token"), "two").expect("written");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    client.query("up", Timestamp::UNIX_EPOCH).await.expect("let in");
    let head = guarded.heads.recv().await.expect("a request");
    assert!(head.contains("authorization: Bearer two\r\n"), "{head}");
}
