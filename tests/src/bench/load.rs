//! [`Load`]: requests over a number of connections, as fast as they are answered or at a fixed rate, and what came of them.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, bail};
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};

use super::client::{Connection, Endpoint, Request};

/// Requests per second from which on the runtime's timer is too coarse.
const COARSE_RATE: f64 = 1000.0;
/// What it may oversleep.
const COARSE: Duration = Duration::from_millis(2);
/// How long the client sleeps when there is nothing to send; the kernel adds some 50 µs.
const NAP: Duration = Duration::from_micros(20);
/// How long it then looks at all connections.
const LOOK: Duration = Duration::from_micros(40);

/// What is sent.
#[derive(Clone)]
pub struct Load {
    /// The requests, sent in turn.
    pub requests: Arc<Vec<Request>>,
    /// Over how many connections; each has one request under way at a time.
    pub connections: u32,
    /// For how long.
    pub duration: Duration,
    /// Requests per second in all, however long answers take; as fast as they are answered when absent.
    pub rate: Option<f64>,
}

/// What came of a load.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How long each request took, sorted. At a fixed rate the time counts from when the request was due.
    latencies: Vec<Duration>,
    elapsed: Duration,
    bytes: usize,
}

impl Load {
    /// Sends it. Errors: a request fails, or is answered by anything but 200: such a figure would mean nothing.
    pub async fn run(&self, endpoint: &Endpoint) -> Result<Outcome> {
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(endpoint.connect().await?);
        }
        let (sent, start) = (Arc::new(AtomicU32::new(0)), Instant::now());
        let naps = Arc::new(Mutex::new(start));
        let mut running = Vec::new();
        for connection in connections {
            let (load, sent, naps) = (self.clone(), sent.clone(), naps.clone());
            running.push(tokio::spawn(async move { load.over(connection, &sent, start, &naps).await }));
        }
        let mut outcome = Outcome { latencies: Vec::new(), elapsed: Duration::ZERO, bytes: 0 };
        for one in running {
            let (latencies, bytes) = one.await??;
            outcome.latencies.extend(latencies);
            outcome.bytes += bytes;
        }
        outcome.elapsed = start.elapsed();
        outcome.latencies.sort_unstable();
        Ok(outcome)
    }

    async fn over(
        &self,
        mut connection: Connection,
        sent: &AtomicU32,
        start: Instant,
        naps: &Mutex<Instant>,
    ) -> Result<(Vec<Duration>, usize)> {
        let (mut latencies, mut bytes) = (Vec::new(), 0);
        loop {
            let ticket = sent.fetch_add(1, Ordering::Relaxed);
            let mut begin = Instant::now();
            if let Some(rate) = self.rate {
                let due = start + Duration::from_secs_f64(f64::from(ticket) / rate);
                if due >= start + self.duration {
                    break;
                }
                if begin < due {
                    wait_until(due, rate, naps).await;
                }
                begin = due;
            } else if begin >= start + self.duration {
                break;
            }
            let index = usize::try_from(ticket).unwrap_or_default() % self.requests.len().max(1);
            let Some(request) = self.requests.get(index) else { bail!("a load without requests") };
            let reply = connection.get(request).await?;
            latencies.push(begin.elapsed());
            bytes += reply.body.len();
            if reply.code != 200 {
                bail!("{}: {} {}", request.path, reply.code, String::from_utf8_lossy(&reply.body));
            }
        }
        Ok((latencies, bytes))
    }
}

/// Waits until a request is due. The runtime's timer counts in milliseconds, each of which is many requests at a high rate, and what
/// it oversleeps would count as the server's: there the whole thread naps for as long as the kernel's shortest sleep, then looks
/// whether there is anything to read. It does not stay awake: the control plane needs what the client leaves of the core.
async fn wait_until(due: Instant, rate: f64, naps: &Mutex<Instant>) {
    if rate < COARSE_RATE {
        return sleep_until(due).await;
    }
    if let Some(early) = due.checked_sub(COARSE).filter(|early| Instant::now() < *early) {
        sleep_until(early).await;
    }
    while Instant::now() < due {
        nap(naps);
        yield_now().await;
    }
}

/// Every connection that waits comes here, but a nap is for all: there is another one only after all have had a look.
fn nap(naps: &Mutex<Instant>) {
    let mut last = naps.lock().unwrap_or_else(PoisonError::into_inner);
    if last.elapsed() > LOOK {
        std::thread::sleep(NAP);
        *last = Instant::now();
    }
}

impl Outcome {
    /// Returns the number of answers.
    pub fn answers(&self) -> u32 {
        u32::try_from(self.latencies.len()).unwrap_or(u32::MAX)
    }

    /// Returns how many answers came per second.
    pub fn per_second(&self) -> f64 {
        f64::from(self.answers()) / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// Returns how long it ran.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Returns the mean size of an answer in bytes.
    pub fn mean_bytes(&self) -> usize {
        self.bytes / self.latencies.len().max(1)
    }

    /// Returns the latency that `percent` of the requests did not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.latencies.len() * percent).div_ceil(100).max(1);
        self.latencies.get(rank - 1).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let outcome = Outcome {
            latencies: (1..=200).map(Duration::from_millis).collect(),
            elapsed: Duration::from_secs(2),
            bytes: 400,
        };
        for (percent, want) in [(1, 2), (50, 100), (99, 198), (100, 200)] {
            assert_eq!(outcome.percentile(percent), Duration::from_millis(want), "{percent}");
        }
        assert_eq!((outcome.answers(), outcome.mean_bytes()), (200, 2));
        assert!((outcome.per_second() - 100.0).abs() < 1e-9);
        let nothing = Outcome { latencies: Vec::new(), elapsed: Duration::ZERO, bytes: 0 };
        assert_eq!(nothing.percentile(99), Duration::ZERO);
    }
}
