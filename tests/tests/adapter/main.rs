//! The metrics adapter behind the real aggregation layer: what clients get, who gets nothing, and the real HPA controller.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod beside;
mod direct;
mod hpa;
mod outage;
mod page;
mod rules;
mod security;
mod totals;
mod usage;
mod victoria;
mod world;

use world::World;

/// One adapter per control plane: the aggregated API belongs to the whole of it, so the parts share one world, in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_the_aggregation_layer() {
    let world = World::start().await;
    answers::values_for_people_and_controllers(&world).await;
    answers::discovery(&world).await;
    beside::prometheus_adapter_answers_the_same(&world).await;
    security::who_is_nobody_or_may_not(&world).await;
    security::the_certificate_changes_under_load(&world).await;
    security::the_clients_authority_changes(&world).await;
    hpa::a_deployment_follows_its_queue(&world).await;
    rules::a_configuration_of_prometheus_adapter(&world).await;
    rules::a_kind_is_installed(&world).await;
    victoria::another_source_says_the_same(&world).await;
    rules::a_kind_installed_later_is_served(&world).await;
    rules::an_hpa_follows_object_and_external_metrics(&world).await;
    usage::kubectl_top(&world).await;
    rules::a_configuration_changes(&world).await;
    outage::prometheus_goes_and_comes_back(&world).await;
    direct::without_prometheus(&world).await;
    world.stop().await;
}
