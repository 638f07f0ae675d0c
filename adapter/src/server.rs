//! The accept loop: TCP, TLS, HTTP, and a graceful end.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::Extension};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::peer::Peer;

/// A client that has not finished its handshake by then is cut off.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The same of a request's head. It counts from the answer before, so it is longer than the HPA controller's period: else each of its
/// looks over HTTP/1.1 would begin with a handshake.
const HEAD: Duration = Duration::from_secs(32);
/// Requests under way get this long to end.
const GRACE: Duration = Duration::from_secs(10);
/// Heads of requests: the longest label selectors fit, floods do not.
const LARGEST_HEAD: usize = 64 * 1024;

/// Serves until `stop` is done, then lets requests under way end.
pub async fn serve(listener: TcpListener, tls: TlsAcceptor, router: Router, stop: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "no connection accepted");
                    // Out of file descriptors, most likely: others must end first.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        tokio::spawn(connection(stream, tls.clone(), router.clone(), graceful.watcher()));
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests still under way were cut off");
    }
}

async fn connection(
    stream: TcpStream,
    tls: TlsAcceptor,
    router: Router,
    graceful: hyper_util::server::graceful::Watcher,
) {
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return tracing::debug!("TLS handshake took too long"),
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
    let service = TowerToHyperService::new(router.layer(Extension(Arc::new(Peer::new(chain)))));
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(LARGEST_HEAD);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(250)
        .max_header_list_size(65_536)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(HANDSHAKE);
    let serving = http.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = graceful.watch(serving.into_owned()).await {
        tracing::debug!(error, "connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::{Notify, oneshot},
        task::JoinHandle,
    };
    use tokio_rustls::{TlsConnector, client::TlsStream};

    use super::*;
    use crate::tls::{ServingCertificate, self_signed, server_config};

    /// A server of one slow page, whose slowness ends when told so.
    struct World {
        address: SocketAddr,
        client: TlsConnector,
        is_asked: Arc<Notify>,
        go_on: Arc<Notify>,
        stop: oneshot::Sender<()>,
        served: JoinHandle<()>,
    }

    async fn world() -> World {
        let made = self_signed(vec!["localhost".to_owned()]).expect("made");
        let serving = Arc::new(ServingCertificate::new(made.usable().expect("usable")));
        let tls = server_config(serving, true, false).expect("set up");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(made.certificate.as_bytes()).expect("PEM")).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (is_asked, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (asked, awaited) = (is_asked.clone(), go_on.clone());
        let slow = async move || {
            asked.notify_one();
            awaited.notified().await;
            "at last"
        };
        let router = Router::new().route("/", get(async || "here")).route("/slow", get(slow));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            let _ = stopped.await;
        };
        let served = tokio::spawn(serve(listener, Arc::new(tls).into(), router, stopped));
        World { address, client: TlsConnector::from(Arc::new(client)), is_asked, go_on, stop, served }
    }

    impl World {
        async fn send(&self, request: &str) -> TlsStream<TcpStream> {
            let stream = TcpStream::connect(self.address).await.expect("a connection");
            let name = ServerName::try_from("localhost").expect("a name");
            let mut stream = self.client.connect(name, stream).await.expect("TLS");
            stream.write_all(request.as_bytes()).await.expect("sent");
            stream
        }
    }

    /// Reads until the other side has nothing more to say.
    async fn answer(mut stream: TlsStream<TcpStream>) -> String {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get_of(path: &str, header: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-filler: {header}\r\n\r\n")
    }

    #[tokio::test]
    async fn long_selectors_fit_and_floods_do_not() {
        let world = world().await;
        for (path, header, says) in [
            (format!("/?labelSelector={}", "a".repeat(16_000)), 10, "HTTP/1.1 200 OK"),
            ("/".to_owned(), 30_000, "HTTP/1.1 200 OK"),
            ("/".to_owned(), 100_000, "HTTP/1.1 431 "),
        ] {
            let stream = world.send(&get_of(&path, &"x".repeat(header))).await;
            let answer = answer(stream).await;
            assert!(answer.starts_with(says), "{} and {header} bytes: {answer}", path.len());
        }
    }

    #[tokio::test]
    async fn requests_under_way_end_and_no_others_begin() {
        let world = world().await;
        let stream = world.send(&get_of("/slow", "")).await;
        world.is_asked.notified().await;
        let World { stop, served, go_on, address, .. } = world;
        stop.send(()).expect("it runs");
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(!served.is_finished(), "it waits for who has asked");
        go_on.notify_one();
        assert!(answer(stream).await.ends_with("at last"));
        served.await.expect("it ended");
    }
}
