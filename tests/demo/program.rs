//! The order of everything.

use std::time::Instant;

use crate::{
    acts::{Act, Figures},
    demo::Demo,
    flights,
    screen::{Screen, number, seconds},
    settings::Settings,
    system::System,
    writers::Writers,
};

/// Plays the demo; answers whether every act passed.
pub async fn play(settings: &Settings, system: &System, screen: Screen) -> anyhow::Result<bool> {
    let began = Instant::now();
    announce(settings, screen);
    screen.heading("The stage");
    let flights = flights::fetch(&settings.cache, settings.documents, screen).await?;
    system.up().await?;
    let demo = Demo::new(system, screen)?;
    demo.writes_again("first").await?;
    flights::load(&demo.lb, &flights, screen).await?;
    let drained = demo.drained().await?;
    screen.seen(&format!("the backup has all of them {} later", seconds(drained)));

    let writers = Writers::start(&demo.lb);
    let mut paused = Some(writers.pause().await);
    let mut rows = Vec::new();
    for act in &settings.acts {
        screen.heading(&format!("Act {}: {}", act.number(), act.title()));
        if act.has_writers() {
            paused = None;
        } else if paused.is_none() {
            paused = Some(writers.pause().await);
        }
        match act.play(&demo, &writers).await {
            Ok(figures) => {
                screen.pass(act.lesson());
                rows.push((*act, Some(figures)));
            }
            Err(error) => {
                screen.fail(&format!("{error:#}"));
                rows.push((*act, None));
                // What comes next would stand on what is broken now.
                break;
            }
        }
    }
    drop(paused);
    summarize(settings, screen, &rows);
    let passed = rows.len() == settings.acts.len() && rows.iter().all(|(_, figures)| figures.is_some());
    let verdict = if passed { "every act passed" } else { "not every act passed" };
    screen.say(&format!("\n{verdict}, {} in all", seconds(began.elapsed())));
    Ok(passed)
}

fn announce(settings: &Settings, screen: Screen) {
    let kind = |part: &str| {
        let kind = std::env::var(part).ok().filter(|kind| !kind.is_empty());
        kind.unwrap_or_else(|| "elasticsearch-7.10".to_owned())
    };
    let minutes = 1 + settings.acts.iter().map(|act| act.seconds()).sum::<u64>().div_ceil(60);
    screen.heading("Understudy: a second cluster that is ready to take over the part of the first");
    screen.say(&format!(
        "Applications write through a load balancer and two gateways to the primary ({}). What each write did goes through Kafka, and two consumers apply it to the backup ({}). All of them are real processes, started on this machine and stopped at the end (KEEP=1 leaves them up).",
        kind("PRIMARY"),
        kind("BACKUP")
    ));
    screen.say(&format!("\nIn about {minutes} minutes, and some more when servers must be fetched first:"));
    let mut rows = vec![vec![String::new(), String::new()]];
    rows.push(vec![
        "stage".into(),
        format!("everything is started, {} flights are loaded", number(settings.documents as u64)),
    ]);
    rows.extend(settings.acts.iter().map(|act| vec![format!("act {}", act.number()), act.plot().to_owned()]));
    screen.table(&rows);
}

fn summarize(settings: &Settings, screen: Screen, rows: &[(Act, Option<Figures>)]) {
    screen.heading("Summary");
    let head = ["act", "verdict", "documents", "written", "docs/s", "lag, most", "drained in"];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    for act in &settings.acts {
        let name = format!("{} {}", act.number(), act.title());
        table.push(match rows.iter().find(|(played, _)| played == act) {
            Some((_, Some(figures))) => [vec![name, "PASS".to_owned()], figures.cells()].concat(),
            Some((_, None)) => vec![name, "FAIL".to_owned()],
            None => vec![name, "not played".to_owned()],
        });
    }
    screen.table(&table);
}
