//! `understudy completions`: what a shell completes of this command.

use std::process::ExitCode;

use clap_complete::Shell;

const AFTER_HELP: &str = "\
Examples:
  bash   understudy completions bash > /etc/bash_completion.d/understudy
         or, for this shell alone: source <(understudy completions bash)
  zsh    understudy completions zsh > \"${fpath[1]}/_understudy\", then start another shell
  fish   understudy completions fish > ~/.config/fish/completions/understudy.fish

Exit status: 0; 64 where the command line is wrong.";

/// Print a script by which a shell completes this command
///
/// Subcommands and options, with what they do.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints it.
pub fn run(arguments: &Arguments, mut command: clap::Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "understudy", &mut script);
    // Whoever reads us may have closed the pipe.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), &script);
    ExitCode::SUCCESS
}
