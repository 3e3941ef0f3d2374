//! The compose file, with the directories of this machine in place of a server's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::engine::{Container, Engine};
use super::image::{self, BUSYBOX};
use super::shared::Shared;
use super::tools::tool;
use crate::fake::ACME;
use crate::support::{Site, eventually};

/// The fake upstream listens to this machine only.
const OVERRIDE: &str = "services:\n  tfcfs: {network_mode: host}\n  app: {network_mode: host}\n";

struct Compose<'a> {
    engine: &'a Engine,
    site: &'a Site,
}

impl Compose<'_> {
    fn run(&self, arguments: &[&str]) {
        let mut command = Command::new("timeout");
        command.arg("60").arg(tool("podman-compose")).args(["--file", "compose.yaml", "--file", "override.yaml"]);
        self.engine.prepare(command.args(arguments).current_dir(self.site.beside("compose")));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?} {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_compose_file_gives_its_application_tokens() {
    let engine = Engine::new();
    image::ready(&engine);
    let site = Site::new();
    let shared = Shared::new(site.beside("shared"));
    let settings = site.beside("etc");
    fs::create_dir(&settings).unwrap();
    fs::write(settings.join("anchor.token"), site.fake.anchor_user_token()).unwrap();
    fs::set_permissions(settings.join("anchor.token"), fs::Permissions::from_mode(0o600)).unwrap();
    let role =
        format!("[roles.app]\nteam_id = \"{}\"\ncredential_type = \"team\"\n", site.fake.team_id(ACME, "deploy"));
    let anchor = format!("[anchors.default]\naddress = \"{}\"\ntoken_file = \"anchor.token\"\n", site.fake.url());
    fs::write(settings.join("tfcfs.toml"), anchor + &role).unwrap();
    // The name of the folder is that of the project.
    let project = format!("tfcfs{}", std::process::id());
    let folder = site.beside("compose");
    fs::create_dir(&folder).unwrap();
    let text = fs::read_to_string(image::repository().join("containers/compose.yaml")).unwrap();
    let text = text.replace("source: /srv/tfcfs", &format!("source: {}", shared.path().display()));
    let text = text.replace("source: /etc/tfcfs", &format!("source: {}", settings.display()));
    let text = text.replace("image: debian:bookworm-slim", &format!("image: {BUSYBOX}"));
    fs::write(folder.join("compose.yaml"), text).unwrap();
    fs::write(folder.join("override.yaml"), OVERRIDE).unwrap();
    let compose = Compose { engine: &engine, site: &site };
    let tfcfs = Container::named(&engine, &format!("{project}_tfcfs_1"));
    let app = Container::named(&engine, &format!("{project}_app_1"));

    compose.run(&["--project-name", &project, "up", "--detach", "--no-build", "tfcfs"]);
    // The check that `service_healthy` waits for.
    eventually("it is healthy", || engine.podman(&["healthcheck", "run", &tfcfs.name]).status.success());
    compose.run(&["--project-name", &project, "up", "--detach", "--no-build", "app"]);
    let token = app.sh("cat /srv/tfcfs/mnt/creds/app/token");
    assert!(site.fake.is_live(&token));
    // A new container of tfcfs goes on with the volume of the former one, and the application sees its mount.
    compose.run(&["--project-name", &project, "restart", "tfcfs"]);
    eventually("it reads again", || {
        app.try_exec(&["cat", "/srv/tfcfs/mnt/creds/app/token"]).stdout == token.as_bytes()
    });
    assert_eq!(tfcfs.stop(), 0, "{}", tfcfs.logs());
    assert!(!shared.is_mounted());
    compose.run(&["--project-name", &project, "down", "--volumes", "--timeout", "1"]);
}
