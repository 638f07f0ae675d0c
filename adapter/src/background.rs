//! A thread for all that comes in large pieces and that nobody waits for, so that requests go first.
//!
//! Reading what Prometheus says about ten thousand pods takes many milliseconds. Among the requests it would hold all of them up once
//! per interval; on a thread of its own with a lower priority it is done when no request needs the processor. One thread: each
//! keeps memory of its own for reuse.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// What the kernel adds to the niceness of requests: a tenth of their share when both want the processor.
const NICENESS: i32 = 10;

/// Returns a runtime whose thread steps back for others. Errors: the system gives no thread.
pub fn runtime() -> io::Result<Runtime> {
    let mut threads = Builder::new_multi_thread();
    threads.worker_threads(1).thread_name("background").on_thread_start(step_back);
    threads.enable_all().build()
}

/// On Linux a thread has a niceness of its own.
fn step_back() {
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the background keeps its priority");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_thread_steps_back_and_no_other() {
        let niceness = || rustix::process::getpriority_process(None).expect("known");
        let (runtime, before) = (runtime().expect("threads"), niceness());
        let there = runtime.block_on(runtime.spawn(async move { niceness() })).expect("ran");
        assert_eq!((niceness(), there), (before, (before + NICENESS).min(19)));
    }
}
