//! [`Connection`]: one kept-alive HTTPS connection, as kube-apiserver has to an aggregated API server.
//!
//! It presents the front proxy's certificate and names the HPA controller in its headers, so the server does everything that it
//! does for a real HPA: TLS with client certificates, authentication by headers, authorization.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tokio_rustls::TlsConnector;

use crate::control_plane::Pki;

/// Longer than any server under test needs, or may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The user that the real HPA controller is.
const USER: &str = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";
const GROUPS: [&str; 3] =
    ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"];

/// Where connections go to, and by which certificates.
#[derive(Clone)]
pub struct Endpoint {
    port: u16,
    tls: Arc<ClientConfig>,
}

/// One connection.
pub struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    driver: JoinHandle<()>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status code.
    pub code: u16,
    /// The body.
    pub body: Bytes,
}

impl Endpoint {
    /// Describes a server on this machine whose certificate a control plane's authority signed for `localhost`.
    pub fn new(pki: &Pki, port: u16) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pki.ca().as_bytes())?)?;
        let proxy = pki.front_proxy_client();
        let chain = CertificateDer::pem_file_iter(&proxy.certificate)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&proxy.key)?;
        let config =
            ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key)?;
        Ok(Self { port, tls: Arc::new(config) })
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let stream = TlsConnector::from(self.tls.clone()).connect(name, stream).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Connection { sender, driver })
    }

    /// Asks once over a connection of its own.
    pub async fn ask(&self, path: &str) -> Result<Reply> {
        self.connect().await?.get(&request(path)?).await
    }
}

/// Returns the request that the HPA controller sends for a path, as kube-apiserver passes it on.
pub fn request(path: &str) -> Result<Request<()>> {
    let mut request = Request::get(path)
        .header("host", "localhost")
        .header("accept", "application/vnd.kubernetes.protobuf, */*")
        .header("user-agent", "kube-controller-manager/v1.35 horizontal-pod-autoscaler")
        .header("x-remote-user", USER);
    for group in GROUPS {
        request = request.header("x-remote-group", group);
    }
    request.body(()).context("a malformed path")
}

impl Connection {
    /// Sends a request and reads the whole answer.
    pub async fn get(&mut self, request: &Request<()>) -> Result<Reply> {
        let request = request.clone().map(|()| Empty::new());
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let code = response.status().as_u16();
            let body = response.into_body().collect().await?.to_bytes();
            Ok(Reply { code, body })
        };
        match timeout(PATIENCE, exchange).await {
            Ok(reply) => reply,
            Err(_) => bail!("no answer within {PATIENCE:?}"),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
