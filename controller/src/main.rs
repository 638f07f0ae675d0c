//! The program: joins the parts, reads the clock, ends on SIGTERM.

use std::{fs, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use axum::Router;
use clap::Parser;
use jiff::Timestamp;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use rbg_autoscaler::metrics::{
    catalog,
    collector::{self, Clock, Collector},
    direct::{self, DirectSource, Scope},
    prometheus::{PrometheusClient, PrometheusSource, Settings, Token},
    source::Source,
};
use rbg_autoscaler_controller::{
    cache,
    control_loop::{ControlLoop, Parts},
    election::Election,
    events::Recorder,
    health::Health,
    observe::token_signals,
    options::{LogFormat, MetricsFrom, Options},
    rules::RulesFile,
    server::{self, Served, router},
    telemetry::Telemetry,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tracing_subscriber::EnvFilter;

/// Caches and decisions are very many small allocations of all ages, which the C library's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// People who may ask at the same time.
const QUESTIONS: usize = 16;

fn main() -> ExitCode {
    let options = Options::parse();
    log(&options);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ran = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match ran.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "ended by an error");
            ExitCode::FAILURE
        }
    }
}

fn log(options: &Options) {
    let filter = EnvFilter::try_new(&options.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match options.log_format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the program's edge gives the clock to everything inside")]
fn wall_clock() -> Clock {
    Arc::new(Timestamp::now)
}

async fn run(options: Options) -> anyhow::Result<()> {
    let clock = wall_clock();
    let client = Client::try_from(config(&options).await?).context("making a client of the API server")?;
    let collector = collector(&options, &clock, &client)?;
    let source_name = collector.source_name();
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("listening on {}", options.listen))?;

    let health = Arc::new(Health::new(clock()));
    let telemetry = Arc::new(Telemetry::default());
    let (stopped, stop_serving) = watch::channel(false);
    let (ask, questions) = mpsc::channel(QUESTIONS);
    let endpoints = Served { health: health.clone(), telemetry: telemetry.clone(), clock: clock.clone() };
    let server = serve(listener, router(endpoints), stop_serving.clone());
    if let Some(address) = options.snapshots_listen.0 {
        match TcpListener::bind(address).await {
            Ok(listener) => drop(serve(listener, server::snapshots(ask), stop_serving)),
            // Scaling goes on without.
            Err(error) => {
                tracing::warn!(%address, %error, "snapshots are not served: set another --snapshots-listen");
            }
        }
    }
    let collecting = collector.clone();
    tokio::spawn(async move { collecting.run().await });

    // Without an election the only process leads.
    let (leads, leading) = watch::channel(!options.leader_elect);
    telemetry.leads(!options.leader_elect);
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "rbg-autoscaler".to_owned());
    // Names of pods are used again, and one machine may run several processes.
    let identity = format!("{host}-{}-{}", std::process::id(), clock().as_nanosecond());
    let election = Election::new(
        client.clone(),
        &options.lease_namespace,
        &options.lease_name,
        &identity,
        clock.clone(),
    );
    let parts = Parts {
        recorder: Recorder::start(&client, &host, telemetry.clone()),
        watches: cache::watch::start(&client, options.namespace.as_deref()),
        client,
        collector,
        clock,
        sync_period: options.sync_period,
        leading,
        questions,
        health,
        telemetry,
    };
    tracing::info!(
        listen = %options.listen,
        source = source_name,
        sync_period = ?options.sync_period,
        namespace = options.namespace.as_deref().unwrap_or("all"),
        "started"
    );
    let (end, ended) = watch::channel(false);
    let signalled = stop()?;
    let controlling = ControlLoop::new(parts).run(signalled);
    if options.leader_elect {
        let electing = election.run(&leads, ended);
        let controlled = async {
            controlling.await;
            // Only now, when nothing of ours is under way any more, may another lead.
            end.send_replace(true);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            elected = electing => elected?,
            () = controlled => {}
        }
    } else {
        controlling.await;
    }
    let _ = stopped.send(true);
    server.await?.context("serving probes and metrics")?;
    tracing::info!("stopped");
    Ok(())
}

/// Serves endpoints until the program stops.
fn serve(
    listener: TcpListener,
    endpoints: Router,
    mut stop: watch::Receiver<bool>,
) -> JoinHandle<std::io::Result<()>> {
    let stopped = async move {
        let _ = stop.wait_for(|stopped| *stopped).await;
    };
    tokio::spawn(axum::serve(listener, endpoints).with_graceful_shutdown(stopped).into_future())
}

/// Returns the collector of the signals, and starts what its source needs.
fn collector(options: &Options, clock: &Clock, client: &Client) -> anyhow::Result<Collector> {
    let interval = options.collection_interval;
    let collection = collector::Options::every(interval, clock.clone());
    let is_direct = options.metrics_from == MetricsFrom::Direct;
    let scraped_every = if is_direct { interval } else { options.scrape_interval };
    let mut signals = catalog::built_in(catalog::RATE_WINDOW);
    signals.extend(token_signals(&signals, scraped_every));
    let source: Arc<dyn Source> = if is_direct {
        let scraping = direct::Options {
            scope: Scope::Roles,
            namespace: options.namespace.clone(),
            interval,
            clock: clock.clone(),
            on_scrape: Box::new(|_| ()),
        };
        let source = DirectSource::new(signals.iter().map(AsRef::as_ref), scraping)?;
        let (watching, client) = (source.clone(), client.clone());
        tokio::spawn(async move { watching.run(client).await });
        Arc::new(source)
    } else {
        let mut settings = Settings::new(&options.prometheus_url, collection.timeout);
        settings.headers.clone_from(&options.prometheus_headers);
        settings.token = options.prometheus_token_file.clone().map(Token::File);
        let read = |file: &PathBuf| fs::read(file).with_context(|| format!("reading {}", file.display()));
        settings.ca = options.prometheus_ca_file.as_ref().map(read).transpose()?;
        Arc::new(PrometheusSource::of(Arc::new(PrometheusClient::new(settings)?)))
    };
    let Some(file) = &options.config else { return Ok(Collector::new(source, signals, collection)) };
    let mut rules = RulesFile::new(file.clone(), signals.clone());
    let collector = Collector::new(source, rules.changed().unwrap_or(signals), collection);
    tokio::spawn(rules.follow(collector.clone()));
    Ok(collector)
}

async fn config(options: &Options) -> anyhow::Result<Config> {
    let Some(path) = &options.kubeconfig else {
        return Config::infer()
            .await
            .context("no kubeconfig and no service account was found; name one with --kubeconfig");
    };
    let kubeconfig = Kubeconfig::read_from(path).with_context(|| format!("reading {}", path.display()))?;
    let chosen = KubeConfigOptions::default();
    Config::from_custom_kubeconfig(kubeconfig, &chosen)
        .await
        .with_context(|| format!("using {}", path.display()))
}

/// Is done on SIGTERM or SIGINT.
fn stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
