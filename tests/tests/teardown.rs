//! A control plane never outlives its process, however that ends.
//!
//! Each test starts this test program again as a child that holds a control plane and ends in one particular way.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use rbg_autoscaler_tests::control_plane::{ControlPlane, Options, shared, target_folder};
use rbg_autoscaler_tests::harness::{Namespace, Program, eventually};

/// How the child ends: killed, exit, or panic.
const ENDING: &str = "RBGA_TEARDOWN_ENDING";
/// The file that the child writes its control plane's folder to.
const REPORT: &str = "RBGA_TEARDOWN_REPORT";
const PATIENCE: Duration = Duration::from_secs(120);

/// Not a test by itself: the child's part. Does nothing unless started by a test below.
#[tokio::test]
async fn child() {
    let (Ok(ending), Ok(report)) = (env::var(ENDING), env::var(REPORT)) else { return };
    let tell = |plane: &ControlPlane| {
        let unfinished = format!("{report}.new");
        fs::write(&unfinished, plane.folder().display().to_string()).unwrap();
        fs::rename(&unfinished, &report).unwrap();
    };
    match ending.as_str() {
        "killed" => {
            let plane =
                ControlPlane::start(Options { prometheus: true, ..Options::default() }).await.unwrap();
            tell(&plane);
            std::future::pending::<()>().await;
        }
        "exit" => {
            // A static, which is never dropped.
            let plane = shared().await;
            tell(&plane);
            std::process::exit(0);
        }
        "panic" => {
            let plane = shared().await;
            let namespace = Namespace::create(&plane, "panic").await.unwrap();
            tell(&plane);
            panic!("on purpose, with namespace {}", namespace.name());
        }
        other => panic!("unknown ending {other}"),
    }
}

/// The child and the folder of its control plane, which is up.
async fn start_child(ending: &str) -> Result<(Child, PathBuf)> {
    let scratch = tempfile::tempdir()?;
    let report = scratch.path().join("report");
    let child = Command::new(env::current_exe()?)
        .args(["child", "--exact"])
        .env(ENDING, ending)
        .env(REPORT, &report)
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let folder =
        eventually(
            "the child's control plane is up",
            PATIENCE,
            async || Ok(fs::read_to_string(&report).ok()),
        );
    Ok((child, PathBuf::from(folder.await?)))
}

/// Processes whose command line names something in `folder`.
fn processes_of(folder: &Path) -> Result<Vec<String>> {
    let folder = folder.display().to_string();
    let lines =
        fs::read_dir("/proc")?.flatten().filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    Ok(lines.filter(|line| line.contains(&folder)).collect())
}

async fn nothing_remains(folder: &Path) -> Result<()> {
    eventually("no process and no file remains", Duration::from_secs(30), async || {
        let left = processes_of(folder)?;
        ensure!(left.is_empty(), "processes: {left:#?}");
        ensure!(!folder.exists(), "files in {}", folder.display());
        Ok(Some(()))
    })
    .await
}

#[tokio::test]
async fn nothing_remains_of_a_process_that_is_killed() {
    let (mut child, folder) = start_child("killed").await.unwrap();
    let programs = processes_of(&folder).unwrap();
    for name in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "prometheus"]
    {
        assert!(programs.iter().any(|line| line.contains(name)), "{name} runs: {programs:#?}");
    }
    // SIGKILL: nothing in that process can clean up.
    child.kill().unwrap();
    child.wait().unwrap();
    nothing_remains(&folder).await.unwrap();
}

#[tokio::test]
async fn nothing_remains_of_a_process_that_exits_with_statics() {
    let (mut child, folder) = start_child("exit").await.unwrap();
    assert!(child.wait().unwrap().success());
    nothing_remains(&folder).await.unwrap();
}

#[tokio::test]
async fn a_panicking_test_leaves_its_logs_and_nothing_else() {
    let kept = target_folder().join("test-logs").join("child");
    let _ = fs::remove_dir_all(&kept);
    let (child, folder) = start_child("panic").await.unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success());
    nothing_remains(&folder).await.unwrap();
    let printed =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(
        printed.contains("on purpose") && printed.contains(&format!("logs kept in {}", kept.display())),
        "{printed}"
    );
    for name in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"] {
        assert!(kept.join(format!("{name}.log")).is_file(), "log of {name}");
    }
    fs::remove_dir_all(&kept).unwrap();
}

#[tokio::test]
async fn a_program_of_ours_that_ended_is_not_awaited_and_leaves_nothing() {
    let mut program = Program::start("rbga-demo", &["--help"], &[]).unwrap();
    assert!(program.ended(PATIENCE).await.unwrap().success());
    let error = program.printed("no such words", PATIENCE).await.unwrap_err().to_string();
    assert!(error.contains("rbga-demo ended with exit status: 0 before it printed"), "{error}");
    let folder = program.folder().to_owned();
    drop(program);
    assert!(!folder.exists());
}
