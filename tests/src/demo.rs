//! The demo: a real control plane, simulated model servers, a recorded trace, and what the two programs make of it.

mod contended;
mod picture;
mod record;
mod scenario;
mod stack;
mod table;
mod view;

use std::{fs, future::pending, io::IsTerminal as _, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::fleet::{pool::LoadId, record::Sample};

use record::Track;
use scenario::{GROUP, STREAMS, Scaler, Stream};
use stack::{Stack, say};
use table::Row;
use view::View;

/// What the demo shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Three workloads follow three days of load.
    #[default]
    Day,
    /// A plain HPA and rbg-autoscaler side by side, each in a pool that a training job shares for a while.
    Contended,
}

/// How the demo runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it shows.
    pub scenario: Scenario,
    /// Leave everything running at the end.
    pub keep: bool,
    /// Wall seconds of load.
    pub seconds: u32,
    /// Simulated seconds per wall second.
    pub speed: u32,
    /// Where the chart is saved.
    pub chart: PathBuf,
}

/// Runs the demo from beginning to end, printing as it goes.
///
/// Errors: something could not be started (its log's end is in the message), or the chart cannot be saved.
pub async fn run(options: &Options) -> Result<()> {
    if options.scenario == Scenario::Contended {
        return contended::run(options).await;
    }
    let began = Instant::now();
    let speed = f64::from(options.speed);
    println!("Starting");
    let stack = Stack::start(speed).await?;
    println!("Up after {:.0} s\n", began.elapsed().as_secs_f64());

    let span = Duration::from_secs(u64::from(options.seconds) * u64::from(options.speed));
    println!(
        "Replaying the Azure conversation trace, bent to a short day for each workload: {} s of load at {} times its speed.\n\
         Speed counts for the trace and the engines; windows of policies are real time (scale-down window 20 s).\n",
        options.seconds, options.speed
    );
    let mut loads = Vec::new();
    for stream in STREAMS {
        loads.push(stack.fleet.add_load(stream.load(span)?));
    }
    let mut tracks: Vec<Track> = STREAMS.into_iter().map(Track::new).collect();
    // A quiet end shows the way back down: the windows are 20 s.
    watch(&stack, &loads, &mut tracks, Duration::from_secs(u64::from(options.seconds) + 30)).await?;
    conclude(&stack, &loads, &tracks, options)?;
    end(&stack, began, options).await;
    Ok(())
}

/// Says how long it took, and keeps everything running if that is asked for.
async fn end(stack: &Stack, began: Instant, options: &Options) {
    println!("\nThe whole run took {:.0} s.", began.elapsed().as_secs_f64());
    if options.keep {
        let group = if options.scenario == Scenario::Contended { "gangs" } else { "chat" };
        let look = stack.how_to_look(group);
        println!("\nEverything keeps running until Ctrl-C. In another terminal:\n\n{look}");
        pending::<()>().await;
    }
}

/// Saves the chart and says where it is.
fn save(svg: &str, options: &Options) -> Result<()> {
    if let Some(folder) = options.chart.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(&options.chart, svg).with_context(|| format!("cannot write {}", options.chart.display()))?;
    println!("\nChart: {}", options.chart.display());
    Ok(())
}

/// Shows and notes what happens, second by second.
async fn watch(stack: &Stack, loads: &[LoadId], tracks: &mut [Track], time: Duration) -> Result<()> {
    let live = std::io::stdout().is_terminal();
    let began = Instant::now();
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut shown = 0;
    let mut next_print = 0.0;
    while began.elapsed() < time {
        ticks.tick().await;
        let at = began.elapsed().as_secs_f64();
        let views = view::look(&stack.client).await?;
        let mut rows = Vec::new();
        for ((track, view), load) in tracks.iter_mut().zip(&views).zip(loads) {
            if track.note(at, view) && !live {
                println!("{at:>4.0} s  {}: {}", title(&track.stream), track.told);
            }
            rows.push(row(track, view, stack.fleet.samples(*load).last()));
        }
        let text = table::render(&format!("{at:>4.0} s of {} s", time.as_secs()), &rows, width());
        if live {
            // Back over the table of the second before.
            print!("{}\x1b[J{text}", "\x1b[A".repeat(shown));
            shown = text.lines().count();
        } else if at >= next_print {
            next_print = at + 15.0;
            println!("\n{text}");
        }
    }
    Ok(())
}

fn row(track: &Track, view: &View, sample: Option<&Sample>) -> Row {
    let stream = &track.stream;
    Row {
        name: title(stream),
        step: match (stream.gang, stream.pods_per_replica) {
            (gang, 1) => format!("{gang} × 1 pod"),
            (gang, pods) => format!("{gang} × {pods} pods"),
        },
        rate: sample.map_or(0.0, Sample::rate),
        queue: sample.map_or(0, Sample::queue_length),
        ready: view.ready,
        replicas: view.replicas,
        desired: view.desired,
        decision: track.told.clone(),
    }
}

fn title(stream: &Stream) -> String {
    match stream.scaler {
        Scaler::Role => format!("{GROUP}/{}", stream.name),
        Scaler::Hpa => stream.name.to_owned(),
    }
}

/// Columns of the terminal; wide where nobody looks.
fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(150)
}

/// Prints the summary and saves the chart.
fn conclude(stack: &Stack, loads: &[LoadId], tracks: &[Track], options: &Options) -> Result<()> {
    println!("\nSummary");
    let samples: Vec<Vec<Sample>> = loads.iter().map(|load| stack.fleet.samples(*load)).collect();
    for ((track, samples), load) in tracks.iter().zip(&samples).zip(loads) {
        let summary = stack.fleet.summary(*load, crate::fleet::time::SimTime::ZERO).unwrap_or_default();
        println!("{}", track.summary(samples, &summary));
        if track.stream.gang > 1 {
            let verdict = if track.only_whole_gangs() {
                "only whole gangs were ever asked for"
            } else {
                "A PARTIAL GANG WAS ASKED FOR"
            };
            println!("          gang of {}: {verdict}", track.stream.gang);
        }
    }
    say(
        "objective: first token within 2 s (1 s more per 4k prompt tokens beyond 4k), 100 ms per token; engines are simulated",
    );
    save(&picture::picture(tracks, &samples, f64::from(options.speed)).to_svg(), options)
}
