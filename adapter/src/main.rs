//! The program: joins the parts, reads the clock, ends on SIGTERM.

use std::{io::IsTerminal, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use clap::Parser;
use jiff::Timestamp;
use rbg_autoscaler::metrics::{
    catalog,
    collector::{self, Clock, Collector},
    prometheus::PrometheusSource,
};
use rbg_metrics_adapter::{
    app::{App, router},
    authentication::token::{ApiTokenReview, Tokens},
    authorization::{Authorizer, Memory, review::AccessReview},
    check, cluster,
    options::Options,
    pods::PodCache,
    server,
    telemetry::Telemetry,
    tls,
};
use tokio::{
    net::TcpListener,
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
    let options = Options::parse();
    log(&options);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ran = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match ran.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(options))) {
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

async fn run(options: Options) -> anyhow::Result<()> {
    let clock = wall_clock();
    let client = cluster::client(options.kubeconfig.as_deref()).await?;
    let telemetry = Telemetry::default();
    let mut collection =
        collector::Options::every(options.interval.max(Duration::from_secs(1)), clock.clone());
    let counting = telemetry.clone();
    collection.on_query = Box::new(move |query| counting.queried(query));
    let source = PrometheusSource::new(&options.prometheus_url, collection.timeout)?;
    let collector = Collector::new(Arc::new(source), catalog::built_in(options.rate_window), collection);

    let files = options.tls_cert_file.as_deref().zip(options.tls_private_key_file.as_deref());
    let certificate = if let Some((certificate, key)) = files {
        tls::from_files(certificate, key)?
    } else {
        tracing::warn!("no serving certificate given: a self-signed one is made, which nobody can verify");
        tls::self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?
    };
    let serving = Arc::new(tls::ServingCertificate::new(certificate));
    let tls = tls::server_config(serving, !options.disable_http2)?;
    let address = SocketAddr::new(options.bind_address, options.secure_port);
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;

    let pods = Arc::new(PodCache::default());
    let (trusted, trust) = watch::channel(None);
    let memory = Memory {
        allowed: options.authorization_webhook_cache_authorized_ttl,
        denied: options.authorization_webhook_cache_unauthorized_ttl,
    };
    let reviewer = Arc::new(AccessReview::new(client.clone()));
    let authorizer = Authorizer::new(reviewer, memory, options.authorization_always_allow_paths);
    let tokens = Tokens::new(
        Arc::new(ApiTokenReview::new(client.clone())),
        options.authentication_token_webhook_cache_ttl,
    );
    let app = Arc::new(App {
        collector: collector.clone(),
        pods: pods.clone(),
        trust,
        tokens,
        authorizer,
        telemetry,
        clock,
    });

    tokio::spawn(cluster::follow_trust(client.clone(), trusted));
    tokio::spawn(async move { pods.run(client).await });
    tokio::spawn(async move { collector.run().await });
    tracing::info!(%address, prometheus = options.prometheus_url, interval = ?options.interval, "serving");
    server::serve(listener, Arc::new(tls).into(), router(app), stop()?).await;
    tracing::info!("stopped");
    Ok(())
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
