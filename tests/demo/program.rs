//! The order of everything.

use std::time::Instant;

use crate::{
    acts::{Act, Figures},
    deadlines,
    demo::{Demo, FIRST},
    flights,
    screen::{Screen, number, seconds},
    settings::Settings,
    system::System,
    writers::Writers,
};

/// Seconds until everything runs, and what two cores do in one: for the announcement alone.
const START: u64 = 25;
const LOADED_A_SECOND: u64 = 6_000;
const COMPARED_A_SECOND: u64 = 10_000;

/// Plays the demo; answers whether every act passed.
pub async fn play(settings: &Settings, system: &System, screen: Screen) -> anyhow::Result<bool> {
    let began = Instant::now();
    announce(settings, screen);
    screen.heading("The stage");
    let flights = flights::fetch(&settings.cache, settings.documents, screen).await?;
    system.up().await?;
    let demo = Demo::new(system, screen)?;
    demo.writes_again(FIRST).await?;
    flights::load(&demo.lb, &flights, screen).await?;
    let drained = demo.drained().await?;
    screen.seen(&format!("the backup has all of them {} later", seconds(drained)));

    let writers = Writers::start(&demo.lb, screen);
    let mut rows = Vec::new();
    for act in &settings.acts {
        screen.heading(&format!("Act {}: {}", act.number(), act.title()));
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
    drop(writers);
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
    let (load, compare) = (settings.documents as u64 / LOADED_A_SECOND, settings.documents as u64 / COMPARED_A_SECOND);
    let acts: u64 = settings.acts.iter().map(|act| act.seconds() + compare).sum();
    let minutes = (START + load + acts).div_ceil(60).max(2);
    screen.heading("Understudy: a second cluster that is ready to take over the part of the first");
    screen.say(&format!(
        "Applications write through a load balancer and two gateways to the primary ({}). What each write did goes through Kafka, and two consumers apply it to the backup ({}). All of them are real processes, started on this machine and stopped at the end (KEEP=1 leaves them up).",
        kind("PRIMARY"),
        kind("BACKUP")
    ));
    screen.say(&format!("\nIn about {minutes} minutes, and some more when servers must be fetched first:\n\n"));
    let loaded = format!("everything is started, {} flights are loaded", number(settings.documents as u64));
    screen.say(&format!("  stage   {loaded}"));
    for act in &settings.acts {
        screen.say(&format!("  act {}   {}", act.number(), act.plot()));
    }
    screen.say("\nWriters are at work in all of them; each ends with a comparison of both sides, while they pause.");
    deadlines::show(screen);
}

fn summarize(settings: &Settings, screen: Screen, rows: &[(Act, Option<Figures>)]) {
    screen.heading("Summary");
    let row = |act: &Act| {
        let name = format!("{} {}", act.number(), act.title());
        match rows.iter().find(|(played, _)| played == act) {
            Some((_, Some(figures))) => [vec![name, "PASS".to_owned()], figures.cells()].concat(),
            Some((_, None)) => vec![name, "FAIL".to_owned()],
            None => vec![name, "not played".to_owned()],
        }
    };
    let table: Vec<Vec<String>> = settings.acts.iter().map(row).collect();
    screen.table(&[&["act", "verdict"][..], &Figures::HEAD].concat(), &table);
}
