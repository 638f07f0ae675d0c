//! What reads the bytes of others, each as a target that takes any bytes and must neither panic nor hang.
//!
//! `fuzz/run` feeds them for minutes with inputs that libFuzzer breeds by the code they reach; the tests of this crate do it for
//! seconds with inputs that [`mutate`] breaks at random.

pub mod mutate;
pub mod seeds;
pub mod targets;

/// A reader of foreign bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Feeds it.
    pub run: fn(&[u8]),
    /// Real inputs to begin with.
    pub seeds: fn() -> std::io::Result<Vec<Vec<u8>>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "exposition", run: targets::exposition, seeds: seeds::expositions },
    Target { name: "selector", run: targets::selector, seeds: seeds::selectors },
    Target { name: "rules", run: targets::rules, seeds: seeds::rules },
    Target { name: "path", run: targets::path, seeds: seeds::paths },
    Target { name: "headers", run: targets::headers, seeds: seeds::headers },
    Target { name: "answer", run: targets::answer, seeds: seeds::answers },
    Target { name: "snapshot", run: targets::snapshot, seeds: seeds::snapshots },
];
