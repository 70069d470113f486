//! `understudy-simulate`: schedules from seeds, judged.

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |place: usize, default: u64| arguments.get(place).and_then(|text| text.parse().ok()).unwrap_or(default);
    let _ = (number(1, 0), number(2, 10));
    let scenario = understudy_simulation::Scenario::named(&arguments[0]).expect("a scenario");
    let without = understudy_simulation::Without::read(arguments.get(4).map_or("", String::as_str)).expect("rules");
    let begun = std::time::Instant::now();
    let (mut failed, mut steps, mut acks) = (0, 0, 0);
    for seed in number(1, 0)..number(1, 0) + number(2, 10) {
        let outcome = understudy_simulation::simulate(scenario, seed, without, number(3, 0) == 1);
        steps += outcome.steps;
        acks += outcome.acknowledged;
        for line in &outcome.trace {
            println!("{line}");
        }
        if !outcome.errors.is_empty() {
            failed += 1;
            if failed <= 3 {
                println!("seed {seed}: {:?}", &outcome.errors[..outcome.errors.len().min(2)]);
            }
        }
    }
    println!(
        "{} {failed} of {} failed, {:.0}/s, {steps} steps, {acks} acks",
        scenario.name,
        number(2, 10),
        number(2, 10) as f64 / begun.elapsed().as_secs_f64()
    );
}
