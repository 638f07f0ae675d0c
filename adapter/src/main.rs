//! The program: joins the parts, reads the clock, ends on SIGTERM.

use std::{io::IsTerminal, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, anyhow, bail};
use clap::Parser;
use jiff::Timestamp;
use rbg_autoscaler::metrics::{
    catalog,
    collector::{self, Clock, Collector},
    direct::{self, DirectSource, Scope},
    prometheus::{PrometheusClient, PrometheusSource},
};
use rbg_metrics_adapter::{
    answers::Answers,
    app::{App, Room, router},
    authentication::{
        token::{ApiTokenReview, Tokens},
        trust::{Bundle, FrontProxy, Trust},
    },
    authority::{Keeper, Places},
    authorization::{Authorizer, Memory, review::AccessReview},
    background,
    certificate::{self, Files, Origin},
    check,
    cluster::{self, Overrides},
    engine::{Engine, configuration::Configuration, objects::ApiLister},
    options::{Access, MetricsFrom, Options, Serving},
    pods::PodCache,
    server,
    telemetry::Telemetry,
    tls::{self, ServingCertificate},
    upstream,
};
use tokio::{
    net::TcpListener,
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == "check") {
        return check::run(
            &check::Args::parse_from(std::env::args_os().skip(1)),
            &mut std::io::stdout().lock(),
        );
    }
    let (options, foreign) = match Options::parse_foreign(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => error.exit(),
    };
    log(&options);
    for flag in foreign {
        tracing::warn!(%flag, "flag of prometheus-adapter ignored: it has no meaning here");
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ran = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ran = ran.and_then(|runtime| Ok((runtime, background::runtime()?))).map_err(anyhow::Error::from);
    let ran = ran.and_then(|(runtime, background)| {
        let ran = runtime.block_on(run(options, background.handle()));
        background.shutdown_background();
        ran
    });
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "not started");
            ExitCode::FAILURE
        }
    }
}

fn log(options: &Options) {
    let level = match options.verbosity {
        0..=3 => "info",
        4..=5 => "info,rbg_metrics_adapter=debug,rbg_autoscaler=debug",
        6.. => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_terminal)
        .with_writer(std::io::stderr)
        .init();
}

#[expect(clippy::disallowed_methods, reason = "the program's edge gives the clock to everything inside")]
fn wall_clock() -> Clock {
    Arc::new(Timestamp::now)
}

async fn run(options: Options, background: &Handle) -> anyhow::Result<()> {
    let clock = wall_clock();
    let telemetry = Telemetry::default();
    let is_direct = options.metrics_from == MetricsFrom::Direct;
    if let (true, Some(file)) = (is_direct, &options.config) {
        let file = file.display();
        bail!(
            "--config {file}: rules are PromQL, which --metrics-from=direct cannot answer; leave one of the two out"
        );
    }
    let prometheus = prometheus(&options)?;
    let scraping = if is_direct { Some(scraping(&options, &clock, &telemetry)?) } else { None };
    let collector = collector(&options, &clock, &telemetry, &prometheus, scraping.as_ref());

    let own = options.cluster.kubeconfig.as_deref();
    let client = cluster::client(own).await?;
    let mut keeper =
        own_authority(&options.serving).map(|places| Keeper::new(client.clone(), places, clock.clone()));
    let (certificate, files) = match &mut keeper {
        Some(keeper) => (keeper.begin().await, None),
        None => certificate_origin(&options.serving).load()?,
    };
    certificate::note_expiry(&certificate, &telemetry);
    let serving = Arc::new(ServingCertificate::new(certificate));
    let only_tls13 = options.serving.tls_min_version == "VersionTLS13";
    let tls = tls::server_config(serving.clone(), !options.serving.disable_http2, only_tls13)?;
    let address = SocketAddr::new(options.serving.bind_address, options.serving.secure_port);
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;

    let asks_who = cluster::client(options.cluster.authentication_kubeconfig.as_deref().or(own)).await?;
    let asks_what = cluster::client(options.cluster.authorization_kubeconfig.as_deref().or(own)).await?;
    let pods = Arc::new(PodCache::default());
    let lister = Arc::new(ApiLister::new(client.clone()));
    let interval = options.interval.max(Duration::from_secs(1));
    let engine = Arc::new(Engine::new(prometheus, lister, pods.clone(), interval, clock.clone()));
    let (trusted, trust) = watch::channel(None);
    let overrides = trust_overrides(&options.access)?;
    let access = options.access;
    let memory = Memory {
        allowed: access.authorization_webhook_cache_authorized_ttl,
        denied: access.authorization_webhook_cache_unauthorized_ttl,
    };
    let token_reviews = Arc::new(ApiTokenReview::new(asks_who.clone()));
    let reviewer = Arc::new(AccessReview::new(asks_what));
    let app = Arc::new(App {
        collector: collector.clone(),
        engine: engine.clone(),
        pods: pods.clone(),
        trust,
        tokens: Tokens::new(token_reviews, access.authentication_token_webhook_cache_ttl),
        authorizer: Authorizer::new(reviewer, memory, access.authorization_always_allow_paths),
        answers: Answers::default(),
        external_signals: options.external_signals,
        telemetry: telemetry.clone(),
        clock,
        room: Room::default(),
    });

    if let Some(file) = options.config {
        let relist_every = options.metrics_relist_interval;
        let max_age = options.metrics_max_age;
        let max_age = if max_age.is_zero() { relist_every } else { max_age };
        if max_age < relist_every {
            bail!(
                "--metrics-max-age {max_age:?} is shorter than --metrics-relist-interval {relist_every:?}: metrics would come and go; \
                 make it as long or leave it out"
            );
        }
        let signals = catalog::built_in(options.rate_window);
        let configuration = Configuration { file, relist_every, max_age, signals };
        let warming = engine.clone();
        background.spawn(async move { warming.keep_warm().await });
        background.spawn(configuration.follow(engine, collector.clone(), client.clone(), telemetry.clone()));
    }
    tokio::spawn(cluster::follow_trust(asks_who, overrides, trusted));
    if let Some(scraping) = scraping {
        let client = client.clone();
        background.spawn(async move { scraping.run(client).await });
    }
    tokio::spawn(async move { pods.run(client).await });
    background.spawn(async move { collector.run().await });
    if let Some(files) = files {
        tokio::spawn(certificate::follow(files, serving, telemetry));
    } else if let Some(keeper) = keeper {
        tokio::spawn(keeper.run(serving, telemetry));
    }
    tracing::info!(%address, source = app.collector.source_name(), interval = ?options.interval, "serving");
    server::serve(listener, Arc::new(tls).into(), router(app), stop()?).await;
    tracing::info!("stopped");
    Ok(())
}

/// How long an answer of the source of metrics is awaited.
const SOURCE_PATIENCE: Duration = Duration::from_secs(10);

fn prometheus(options: &Options) -> anyhow::Result<Arc<PrometheusClient>> {
    let settings = upstream::settings(&options.prometheus_url, &options.prometheus, SOURCE_PATIENCE)?;
    Ok(Arc::new(PrometheusClient::new(settings)?))
}

fn scraping(options: &Options, clock: &Clock, telemetry: &Telemetry) -> anyhow::Result<DirectSource> {
    let counting = telemetry.clone();
    let scraping = direct::Options {
        scope: Scope::RolesAndAnnotated,
        namespace: None,
        interval: options.interval.max(Duration::from_secs(1)),
        clock: clock.clone(),
        on_scrape: Box::new(move |scrape| counting.scraped(scrape)),
    };
    let signals = catalog::built_in(options.rate_window);
    Ok(DirectSource::new(signals.iter().map(AsRef::as_ref), scraping)?)
}

fn collector(
    options: &Options,
    clock: &Clock,
    telemetry: &Telemetry,
    prometheus: &Arc<PrometheusClient>,
    scraping: Option<&DirectSource>,
) -> Collector {
    let interval = options.interval.max(Duration::from_secs(1));
    let mut collection = collector::Options::every(interval, clock.clone());
    collection.timeout = SOURCE_PATIENCE;
    let counting = telemetry.clone();
    collection.on_query = Box::new(move |query| counting.queried(query));
    let signals = catalog::built_in(options.rate_window);
    match scraping {
        Some(scraping) => Collector::new(Arc::new(scraping.clone()), signals, collection),
        None => Collector::new(Arc::new(PrometheusSource::of(prometheus.clone())), signals, collection),
    }
}

/// Where a certificate of our own making is kept, if it is asked for.
fn own_authority(serving: &Serving) -> Option<Places> {
    let (secret, service) = serving.tls_secret.clone().zip(serving.tls_service.clone())?;
    Some(Places { secret, service, registrations: serving.tls_api_services.clone() })
}

fn certificate_origin(serving: &Serving) -> Origin {
    let files = serving.tls_cert_file.clone().zip(serving.tls_private_key_file.clone());
    if let Some((certificate, key)) = files {
        return Origin::Files(Files { certificate, key });
    }
    tracing::warn!("no serving certificate given: a self-signed one is made, which nobody can verify");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    Origin::SelfSigned { names, folder: serving.cert_dir.clone() }
}

/// What the command line says about trust.
fn trust_overrides(access: &Access) -> anyhow::Result<Overrides> {
    let bundle = |file: &Option<PathBuf>| -> anyhow::Result<Option<Bundle>> {
        let Some(file) = file else { return Ok(None) };
        let pem = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        Ok(Some(Bundle::from_pem(&pem).map_err(|why| anyhow!("{} {why}", file.display()))?))
    };
    let front_proxy = bundle(&access.requestheader_client_ca_file)?.map(|ca| FrontProxy {
        ca,
        allowed_names: access.requestheader_allowed_names.clone(),
        username_headers: access.requestheader_username_headers.clone(),
        uid_headers: access.requestheader_uid_headers.clone(),
        group_headers: access.requestheader_group_headers.clone(),
        extra_prefixes: access.requestheader_extra_headers_prefix.clone(),
    });
    Ok(Overrides {
        given: Trust { front_proxy, client_ca: bundle(&access.client_ca_file)? },
        skip_lookup: access.authentication_skip_lookup,
        tolerate_failure: access.authentication_tolerate_lookup_failure,
    })
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
