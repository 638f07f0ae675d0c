//! The model-server fleet: simulated LLM engines behind real pod addresses, a load generator and what both recorded.
//!
//! [`Fleet`] listens on one port of every loopback address and answers for whichever pod has the address a connection
//! came to. Pods make themselves known by the annotation [`endpoint::ENGINE_ANNOTATION`]; start-up time is whatever makes
//! them Ready. Below this file everything is pure, except `server` and `follow`.
//!
//! Speed scales simulated time only: at speed 60 a minute of the trace takes a second, engines work 60 times as fast, and
//! rates that Prometheus computes (it counts wall time) come out 60 times as high. Gauges need no conversion.

mod backends;
pub mod endpoint;
pub mod engine;
pub mod exposition;
mod follow;
pub mod histogram;
pub mod load;
mod member;
pub mod model;
pub mod pin;
pub mod pool;
pub mod random;
pub mod record;
pub mod request;
mod server;
pub mod statistics;
pub mod time;
pub mod trace;

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::Client;
use tokio::{net::TcpListener, task::JoinSet, time::Instant};

use endpoint::{Endpoint, Target};
use load::Load;
use pin::{Fault, Pin};
use pool::{Answer, LoadId, Path, Pool};
use record::{Sample, Summary};
use time::SimTime;

/// How often engines are advanced when nobody asks them anything.
const TICK: Duration = Duration::from_millis(50);
/// How often loads are sampled, wall time.
const SAMPLE: Duration = Duration::from_secs(1);

/// How a fleet runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The port of every engine; 0 takes a free one.
    pub port: u16,
    /// Simulated seconds per wall second.
    pub speed: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { port: 8000, speed: 1.0 }
    }
}

/// A running fleet; dropping it ends it.
#[derive(Debug)]
pub struct Fleet {
    shared: Arc<Shared>,
    port: u16,
    tasks: JoinSet<()>,
}

/// What the fleet's tasks share.
#[derive(Debug)]
struct Shared {
    started: Instant,
    speed: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pool: Pool,
    samples: HashMap<LoadId, Vec<Sample>>,
}

impl Fleet {
    /// Starts listening, without any pod. Errors: the port is taken.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, options.port))).await?;
        let port = listener.local_addr()?.port();
        let speed = options.speed.max(0.001);
        let state = State { pool: Pool::new(speed, unix_seconds()), samples: HashMap::new() };
        let shared = Arc::new(Shared { started: Instant::now(), speed, state: Mutex::new(state) });
        let mut tasks = JoinSet::new();
        tasks.spawn(server::serve(listener, shared.clone()));
        tasks.spawn(tick(shared.clone()));
        Ok(Self { shared, port, tasks })
    }

    /// Follows the annotated pods of a cluster from now on.
    pub fn follow(&mut self, client: Client) {
        self.tasks.spawn(follow::follow(client, self.shared.clone()));
    }

    /// Returns the port that every engine answers on.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns simulated seconds per wall second.
    pub fn speed(&self) -> f64 {
        self.shared.speed
    }

    /// Returns the simulated time now.
    pub fn now(&self) -> SimTime {
        self.shared.now()
    }

    /// Adds a pod, or takes over its new state, without a cluster.
    pub fn put(&self, endpoint: Endpoint) {
        self.shared.lock().pool.put(endpoint, self.now());
    }

    /// Starts a load now.
    pub fn add_load(&self, load: Load) -> LoadId {
        self.shared.lock().pool.add_load(load, self.now())
    }

    /// Ends a load: nothing more arrives, what was sent goes on.
    pub fn stop_load(&self, id: LoadId) {
        self.shared.lock().pool.stop_load(id);
    }

    /// Makes all pods of the target, present and future, show these values.
    ///
    /// Replaces an earlier pin of the same target. Where several targets choose a pod, the latest pin counts.
    pub fn pin(&self, target: Target, pin: Pin) {
        self.shared.lock().pool.pin(target, Some(pin), self.now());
    }

    /// Takes the pin of that target away.
    pub fn unpin(&self, target: Target) {
        self.shared.lock().pool.pin(target, None, self.now());
    }

    /// Makes the metrics of all pods of the target, present and future, fail.
    pub fn fail(&self, target: Target, fault: Fault) {
        self.shared.lock().pool.fault(target, Some(fault), self.now());
    }

    /// Takes the fault of that target away.
    pub fn mend(&self, target: Target) {
        self.shared.lock().pool.fault(target, None, self.now());
    }

    /// Returns the samples of a load so far, one per wall second.
    pub fn samples(&self, id: LoadId) -> Vec<Sample> {
        self.shared.lock().samples.get(&id).cloned().unwrap_or_default()
    }

    /// Returns what a load came to so far; requests sent before `from` are left out of latencies and attainment.
    pub fn summary(&self, id: LoadId, from: SimTime) -> Option<Summary> {
        let now = self.now();
        let mut state = self.shared.lock();
        state.pool.advance(now);
        state.pool.summary(id, from)
    }

    /// Returns what the pod at that address answers, without a connection.
    pub fn ask(&self, address: Ipv4Addr, path: Path) -> Answer {
        self.shared.ask(address, path)
    }
}

impl Shared {
    fn now(&self) -> SimTime {
        SimTime::from_seconds(self.started.elapsed().as_secs_f64() * self.speed)
    }

    /// A panic elsewhere must not take the whole fleet down with it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, address: Ipv4Addr, path: Path) -> Answer {
        self.lock().pool.ask(address, path, self.now())
    }
}

/// Keeps the engines and the samples up to date.
async fn tick(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut sampled = Instant::now();
    loop {
        let tick = ticks.tick().await;
        let now = shared.now();
        let mut state = shared.lock();
        let State { pool, samples } = &mut *state;
        pool.advance(now);
        if tick.duration_since(sampled) < SAMPLE {
            continue;
        }
        sampled += SAMPLE;
        for id in pool.load_ids() {
            samples.entry(id).or_default().extend(pool.sample(id, now));
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the fleet is a program's edge: engines tell when they were started"
)]
fn unix_seconds() -> f64 {
    jiff::Timestamp::now().as_duration().as_secs_f64()
}
