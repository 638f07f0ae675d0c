//! The adapter alone in its namespace, asked directly, over a Prometheus that knows one series.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use axum::{Json, Router, routing::any};
use rbg_autoscaler_tests::{
    control_plane::CertificateFiles,
    harness::{Program, eventually, throughout},
};
use serde_json::json;
use tokio::net::TcpListener;

use super::{Grant, Place, complaints};
use crate::containers::Containers;

const PATIENCE: Duration = Duration::from_secs(60);

/// What holds while the adapter has all of its rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    HasACertificate,
    TellsItsAuthority,
    KnowsThePods,
    KeepsItsWatch,
    AnswersForAll(&'static str),
    KnowsTokens,
    KnowsTheFrontProxy,
}

use self::Check::{
    AnswersForAll, HasACertificate, KeepsItsWatch, KnowsTheFrontProxy, KnowsThePods, KnowsTokens,
    TellsItsAuthority,
};

const ALL: [Check; 9] = [
    HasACertificate,
    TellsItsAuthority,
    KnowsThePods,
    KeepsItsWatch,
    AnswersForAll("services"),
    AnswersForAll("nodes"),
    AnswersForAll("namespaces"),
    KnowsTokens,
    KnowsTheFrontProxy,
];

/// The check that needs a right.
fn check_of(grant: &Grant) -> Result<Check> {
    if grant.holder().ends_with(":auth-delegator") {
        return Ok(KnowsTokens);
    }
    if grant.holder().ends_with(":authentication-reader") {
        return Ok(KnowsTheFrontProxy);
    }
    Ok(match (grant.right.verb.as_str(), grant.right.resource.as_str()) {
        ("get" | "update", "secrets") => HasACertificate,
        ("get" | "patch", "apiservices") => TellsItsAuthority,
        ("list", "pods") => KnowsThePods,
        ("watch", "pods") => KeepsItsWatch,
        ("list", "services") => AnswersForAll("services"),
        ("list", "nodes") => AnswersForAll("nodes"),
        ("list", "namespaces") => AnswersForAll("namespaces"),
        _ => bail!("no check needs it: name one, or take it out of the chart"),
    })
}

/// Starts the adapter with all of its rights: every check holds, and nothing is complained of.
pub async fn whole(place: &Place<'_>) -> Result<Program> {
    let program = start(place).await?;
    let asked = Asked::of(place)?;
    for check in ALL {
        eventually(&format!("{check:?}"), PATIENCE, async || {
            ensure!(asked.holds(check, &program).await?, "{}", program.log());
            Ok(Some(()))
        })
        .await?;
    }
    let told = complaints(&program.log());
    ensure!(told.is_empty(), "{told:?}");
    Ok(program)
}

/// Starts it without one: that one is complained of, and its check does not hold.
pub async fn without(place: &Place<'_>, lost: &Grant) -> Result<()> {
    let program = start(place).await?;
    let asked = Asked::of(place)?;
    let check = check_of(lost)?;
    eventually("the right is told", PATIENCE, async || {
        // Some are needed only when somebody asks.
        let answer = asked.about(check).await.unwrap_or_else(|error| error.to_string());
        let told = complaints(&format!("{}\n{answer}", program.log()));
        let meant = told.iter().filter(|told| lost.is_meant_by(told)).count();
        ensure!(meant > 0 && meant == told.len(), "{told:?}: {answer}; {}", program.log());
        Ok(Some(()))
    })
    .await?;
    throughout(&format!("not {check:?}"), Duration::from_secs(1), async || {
        ensure!(!asked.holds(check, &program).await?, "it holds all the same");
        Ok(())
    })
    .await
}

async fn start(place: &Place<'_>) -> Result<Program> {
    place.set().await?;
    let containers = Containers { plane: place.plane, client: place.client.clone(), namespace: &place.name };
    let name = format!("{}-rbg-autoscaler-adapter", place.name);
    containers.run(&place.rendered, &name, "rbg-metrics-adapter").await
}

struct Asked<'a> {
    place: &'a Place<'a>,
    administrator: CertificateFiles,
}

impl<'a> Asked<'a> {
    fn of(place: &'a Place<'a>) -> Result<Self> {
        Ok(Self { place, administrator: place.plane.pki().user("admin", Some("system:masters"))? })
    }

    /// Asks what a check is about; returns the answer.
    async fn about(&self, check: Check) -> Result<String> {
        match check {
            AnswersForAll("namespaces") => self.get("/namespaces/*/metrics/m", None).await,
            AnswersForAll("nodes") => self.get("/nodes/*/m", None).await,
            AnswersForAll(resource) => self.get(&format!("/namespaces/default/{resource}/*/m"), None).await,
            KnowsTokens => self.get("", Some("a token")).await,
            _ => Ok(String::new()),
        }
    }

    async fn holds(&self, check: Check, program: &Program) -> Result<bool> {
        let log = program.log();
        Ok(match check {
            HasACertificate => log.contains("serving address="),
            TellsItsAuthority => log.matches("authority told to the aggregation layer").count() >= 3,
            KnowsThePods => log.contains("pods listed"),
            KeepsItsWatch => log.contains("pods listed") && !log.contains("cannot be watched"),
            // There are none, or none with a value: either is known only after a list.
            AnswersForAll(_) => !self.about(check).await?.contains("is forbidden"),
            KnowsTokens => self.about(check).await?.contains("Unauthorized"),
            KnowsTheFrontProxy => log.contains("authorities of client certificates read"),
        })
    }

    async fn get(&self, path: &str, token: Option<&str>) -> Result<String> {
        let mut client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy();
        if token.is_none() {
            let mut pem = std::fs::read(&self.administrator.key)?;
            pem.extend(std::fs::read(&self.administrator.certificate)?);
            client = client.identity(reqwest::Identity::from_pem(&pem)?);
        }
        let url = format!("https://127.0.0.1:{}/apis/custom.metrics.k8s.io/v1beta2{path}", self.place.port);
        let mut request = client.build()?.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        Ok(request.send().await?.text().await?)
    }
}

/// Serves a Prometheus with one series, of which no value is known. Returns its address.
pub async fn prometheus() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let series = json!({"__name__": "m", "namespace": "default", "pod": "p", "service": "s", "node": "n"});
    let series = json!({"status": "success", "data": [series]});
    let nothing = json!({"status": "success", "data": {"resultType": "vector", "result": []}});
    let router = Router::new()
        .route("/api/v1/series", any(async move || Json(series.clone())))
        .fallback(any(async move || Json(nothing.clone())));
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(format!("http://{address}"))
}
