//! The `sawmill` program: predict, inspect, validate, compile and bench tree-ensemble models
//! from the command line.
//!
//! One file per command; `args` is what the user may write, `input` reads rows, `output` writes predictions. What
//! goes wrong is one line on stderr and an exit code: 1 for a bad model, bad rows or a failed write, 2 for usage;
//! `validate` has codes of its own (`validate.rs`).

mod args;
mod bench;
mod compile;
mod expected;
mod input;
mod inspect;
mod output;
mod predict;
mod progress;
mod validate;

use std::io::{self, Write};
use std::panic;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FAILURE: u8 = 1;
const USAGE: u8 = 2;

fn main() -> ExitCode {
    panic::set_hook(Box::new(|info| complain(&format!("internal error, please report it: {info}"))));
    panic::catch_unwind(run).unwrap_or(FAILURE).into()
}

fn run() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let (result, failure) = match &cli.command {
        Command::Predict(args) => (predict::run(args).map(|()| 0), FAILURE),
        Command::Inspect(args) => (inspect::run(args).map(|()| 0), FAILURE),
        Command::Validate(args) => (validate::run(args).map(u8::from), validate::CANNOT_CHECK),
        Command::Compile(args) => (compile::run(args).map(|()| 0), FAILURE),
        Command::Bench(args) => (bench::run(args).map(|()| 0), FAILURE),
    };
    match result {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => 0,
        Err(error) => {
            complain(&chain(&error));
            failure
        }
    }
}

/// Shows help and version as clap does, and a usage error in one line.
fn usage(error: &clap::Error) -> u8 {
    if !error.use_stderr() || error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // A reader that closed the pipe has read enough of the help.
        let _ = error.print();
        return if error.use_stderr() { USAGE } else { 0 };
    }
    let text = error.to_string();
    let finding = text.lines().take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let words: Vec<&str> = finding.flat_map(str::split_whitespace).collect();
    let finding = words.join(" ");
    complain(&format!("{}; see --help", finding.strip_prefix("error: ").unwrap_or(&finding)));
    USAGE
}

/// The reader of our stdout has gone (`| head`): there is nothing left to say.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let pipe = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(pipe))
}

/// The error and its causes, outermost first. A cause that its effect has quoted already is left out.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Writes one line to stderr, whatever the text holds.
fn complain(text: &str) {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    // With stderr closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "sawmill: {line}");
}
