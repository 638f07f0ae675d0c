//! Requests past kube-apiserver, and users without permission.

use rbg_autoscaler_tests::control_plane::client;

use crate::world::World;

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

    let (code, text) = world.direct(&path, Some(pki.front_proxy_client()), &master).await;
    assert_eq!(code, 200, "the front proxy itself: {text}");

    let joe = pki.user("joe", None).unwrap();
    let (code, text) = world.direct(&path, Some(joe), &master).await;
    assert_eq!(code, 403, "a client's certificate speaks for itself: {text}");
    assert!(text.contains(r#"User \"joe\" cannot"#), "{text}");

    let admin = pki.user("admin", Some("system:masters")).unwrap();
    assert_eq!(world.direct(&path, Some(admin), &[]).await.0, 200);

    for open in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(world.direct(open, None, &[]).await, (200, "ok".to_owned()), "{open}");
    }
    assert_eq!(world.direct("/metrics", None, &[]).await.0, 403);

    // The same through kube-apiserver: it lets authenticated users reach aggregated APIs only with permission.
    let kubeconfig = world.plane.user("jane", None).unwrap();
    let request = axum::http::Request::get(&path).body(Vec::new()).unwrap();
    let refused = client(&kubeconfig).await.unwrap().request_text(request).await.unwrap_err();
    assert!(refused.to_string().contains("forbidden"), "{refused}");
}
