//! The main job, end to end, with nothing to set up: starts the built-in fake upstream, mounts, defines a role of each
//! type, reads, holds, rotates, shows the leases end, and stays up to be played with. Ctrl-C ends it cleanly.
//!
//! `cargo run --release --example demo [DIRECTORY]`
#![allow(missing_docs, reason = "a program")]

#[allow(dead_code, reason = "the demo uses a part of the fake")]
#[path = "fake_tfc/mod.rs"]
mod fake;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use fake::{ACME, Fake, FakeOptions};
use tfcfs::app::{self, MountPlan};
use tfcfs::config::Settings;

fn main() -> ExitCode {
    let _ = tracing_subscriber::fmt().with_env_filter("warn").with_writer(std::io::stderr).try_init();
    let mut arguments = std::env::args().skip(1);
    if let (Some("reaper"), Some(pid)) =
        (arguments.next().as_deref(), arguments.next().and_then(|pid| pid.parse().ok()))
    {
        return tfcfs::fuse::reaper::run(pid).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let place = std::env::args_os().nth(1).map(PathBuf::from);
    let place = place.unwrap_or_else(|| std::env::temp_dir().join("tfcfs-demo"));
    match run(&place) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(place: &Path) -> Result<(), String> {
    let mount = place.join("mnt");
    // Fails harmlessly if a demo that was killed left a dead mount there: mounting replaces it.
    let _ = std::fs::create_dir_all(&mount);
    let fake = Arc::new(Fake::start(FakeOptions::default()));
    let plan = MountPlan {
        mount_point: mount.clone(),
        settings: Settings { default_ttl: Duration::from_secs(5), ..Settings::default() },
        settings_file: None,
        ephemeral: true,
        reaper: std::env::current_exe().ok(),
    };
    let shown = fake.clone();
    let told = {
        let mount = mount.clone();
        move || {
            std::thread::spawn(move || {
                if let Err(error) = tour(&mount, &shown) {
                    eprintln!("the demo stopped: {error}");
                }
            });
        }
    };
    app::mount(&plan, told).map_err(|failure| failure.to_string())?;
    let alive = fake.live_tokens().into_iter().filter(|token| !token.seeded).count();
    println!("\nunmounted; tokens of the demo that are still alive upstream: {alive}");
    Ok(())
}

/// What a new user would type, with what happens.
fn tour(mount: &Path, fake: &Fake) -> Result<(), String> {
    let step = |text: &str| println!("\n\x1b[1m# {text}\x1b[0m");
    let shell = |command: &str| -> Result<String, String> {
        println!("$ {command}");
        let output =
            Command::new("sh").arg("-c").arg(command).current_dir(mount).output().map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        print!("{text}");
        if !text.is_empty() && !text.ends_with('\n') {
            println!();
        }
        match output.status.success() {
            true => Ok(text),
            false => Err(format!("`{command}` failed")),
        }
    };
    println!("A fake HCP Terraform serves on {}; tfcfs is mounted on {}.", fake.url(), mount.display());
    step("Tell tfcfs with which token it makes tokens: the anchor, here that of user alice, an owner of \"acme\"");
    let secret = fake.anchor_user_token();
    std::fs::write(mount.join("config"), format!("address = \"{}\"\ntoken = \"{secret}\"\n", fake.url()))
        .map_err(|error| format!("config: {error}"))?;
    shell("cat config")?;

    step("Define a role of each type: that makes no token yet");
    let (team, user) = (fake.team_id(ACME, "deploy"), fake.user_id("alice"));
    shell(&format!("echo 'organization = \"{ACME}\"' > roles/org"))?;
    shell(&format!("echo 'team_id = \"{team}\"' > roles/legacy"))?;
    shell(&format!(
        "printf 'organization = \"{ACME}\"\\nteam = \"deploy\"\\ncredential_type = \"team\"\\n' > roles/deploy"
    ))?;
    shell(&format!("printf 'user_id = \"{user}\"\\nshare = \"open\"\\non_close = \"revoke\"\\n' > roles/alice"))?;
    shell("cat roles/deploy")?;
    println!("tokens made so far: {}", made(fake));

    step("Read: each first open makes a token, the next one reuses it");
    for role in ["org", "legacy", "deploy", "alice"] {
        shell(&format!("cut -c1-24 creds/{role}/token"))?;
    }
    shell("cut -c1-24 creds/deploy/token; cut -c1-55 creds/deploy/env")?;
    println!("tokens made so far: {}", made(fake));

    step("Hold: the lease of an open file lasts as long as the file is open, and ends with it");
    shell("( exec 3< creds/alice/token; ls leases/alice; cat leases/alice/* ); sleep 0.3; ls leases/alice")?;

    step("Rotate: a new token is in force when the write returns");
    shell("echo > rotate/deploy; cut -c1-24 creds/deploy/token; cat rotate/deploy")?;

    step("Leases end by themselves: ttl is 5 seconds in this demo");
    shell("ls leases/deploy; sleep 6; ls leases/deploy | wc -l")?;
    shell("tail -n 4 events")?;
    shell("cat status")?;

    step("It is yours now. Try in another terminal:");
    let at = mount.display();
    for line in [
        format!("cd {at}; cat README; ls -lR ."),
        format!("cat {at}/creds/deploy/token.json"),
        format!("tail -f {at}/events"),
        format!("echo 'bogus = 1' > {at}/roles/x; cat {at}/errors"),
        format!("rm {at}/leases/deploy/*; cat {at}/status"),
        format!("curl -s {}/_fake/tokens", fake.url()),
    ] {
        println!("  {line}");
    }
    println!("Ctrl-C here unmounts, revokes every token of the demo and ends.");
    Ok(())
}

fn made(fake: &Fake) -> usize {
    fake.all_tokens().iter().filter(|token| !token.seeded).count()
}
