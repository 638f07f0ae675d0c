//! One control plane for all tests of a test program.

use std::ops::Deref;

use tokio::sync::OnceCell;

use super::{ControlPlane, Options, keep_logs_of_a_panic};

static SHARED: OnceCell<Result<ControlPlane, String>> = OnceCell::const_new();

/// The shared control plane as one test sees it. When the test panics, the logs are kept and their last errors printed.
///
/// Tests that return errors instead of panicking should run inside [`SharedControlPlane::run`].
#[derive(Debug)]
pub struct SharedControlPlane(&'static ControlPlane);

/// Returns the control plane that all tests of this program share; the first call starts it, with default [`Options`].
///
/// Each test works in a namespace of its own. Tests that stop components start their own control plane instead.
/// Panics when it does not start.
#[expect(clippy::panic, reason = "tests cannot go on without it")]
pub async fn shared() -> SharedControlPlane {
    let start =
        || async { ControlPlane::start(Options::default()).await.map_err(|error| format!("{error:#}")) };
    match SHARED.get_or_init(start).await {
        Ok(plane) => SharedControlPlane(plane),
        Err(error) => panic!("{error}"),
    }
}

impl SharedControlPlane {
    /// Runs the body of a test and panics with its error, so that logs are kept then, too.
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub async fn run(self, body: impl AsyncFnOnce(&'static ControlPlane) -> anyhow::Result<()>) {
        if let Err(error) = body(self.0).await {
            panic!("{error:?}");
        }
    }
}

impl Deref for SharedControlPlane {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        self.0
    }
}

impl Drop for SharedControlPlane {
    fn drop(&mut self) {
        keep_logs_of_a_panic(&self.0.logs());
    }
}
