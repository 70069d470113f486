//! `understudy-gateway`: logging, configuration, ports, serve, drain.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use tokio::net::TcpListener;
use understudy_common::{
    config::{Config, EXIT_CONFIG},
    process, telemetry,
};

/// Speaks Elasticsearch to applications, writes to the primary cluster, and publishes what each write did to Kafka.
#[derive(Parser)]
#[command(name = "understudy-gateway", version, about)]
struct Arguments {
    /// The configuration file (deploy/understudy.toml explains every key); UNDERSTUDY_… variables lie over it, such as
    /// UNDERSTUDY_GATEWAY__LISTEN=0.0.0.0:9200.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Read the configuration, say what is wrong with it, and exit: 0 when it is good, 64 when not.
    #[arg(long)]
    check_config: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if let Err(error) = understudy_gateway::front_files(&config) {
        eprintln!("{}: {error}", arguments.config.display());
        return ExitCode::from(EXIT_CONFIG);
    }
    if arguments.check_config {
        let placement = &config.placements[0];
        println!(
            "the configuration is good: {} -> {} for indices {}",
            placement.primary,
            placement.targets.join(", "),
            placement.indices.as_str()
        );
        return ExitCode::SUCCESS;
    }
    telemetry::init(&config.log);
    process::exit_code(process::block_on(serve(config)))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let bind = async |key: &str, address: &str| {
        TcpListener::bind(address).await.with_context(|| format!("{key}: cannot listen on {address}"))
    };
    let listener = bind("gateway.listen", &config.gateway.listen).await?;
    let admin_listener = bind("gateway.admin_listen", &config.gateway.admin_listen).await?;
    tracing::info!(
        name = config.gateway.name,
        listen = %listener.local_addr()?,
        admin = %admin_listener.local_addr()?,
        "gateway is listening"
    );
    let stop = process::stop_on_signal()?;
    understudy_gateway::run(config, listener, admin_listener, stop).await.map_err(anyhow::Error::from_boxed)?;
    tracing::info!("gateway has stopped");
    Ok(())
}
