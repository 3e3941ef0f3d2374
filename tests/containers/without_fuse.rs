//! A container that may do nothing: the machine that starts it has the mount.

use std::process::Command;

use super::engine::Engine;
use super::image::{self, BUSYBOX};
use crate::support::{Daemon, Holder, eventually};

#[test]
fn exec_lends_a_container_the_token_for_as_long_as_it_runs() {
    let engine = Engine::new();
    image::ready(&engine);
    let daemon = Daemon::ready();
    daemon.write("roles/app", &daemon.team_role("on_close = \"revoke\""));
    // The name without a value: podman takes the value from its own environment, so it is in no argument.
    let lent = [
        "exec",
        "app",
        "--variable",
        "API_TOKEN",
        "--",
        "podman",
        "run",
        "--rm",
        "--interactive",
        "--network",
        "none",
        "--cap-drop",
        "ALL",
        "--user",
        "1000",
        "--env",
        "API_TOKEN",
        BUSYBOX,
        "sh",
        "-c",
        "echo $API_TOKEN; read go",
    ];
    let mut command = Command::new(env!("CARGO_BIN_EXE_tfcfs"));
    command.args(lent).env("TFCFS_MOUNTPOINT", daemon.at("").to_str().unwrap().trim_end_matches('/'));
    engine.prepare(&mut command);
    let mut holder = Holder::start(command);
    let token = holder.line();
    assert!(daemon.fake.is_live(&token), "{token}");
    assert!(daemon.lease("app").contains("held"), "{}", daemon.lease("app"));
    holder.go();
    eventually("it is revoked when the container has ended", || !daemon.fake.is_live(&token));
}
