//! A fake HCP Terraform / Terraform Enterprise on a local port, to try tfcfs (or anything else) without an account.
//!
//! `cargo run --example fake_tfc -- --listen 127.0.0.1:8080` prints an address and tokens to use with it;
//! `curl ADDRESS/_fake/` says how to make it misbehave. Ctrl-C ends it.

// The program uses the part of the library that is not for tests.
#[allow(dead_code, reason = "tests use the rest")]
#[path = "fake_tfc/mod.rs"]
mod fake;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fake::{ACME, Fake, FakeOptions, Mode};

/// A fake HCP Terraform / Terraform Enterprise on a local port.
#[derive(Debug, Parser)]
struct Arguments {
    /// Address and port; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// HTTPS with a certificate of a made-up CA.
    #[arg(long)]
    https: bool,
    /// Where to write the CA's certificate.
    #[arg(long, value_name = "FILE", requires = "https")]
    ca_out: Option<PathBuf>,
    /// What to play: hcp, tfe:MAJOR.MINOR, tfe-monthly or no-headers.
    #[arg(long, default_value = "hcp")]
    mode: Mode,
    /// Requests a second and user; 0 is no limit.
    #[arg(long, default_value_t = 30)]
    rate: u32,
    /// Characters of a token.
    #[arg(long, default_value_t = 90)]
    token_length: usize,
    /// Added to every answer, in milliseconds.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    latency: u64,
    /// Print shell variables, a line each, instead of one line for the eye.
    #[arg(long)]
    print_env: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let fake = Fake::start(FakeOptions {
        mode: arguments.mode,
        listen: arguments.listen,
        tls: arguments.https,
        rate: arguments.rate,
        token_length: arguments.token_length,
        base_latency: Duration::from_millis(arguments.latency),
    });
    if let (Some(file), Some(pem)) = (&arguments.ca_out, fake.ca_pem())
        && let Err(error) = std::fs::write(file, pem)
    {
        eprintln!("fake_tfc: cannot write {}: {error}", file.display());
        return ExitCode::FAILURE;
    }
    let facts = [
        ("TFE_ADDRESS", fake.url()),
        ("ORGANIZATION", ACME.to_owned()),
        ("TEAM_ID", fake.team_id(ACME, "deploy")),
        ("USER_ID", fake.user_id("alice")),
        ("USER_TOKEN", fake.anchor_user_token()),
        ("ORG_TOKEN", fake.anchor_org_token()),
        ("TEAM_TOKEN", fake.anchor_team_token()),
    ];
    let facts: Vec<_> = facts.iter().map(|(name, value)| format!("{name}={value}")).collect();
    println!("{}", facts.join(if arguments.print_env { "\n" } else { " " }));
    match tokio::signal::ctrl_c().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fake_tfc: cannot wait for Ctrl-C: {error}");
            ExitCode::FAILURE
        }
    }
}
