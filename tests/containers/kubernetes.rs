//! The manifests, each pod's containers started by what it says.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use super::engine::{Container, Engine};
use super::image;
use super::pod::Pod;
use crate::support::{Site, eventually};

const SIDECAR: &str = "containers/kubernetes-sidecar.yaml";
const NODE: &str = "containers/kubernetes-node.yaml";

/// How the examples' program reads its token.
const READ: &str = "cat /srv/tfcfs/mnt/creds/app/token";

/// Reads until told to stop, and writes down each failure.
const LOOP: &str = "n=0; while [ ! -e /dev/shm/stop ]; do cat /srv/tfcfs/mnt/creds/app/token >/dev/null 2>>/dev/shm/failures && \
                    n=$((n+1)); done; echo $n >/dev/shm/count";

fn kill_server(container: &Container) {
    // What the probes left behind is waited for, a moment later.
    eventually("one server", || container.children().len() == 1);
    let server = container.children()[0];
    kill_process(Pid::from_raw(server as i32).unwrap(), Signal::KILL).unwrap();
    // A process that has ended and that nobody has waited for is still a child: there must be one only.
    eventually("one server, another one", || matches!(container.children()[..], [other] if other != server));
}

#[test]
fn a_sidecar_gives_its_neighbour_tokens_over_crashes_and_restarts() {
    let engine = Engine::new();
    image::ready(&engine);
    let site = Site::new();
    let pod = Pod::new(&site, &image::repository().join(SIDECAR), "Pod", "app");
    let sidecar = pod.start(&engine, pod.spec(), "tfcfs");
    let app = pod.start(&engine, pod.spec(), "app");
    let token = app.sh(READ);
    assert!(site.fake.is_live(&token));

    // Of a caller in another pid namespace only the uid is known.
    let role = site.team_role("uid = 1000\nshare = \"unit\"");
    fs::write(pod.shared.at("roles/unit"), role).unwrap();
    assert!(!app.try_exec(&["cat", "/srv/tfcfs/mnt/creds/unit/token"]).status.success());
    let errors = fs::read_to_string(pod.shared.at("errors")).unwrap();
    assert!(errors.contains("another pid namespace"), "{errors}");

    // Nobody notices that a server died.
    app.sh(&format!("({LOOP}) & sleep 0.2"));
    for _ in 0..3 {
        kill_server(&sidecar);
        assert_eq!(app.sh(READ), token);
    }
    app.sh("touch /dev/shm/stop; while [ ! -e /dev/shm/count ]; do sleep 0.1; done");
    assert_eq!(app.sh("cat /dev/shm/failures"), "");
    assert!(app.sh("cat /dev/shm/count").parse::<u32>().unwrap() > 10);

    // All of it killed: the mount is dead until kubelet starts it again, and the neighbour sees the new one.
    sidecar.kill();
    let output = app.try_exec(&["sh", "-c", READ]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("not connected"), "{output:?}");
    sidecar.start_again();
    eventually("it reads again", || app.try_exec(&["sh", "-c", READ]).status.success());
    assert_eq!(app.sh(READ), token, "the state survived");

    // The pod is deleted: nothing is left, on the host or upstream.
    assert_eq!(sidecar.stop(), 0, "{}", sidecar.logs());
    assert!(!pod.shared.is_mounted());
    assert_eq!(fs::read_dir(pod.shared.at("")).unwrap().count(), 0);
    assert!(site.made().is_empty(), "{:?}", site.made());
}

#[test]
fn one_mount_of_a_node_serves_its_pods() {
    let engine = Engine::new();
    image::ready(&engine);
    let site = Site::new();
    let pod = Pod::new(&site, &image::repository().join(NODE), "DaemonSet", "tfcfs");
    let app_spec = pod.spec_of("Pod", "app");
    let early = pod.start(&engine, &app_spec, "app");
    let node = pod.start(&engine, pod.spec(), "tfcfs");
    let late = pod.start(&engine, &app_spec, "app");
    // Of another pod: no right, no device; only its uid and its unit are looked at.
    let tokens = [early.sh(READ), late.sh(READ)];
    assert!(
        tokens.iter().all(|token| site.fake.is_live(token)),
        "{}",
        fs::read_to_string(pod.shared.at("errors")).unwrap()
    );
    let leases = fs::read_dir(pod.shared.at("leases/app")).unwrap().count();
    assert_eq!(leases, 2, "each pod is a unit of its own");
    assert_eq!(node.stop(), 0, "{}", node.logs());
    assert!(!pod.shared.is_mounted());
}
