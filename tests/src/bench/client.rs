//! [`Connection`]: one kept-alive HTTPS connection, as kube-apiserver has to an aggregated API server.
//!
//! It presents the front proxy's certificate and names the HPA controller in its headers, so the server does everything that it
//! does for a real HPA: TLS with client certificates, authentication by headers, authorization. It shares a core with others, so
//! it writes requests that are ready and reads no more of an answer than where it ends.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use hyper::body::Bytes;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::control_plane::Pki;

/// Longer than any server under test needs, or may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The user that the real HPA controller is.
const USER: &str = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";
const GROUPS: [&str; 3] =
    ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"];
/// Room for an answer about a thousand pods.
const ROOM: usize = 256 * 1024;

/// Where connections go to, and by which certificates.
#[derive(Clone)]
pub struct Endpoint {
    port: u16,
    tls: Arc<ClientConfig>,
}

/// One connection.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
}

/// A request as it goes over the wire.
#[derive(Clone, Debug)]
pub struct Request {
    /// The path with its query.
    pub path: String,
    head: Bytes,
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The HTTP status code.
    pub code: u16,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// Returns the request that the HPA controller sends for a path, as kube-apiserver passes it on.
    pub fn new(path: String) -> Self {
        let mut head = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/vnd.kubernetes.protobuf, */*\r\n\
             user-agent: kube-controller-manager/v1.35 horizontal-pod-autoscaler\r\nx-remote-user: {USER}\r\n"
        );
        for group in GROUPS {
            let _ = write!(head, "x-remote-group: {group}\r\n");
        }
        head.push_str("\r\n");
        Self { path, head: head.into() }
    }
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
        Ok(Connection { stream, read: Vec::with_capacity(ROOM) })
    }

    /// Asks once over a connection of its own.
    pub async fn ask(&self, path: String) -> Result<Reply> {
        self.connect().await?.get(&Request::new(path)).await
    }
}

impl Connection {
    /// Sends a request and reads the whole answer.
    pub async fn get(&mut self, request: &Request) -> Result<Reply> {
        match timeout(PATIENCE, self.exchange(request)).await {
            Ok(reply) => reply.with_context(|| request.path.clone()),
            Err(_) => bail!("{}: no answer within {PATIENCE:?}", request.path),
        }
    }

    async fn exchange(&mut self, request: &Request) -> Result<Reply> {
        self.stream.write_all(&request.head).await?;
        self.stream.flush().await?;
        self.read.clear();
        loop {
            ensure!(self.stream.read_buf(&mut self.read).await? > 0, "the connection was closed");
            if let Some(reply) = Reply::read(&self.read)? {
                return Ok(reply);
            }
        }
    }
}

impl Reply {
    /// Reads an HTTP/1.1 answer; `None` while more of it must come.
    fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let Some((head, rest)) = split(bytes, b"\r\n\r\n") else { return Ok(None) };
        let head = str::from_utf8(head)?;
        let code = head.split(' ').nth(1).context("no status")?.parse()?;
        let header = |wanted: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(':'));
            fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
        };
        if let Some(length) = header("content-length") {
            let body = rest.get(..length.parse()?);
            return Ok(body.map(|body| Self { code, body: Bytes::copy_from_slice(body) }));
        }
        ensure!(header("transfer-encoding") == Some("chunked"), "no length: {head}");
        Ok(chunks(rest)?.map(|body| Self { code, body: body.into() }))
    }
}

/// Joins the chunks of a body; `None` while more of it must come.
fn chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let Some((size, after)) = split(rest, b"\r\n") else { return Ok(None) };
        let size = usize::from_str_radix(str::from_utf8(size)?, 16)?;
        let Some((chunk, end)) = after.split_at_checked(size) else { return Ok(None) };
        let Some(after) = end.strip_prefix(b"\r\n") else { return Ok(None) };
        if size == 0 {
            return Ok(Some(body));
        }
        body.extend_from_slice(chunk);
        rest = after;
    }
}

fn split<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(mark.len()).position(|window| window == mark)?;
    Some((bytes.get(..at)?, bytes.get(at + mark.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_whole_or_not_there_yet() {
        let plain = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let chunked = "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\na\r\n, everyone\r\n0\r\n\r\n";
        for (text, code, body) in [(plain, 200, "hello"), (chunked, 404, "hello, everyone")] {
            let whole = Reply::read(text.as_bytes()).unwrap().unwrap();
            assert_eq!((whole.code, &*whole.body), (code, body.as_bytes()));
            for end in 0..text.len() {
                assert_eq!(Reply::read(&text.as_bytes()[..end]).unwrap(), None, "{end}");
            }
        }
        assert!(Reply::read(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn a_request_names_the_hpa_controller() {
        let head = Request::new("/apis?x=1".to_owned()).head;
        let head = str::from_utf8(&head).unwrap();
        assert!(head.starts_with("GET /apis?x=1 HTTP/1.1\r\nhost: localhost\r\n"), "{head}");
        assert!(head.ends_with("x-remote-group: system:authenticated\r\n\r\n"), "{head}");
        assert!(
            head.contains("horizontal-pod-autoscaler\r\nx-remote-user: system:serviceaccount:"),
            "{head}"
        );
    }
}
