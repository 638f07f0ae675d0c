//! What people see of a cluster in which everything happens at once: roles that went up, went down, find no room, have no metrics
//! and sleep. `kubectl rbga explain` and `snapshot`, `kubectl get rbga`, and every query of the dashboards.

#[path = "insight/boards.rs"]
mod boards;
#[path = "insight/platform.rs"]
mod platform;
#[path = "insight/replay.rs"]
mod replay;
#[path = "insight/told.rs"]
mod told;
#[path = "insight/world.rs"]
mod world;

use anyhow::Result;
use world::World;

#[tokio::test]
async fn what_people_see_while_everything_happens() {
    let world = World::start().await.unwrap();
    // A panic, and not an error, keeps the logs.
    look(&world).await.unwrap();
}

async fn look(world: &World) -> Result<()> {
    told::a_snapshot_decides_as_the_controller_did(world).await?;
    replay::with_room_ratio_schedule_and_token_work(world).await?;
    replay::scraped_by_the_controller_itself(world).await?;
    told::explain_tells_each_role(world).await?;
    told::who_cannot_be_asked_says_why(world).await?;
    told::the_leader_is_asked_through_kubectl(world).await?;
    told::snapshots_are_served_on_loopback_only(world).await?;
    told::the_list_shows_which_group_needs_a_look(world).await?;
    boards::every_query_answers(world).await
}
