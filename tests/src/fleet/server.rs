//! Answers HTTP for every pod: the local address of a connection says which.

use std::{convert::Infallible, future::pending, net::IpAddr, sync::Arc, time::Duration};

use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};
use tracing::{debug, warn};

use super::{
    Shared,
    exposition::CONTENT_TYPE,
    pool::{Answer, Path},
};

/// Pause after a connection could not be accepted (no free file descriptors, usually).
const RETRY: Duration = Duration::from_millis(50);

/// Accepts connections for ever; they end with this future.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "could not accept a connection");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        let Ok(local) = stream.local_addr() else { continue };
        let shared = shared.clone();
        connections.spawn(async move {
            let service = service_fn(|request| answer(local.ip(), request, shared.clone()));
            if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
                debug!(%error, "a connection broke off");
            }
        });
    }
}

async fn answer(
    address: IpAddr,
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<String>, Infallible> {
    let prometheus =
        request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "format=prometheus"));
    let path = match request.uri().path() {
        "/metrics" => Path::Metrics,
        "/v1/loads" if prometheus => Path::Loads,
        "/health" => Path::Health,
        _ => return Ok(status(StatusCode::NOT_FOUND)),
    };
    if request.method() != Method::GET {
        return Ok(status(StatusCode::METHOD_NOT_ALLOWED));
    }
    let IpAddr::V4(address) = address else { return Ok(status(StatusCode::NOT_FOUND)) };
    Ok(match shared.ask(address, path) {
        Answer::Page(text) => {
            let mut page = Response::new(text);
            page.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(CONTENT_TYPE));
            page
        }
        Answer::NotFound => status(StatusCode::NOT_FOUND),
        Answer::Error => status(StatusCode::INTERNAL_SERVER_ERROR),
        Answer::Hang => pending().await,
    })
}

fn status(code: StatusCode) -> Response<String> {
    let mut response = Response::new(format!("{code}\n"));
    *response.status_mut() = code;
    response
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        time::timeout,
    };

    use crate::fleet::{
        Fleet, Options,
        endpoint::{Endpoint, Target},
        exposition::Dialect,
        model::Model,
        pin::{Fault, Pin},
    };

    const ONE: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);
    const TWO: Ipv4Addr = Ipv4Addr::new(127, 77, 3, 2);

    /// Asks over a real connection and returns head and body.
    async fn ask(fleet: &Fleet, address: Ipv4Addr, request: &str) -> (String, String) {
        let mut stream = TcpStream::connect((address, fleet.port())).await.expect("a connection");
        let request = format!("{request} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
        (head.to_lowercase(), body.to_owned())
    }

    fn endpoint(name: &str, address: Ipv4Addr, dialect: Dialect) -> Endpoint {
        Endpoint {
            namespace: "n".to_owned(),
            name: name.to_owned(),
            uid: name.to_owned(),
            labels: BTreeMap::new(),
            address: Some(address),
            bound: true,
            ready: true,
            terminating: false,
            replica_size: 1,
            gang: 1,
            dialect,
            model: Model::LLAMA_8B,
        }
    }

    #[tokio::test]
    async fn tells_pods_apart_by_local_address() {
        let fleet = Fleet::start(Options { port: 0, speed: 60.0 }).await.expect("a free port");
        fleet.put(endpoint("one", ONE, Dialect::Vllm));
        fleet.put(endpoint("two", TWO, Dialect::Sglang));
        fleet.pin(Target::pod("n", "one"), Pin::queue_length(12.0));
        let loaded = Pin { pending_tokens: Some(9000.0), ..Pin::queue_length(7.0) };
        fleet.pin(Target::pod("n", "two"), loaded);

        let (head, body) = ask(&fleet, ONE, "GET /metrics").await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
        let line = "vllm:num_requests_waiting{engine=\"0\",model_name=\"Qwen/Qwen3-8B\"} 12.0";
        assert!(body.lines().any(|other| other == line), "{body}");
        let (_, body) = ask(&fleet, TWO, "GET /metrics").await;
        let queue = body.lines().find(|line| line.starts_with("sglang:num_queue_reqs{"));
        assert!(queue.is_some_and(|line| line.ends_with(" 7.0")), "{body}");
        let (_, body) = ask(&fleet, TWO, "GET /v1/loads?format=prometheus").await;
        assert!(body.contains("sglang_num_waiting_uncached_tokens{dp_rank=\"0\"} 9000.0"), "{body}");
    }

    #[tokio::test]
    async fn refuses_what_is_not_there() {
        let fleet = Fleet::start(Options { port: 0, speed: 1.0 }).await.expect("a free port");
        fleet.put(endpoint("one", ONE, Dialect::Vllm));
        for (address, request, want) in [
            (ONE, "GET /health", "http/1.1 200"),
            (ONE, "POST /metrics", "http/1.1 405"),
            (ONE, "GET /v1/loads?format=prometheus", "http/1.1 404"),
            (ONE, "GET /", "http/1.1 404"),
            (TWO, "GET /metrics", "http/1.1 404"),
            (TWO, "GET /health", "http/1.1 404"),
        ] {
            let (head, _) = ask(&fleet, address, request).await;
            assert!(head.starts_with(want), "{request} at {address}: {head}");
        }
    }

    #[tokio::test]
    async fn fails_on_request() {
        let fleet = Fleet::start(Options { port: 0, speed: 1.0 }).await.expect("a free port");
        fleet.put(endpoint("one", ONE, Dialect::Vllm));
        let all = Target::labels("n", &[]);
        fleet.fail(all.clone(), Fault::Error);
        assert!(ask(&fleet, ONE, "GET /metrics").await.0.starts_with("http/1.1 500"));
        fleet.fail(all.clone(), Fault::Hang);
        let answer = timeout(Duration::from_millis(200), ask(&fleet, ONE, "GET /metrics")).await;
        assert!(answer.is_err(), "{answer:?}");
        fleet.mend(all);
        assert!(ask(&fleet, ONE, "GET /metrics").await.0.starts_with("http/1.1 200"));
    }
}
