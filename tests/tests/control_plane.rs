//! The ground that the other end-to-end tests stand on: the control plane does what they take for granted.

use rbg_autoscaler_tests::control_plane::shared;

#[tokio::test]
async fn comes_up() {
    let plane = shared().await;
    let client = plane.client().await.unwrap();
    assert_eq!(client.apiserver_version().await.unwrap().git_version, "v1.35.4");
}
