//! `understudy-consumer`: applies a target's topic to its cluster.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Parser;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use understudy_common::{
    config::{Config, EXIT_CONFIG},
    process, telemetry,
};

/// Applies the effects of one target's topic to its cluster. Any number of these share the work.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// The configuration file (deploy/understudy.toml explains every key); UNDERSTUDY_… variables lie over it, such as
    /// UNDERSTUDY_CONSUMER__ADMIN_LISTEN=0.0.0.0:9320.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The cluster to be written: a target of the placement, such as backup.
    #[arg(long, value_name = "CLUSTER")]
    target: String,
    /// Read the configuration, say what is wrong with it, and exit: 0 when it is good, 64 when not.
    #[arg(long)]
    check_config: bool,
}

/// What ending may take beside the bulks under way: the last commit, and leaving the group.
const LEAVE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match read_config(&arguments) {
        Ok(config) => config,
        Err(errors) => {
            for error in errors {
                eprintln!("{error}");
            }
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if arguments.check_config {
        println!("configuration is good: target {} by {}", arguments.target, config.kafka.bootstrap_servers.join(","));
        return ExitCode::SUCCESS;
    }
    telemetry::init(&config.log);
    process::exit_code(serve(config, arguments.target))
}

fn read_config(arguments: &Arguments) -> Result<Config, Vec<String>> {
    let config = Config::load(&arguments.config).map_err(|errors| errors.0)?;
    understudy_consumer::check(&config, &arguments.target)?;
    Ok(config)
}

fn serve(config: Config, target: String) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let deadline = config.consumer.revoke_timeout + LEAVE;
    let result = runtime.block_on(async {
        let listener = TcpListener::bind(&config.consumer.admin_listen)
            .await
            .with_context(|| format!("cannot listen on consumer.admin_listen = {}", config.consumer.admin_listen))?;
        tracing::info!(admin = %listener.local_addr()?, target, name = config.consumer.name, "understudy-consumer");
        let shutdown = process::stop_on_signal()?;
        let late = past(shutdown.clone(), deadline);
        tokio::select! {
            ended = understudy_consumer::run(config, target, listener, shutdown) => Ok(ended?),
            () = late => anyhow::bail!("did not end within {deadline:?}; what was not committed will be applied again"),
        }
    });
    // Questions to Kafka that nobody waits for any more may still block threads.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// Done when the time after the signal is over.
async fn past(shutdown: CancellationToken, deadline: Duration) {
    shutdown.cancelled().await;
    tokio::time::sleep(deadline).await;
}
