//! Requests past kube-apiserver, and users without permission.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{ConfigMap, ServiceAccount},
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use rbg_autoscaler_tests::{
    control_plane::{CertificateFiles, client},
    harness::eventually,
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::world::{ACCOUNT, NAMESPACE, PATIENCE, World};

pub async fn who_is_nobody_or_may_not(world: &World) {
    let path = world.path("v1beta2", "pods/*/queue_length");
    let master = [("x-remote-user", "root"), ("x-remote-group", "system:masters")];
    let pki = world.plane.pki();

    let (code, text) = world.direct(&path, None, &master).await;
    assert_eq!(code, 403, "headers without a certificate: {text}");
    assert!(
        text.contains(r#"User \"system:anonymous\" cannot get resource \"pods/queue_length\""#),
        "{text}"
    );

    let (code, text) = world.direct(&path, Some(pki.front_proxy_user("impostor").unwrap()), &master).await;
    assert_eq!(code, 401, "a name that is not allowed: {text}");

    let (code, text) = world.direct(&path, Some(pki.front_proxy_client()), &[]).await;
    assert_eq!(code, 401, "a front proxy that names nobody: {text}");

    let (code, text) = world.direct(&path, Some(stranger(world)), &master).await;
    assert_eq!(code, 401, "a certificate that nobody here signed: {text}");
    assert!(text.contains(r#""reason":"Unauthorized""#) && text.contains("UnknownIssuer"), "{text}");

    let (code, text) = world.direct(&path, Some(pki.front_proxy_client()), &master).await;
    assert_eq!(code, 200, "the front proxy itself: {text}");

    let joe = pki.user("joe", None).unwrap();
    let (code, text) = world.direct(&path, Some(joe), &master).await;
    assert_eq!(code, 403, "a client's certificate speaks for itself: {text}");
    assert!(text.contains(r#"User \"joe\" cannot"#), "{text}");

    let admin = pki.user("admin", Some("system:masters")).unwrap();
    assert_eq!(world.direct(&path, Some(admin), &[]).await.0, 200);

    let bearer = |token: &str| format!("Bearer {token}");
    let token = token_of(world, NAMESPACE, ACCOUNT).await;
    let (code, text) = world.direct(&path, None, &[("authorization", &bearer(&token))]).await;
    assert_eq!(code, 403, "a service account's token is believed, but it may not: {text}");
    assert!(text.contains("system:serviceaccount:rbg-autoscaler:rbg-autoscaler-adapter"), "{text}");
    let (code, text) = world.direct(&path, None, &[("authorization", &bearer("nonsense"))]).await;
    assert_eq!(code, 401, "{text}");

    for open in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(world.direct(open, None, &[]).await, (200, "ok".to_owned()), "{open}");
    }
    assert_eq!(world.direct("/metrics", None, &[]).await.0, 403);
    let (code, text) = world.direct("/metrics", Some(pki.front_proxy_client()), &master).await;
    assert_eq!(code, 200);
    assert!(text.contains(r#"rbg_metrics_adapter_upstream_queries_total{outcome="ok"}"#), "{text}");

    // The same through kube-apiserver: it lets authenticated users reach aggregated APIs only with permission.
    let kubeconfig = world.plane.user("jane", None).unwrap();
    let request = axum::http::Request::get(&path).body(Vec::new()).unwrap();
    let refused = client(&kubeconfig).await.unwrap().request_text(request).await.unwrap_err();
    assert!(refused.to_string().contains("forbidden"), "{refused}");
}

/// A certificate in the name of an administrator, by an authority of its own.
fn stranger(world: &World) -> CertificateFiles {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "admin");
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "system:masters");
    let key = rcgen::KeyPair::generate().unwrap();
    let (certificate, file) = (params.self_signed(&key).unwrap(), world.plane.folder().join("stranger.key"));
    std::fs::write(&file, key.serialize_pem()).unwrap();
    std::fs::write(file.with_extension("crt"), certificate.pem()).unwrap();
    CertificateFiles { certificate: file.with_extension("crt"), key: file }
}

/// Another authority of clients is believed as soon as the cluster says so (prometheus-adapter needs a restart).
pub async fn the_clients_authority_changes(world: &World) {
    let path = world.path("v1beta2", "pods/*/queue_length");
    let (authority, admin) = newcomer(world);
    let (code, text) = world.direct(&path, Some(admin.clone()), &[]).await;
    assert_eq!(code, 401, "nobody knows the authority yet: {text}");
    let config_maps: Api<ConfigMap> = Api::namespaced(world.plane.client().await.unwrap(), "kube-system");
    let name = "extension-apiserver-authentication";
    let known = config_maps.get(name).await.unwrap().data.unwrap();
    let both = format!("{}\n{authority}", known["client-ca-file"]);
    let both = Patch::Merge(serde_json::json!({"data": {"client-ca-file": both}}));
    config_maps.patch(name, &PatchParams::default(), &both).await.unwrap();
    eventually("the new authority is believed", PATIENCE, async || {
        let (code, text) = world.direct(&path, Some(admin.clone()), &[]).await;
        anyhow::ensure!(code == 200, "{code}: {text}");
        Ok(Some(()))
    })
    .await
    .unwrap();
    let joe = world.plane.pki().user("joe", None).unwrap();
    assert_eq!(world.direct(&path, Some(joe), &[]).await.0, 403, "the old one is believed as well");
}

/// An authority that the cluster does not know, and an administrator's certificate by it.
fn newcomer(world: &World) -> (String, CertificateFiles) {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "newcomer");
    let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "admin");
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "system:masters");
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let (key, file) = (rcgen::KeyPair::generate().unwrap(), world.plane.folder().join("newcomer.key"));
    let certificate = params.signed_by(&key, &authority).unwrap();
    std::fs::write(&file, key.serialize_pem()).unwrap();
    std::fs::write(file.with_extension("crt"), certificate.pem()).unwrap();
    (authority.pem(), CertificateFiles { certificate: file.with_extension("crt"), key: file })
}

async fn token_of(world: &World, namespace: &str, name: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(world.plane.client().await.unwrap(), namespace);
    let request = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
    let answer = accounts.create_token_request(name, &PostParams::default(), &request).await.unwrap();
    answer.status.unwrap().token
}

/// A new certificate is served without a restart, and no request fails meanwhile: neither over connections that stay open, as
/// kube-apiserver's do, nor over new ones.
pub async fn the_certificate_changes_under_load(world: &World) {
    let path = world.path("v1beta2", "pods/*/queue_length");
    let hosts = World::hosts();
    let renewed = world.plane.pki().server("adapter-renewed", &hosts.each_ref().map(String::as_str)).unwrap();
    let wanted = CertificateDer::from_pem_file(&renewed.certificate).unwrap();
    let is_over = AtomicBool::new(false);
    let load = async {
        let mut requests = 0;
        while !is_over.load(Ordering::Relaxed) {
            world.raw(&path).await.unwrap();
            requests += 1;
        }
        requests
    };
    let change = async {
        assert_ne!(served(world).await.unwrap(), wanted);
        std::fs::copy(&renewed.certificate, &world.certificate.certificate).unwrap();
        std::fs::copy(&renewed.key, &world.certificate.key).unwrap();
        let taken_over = eventually("the new certificate is served", PATIENCE, async || {
            Ok((served(world).await? == wanted).then_some(()))
        });
        taken_over.await.unwrap();
        is_over.store(true, Ordering::Relaxed);
    };
    let (one, other, ()) = futures::join!(load, load_again(world, &path, &is_over), change);
    assert!(one > 10 && other > 10, "{one} and {other} requests");
    world.raw(&path).await.unwrap();
}

/// The same past kube-apiserver, each over a connection of its own.
async fn load_again(world: &World, path: &str, is_over: &AtomicBool) -> u32 {
    let master = [("x-remote-user", "root"), ("x-remote-group", "system:masters")];
    let mut requests = 0;
    while !is_over.load(Ordering::Relaxed) {
        let certificate = Some(world.plane.pki().front_proxy_client());
        assert_eq!(world.direct(path, certificate, &master).await.0, 200);
        requests += 1;
    }
    requests
}

/// The certificate that a new connection is shown.
async fn served(world: &World) -> anyhow::Result<CertificateDer<'static>> {
    let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).tls_info(true).no_proxy();
    let response = client.build()?.get(format!("https://127.0.0.1:{}/livez", world.port)).send().await?;
    let shown = response.extensions().get::<reqwest::tls::TlsInfo>().and_then(|tls| tls.peer_certificate());
    Ok(CertificateDer::from(shown.context("no certificate")?.to_vec()))
}
