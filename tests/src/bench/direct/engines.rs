//! [`Engines`]: answers for thousands of pods at addresses of the loopback network, and remembers when it was asked.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::Instant,
};

/// What vLLM says of itself.
const PAGE: &str = include_str!("../../../data/expositions/vllm-v1.prom");
/// The first address.
const FIRST: u32 = 0x7f01_0000;
/// Of so many pods one hangs when told so.
const ONE_OF: u32 = 20;
/// Requests closer to each other than this are of one round.
const PAUSE: Duration = Duration::from_secs(1);

/// All pods' engines; dropping it ends them.
pub struct Engines {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    hang: AtomicBool,
    connections: AtomicU32,
    asked: Mutex<Vec<Instant>>,
}

/// What was asked in a span.
#[derive(Clone, Debug)]
pub struct Asked {
    /// How many connections were opened.
    pub connections: u32,
    /// How long each round took, from its first request to its last, shortest first, and how many requests it had.
    pub rounds: Vec<(Duration, usize)>,
}

/// Returns the address of a pod by its number.
pub fn address(pod: usize) -> Ipv4Addr {
    Ipv4Addr::from(FIRST.saturating_add(u32::try_from(pod).unwrap_or(u32::MAX)))
}

impl Engines {
    /// Starts answering at a port of all addresses.
    pub async fn serve() -> Result<Self> {
        let listener = TcpListener::bind(("0.0.0.0", 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let of_all = shared.clone();
        let reply = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\n\r\n{PAGE}",
            PAGE.len()
        );
        let reply: Arc<str> = reply.into();
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                of_all.connections.fetch_add(1, Ordering::Relaxed);
                let (shared, reply) = (of_all.clone(), reply.clone());
                tokio::spawn(async move { shared.answer(connection, &reply).await });
            }
        });
        Ok(Self { port, shared, task })
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Has one pod of twenty hang, or answer again.
    pub fn hang(&self, hang: bool) {
        self.shared.hang.store(hang, Ordering::Relaxed);
    }

    /// Returns what was asked since the last call; pods that hang are not counted.
    pub fn asked(&self) -> Asked {
        let mut asked =
            std::mem::take(&mut *self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner));
        asked.sort();
        let mut rounds: Vec<(Duration, usize)> = asked
            .chunk_by(|one, next| next.duration_since(*one) < PAUSE)
            .filter_map(|round| Some((round.last()?.duration_since(*round.first()?), round.len())))
            .collect();
        rounds.sort();
        Asked { connections: self.shared.connections.swap(0, Ordering::Relaxed), rounds }
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn answer(&self, mut connection: TcpStream, reply: &str) {
        let number = match connection.local_addr().map(|address| address.ip()) {
            Ok(IpAddr::V4(address)) => u32::from(address).saturating_sub(FIRST),
            _ => return,
        };
        let mut request = [0; 2048];
        // The head of a request without a body comes in one piece.
        while connection.read(&mut request).await.is_ok_and(|read| read > 0) {
            if self.hang.load(Ordering::Relaxed) && number.is_multiple_of(ONE_OF) {
                continue;
            }
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            if connection.write_all(reply.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}
