//! `rbga-fuzz`: one target under libFuzzer; the environment variable `TARGET` names it. `fuzz/run` builds and runs it.
//!
//! With `SEEDS=FOLDER` it only writes the target's real inputs there.

#![no_main]
#![expect(clippy::panic, reason = "there is nobody to return an error to")]

use std::{env, fs, path::Path, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use rbg_autoscaler_fuzz::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let wanted = env::var("TARGET").unwrap_or_default();
    let Some(target) = TARGETS.iter().find(|target| target.name == wanted) else {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        panic!("TARGET is {wanted:?}; it must be one of {}", names.join(", "));
    };
    if let Ok(folder) = env::var("SEEDS") {
        match write(target, Path::new(&folder)) {
            Ok(()) => std::process::exit(0),
            Err(error) => panic!("{folder}: {error}"),
        }
    }
    *target
});

fn write(target: &Target, folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, seed) in (target.seeds)()?.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number}")), seed)?;
    }
    Ok(())
}

fuzz_target!(init: LazyLock::force(&TARGET), |data: &[u8]| (TARGET.run)(data));
