//! The data set: 200,000 flights of 2001, from npm's `vega-datasets`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde_json::value::RawValue;
use understudy_tests::{Http, try_eventually};

use crate::screen::{Screen, number, seconds};

/// The index that they are loaded into.
pub const INDEX: &str = "flights";

const PACKAGE: &str = "vega-datasets@3.2.1";
const MEMBER: &str = "package/data/flights-200k.json";
/// Documents in one bulk.
const BULK: usize = 500;
/// Within this every bulk is taken.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bulks under way at once.
const LANES: usize = 3;

/// The flights, each as the data set has it.
pub async fn fetch(cache: &Path, documents: usize, screen: Screen) -> anyhow::Result<Vec<Box<RawValue>>> {
    let folder = cache.join(PACKAGE.replace('@', "-"));
    let file = folder.join("flights-200k.json");
    if !file.is_file() {
        let began = Instant::now();
        let waiting = screen.wait(format!("fetching {PACKAGE} from npm (17 MB)"));
        download(&folder, &file).await.with_context(|| format!("cannot fetch {PACKAGE} with npm"))?;
        drop(waiting);
        screen.done(&format!("fetched {PACKAGE} from npm in {}", seconds(began.elapsed())));
    }
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let mut flights: Vec<Box<RawValue>> =
        serde_json::from_str(&text).with_context(|| format!("{} (delete it to fetch it anew)", file.display()))?;
    ensure!(flights.len() >= documents, "{} has {} flights only", file.display(), flights.len());
    flights.truncate(documents);
    Ok(flights)
}

/// Into a folder beside the wanted one; what is whole is moved in one step.
async fn download(folder: &Path, file: &Path) -> anyhow::Result<()> {
    let work = PathBuf::from(format!("{}.{}.tmp", folder.display(), std::process::id()));
    fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
    let unpacked = async {
        run("npm", &["pack", PACKAGE, "--silent", "--pack-destination", "."], &work).await?;
        run("tar", &["-xzf", "vega-datasets-3.2.1.tgz", MEMBER], &work).await?;
        fs::create_dir_all(folder)?;
        fs::rename(work.join(MEMBER), file)?;
        anyhow::Ok(())
    };
    let unpacked = unpacked.await;
    // Left over it would only take space.
    let _ = fs::remove_dir_all(&work);
    unpacked
}

async fn run(program: &str, arguments: &[&str], folder: &Path) -> anyhow::Result<()> {
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.with_context(|| format!("{program} cannot be run"))?;
    if !output.status.success() {
        bail!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Loads them with ids 0, 1, 2, …; answers the documents a second.
pub async fn load(lb: &Http, flights: &[Box<RawValue>], screen: Screen) -> anyhow::Result<u64> {
    let began = Instant::now();
    let bar = screen.count("loading flights", flights.len() as u64);
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    let lane = async || {
        loop {
            let begin = next.fetch_add(BULK, Ordering::Relaxed);
            if begin >= flights.len() || failed.lock().expect("no lane panics").is_some() {
                return;
            }
            let end = flights.len().min(begin + BULK);
            match send(lb, begin, &flights[begin..end]).await {
                Ok(()) => bar.advance((end - begin) as u64),
                Err(error) => *failed.lock().expect("no lane panics") = Some(error),
            }
        }
    };
    futures::future::join_all((0..LANES).map(|_| lane())).await;
    drop(bar);
    if let Some(error) = failed.into_inner().expect("no lane panics") {
        return Err(error.context("loading flights"));
    }
    let rate = (flights.len() as f64 / began.elapsed().as_secs_f64()) as u64;
    screen.done(&format!(
        "loaded {} flights by _bulk through the load balancer in {}, {} documents/s",
        number(flights.len() as u64),
        seconds(began.elapsed()),
        number(rate)
    ));
    Ok(rate)
}

/// With its own ids a bulk may be sent again: a primary that has just started may take too long for the first ones.
async fn send(lb: &Http, first: usize, flights: &[Box<RawValue>]) -> anyhow::Result<()> {
    let sent = try_eventually(PATIENCE, async || send_once(lb, first, flights).await).await;
    sent.map_err(anyhow::Error::msg)
}

async fn send_once(lb: &Http, first: usize, flights: &[Box<RawValue>]) -> anyhow::Result<()> {
    let mut body = String::new();
    for (place, flight) in flights.iter().enumerate() {
        body.push_str(&format!("{{\"index\":{{\"_id\":\"{}\"}}}}\n{}\n", first + place, flight.get()));
    }
    let call = lb.request("POST", &format!("/{INDEX}/_bulk?filter_path=errors,items.*.error")).body(body);
    let reply = call.send().await.map_err(anyhow::Error::msg)?;
    let answer: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    ensure!(reply.status == 200 && answer["errors"] == false, "unexpected answer to {reply}");
    Ok(())
}
