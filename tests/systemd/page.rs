//! docs/systemd.md, followed command by command on a fresh machine.

use std::path::Path;
use std::process::Command;

use super::site::{MOUNT, Site, Suite};
use crate::fake::ACME;

/// The commands of a page, block by block.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once("\n```sh\n") {
        let (block, after) = after.split_once("\n```\n").unwrap();
        blocks.push(block.to_owned());
        rest = after;
    }
    blocks
}

#[test]
fn the_page_can_be_followed() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(own.join("docs/systemd.md")).unwrap();
    let site = Site::bare(Suite::Bookworm);
    site.sh("mkdir -p /root/tfcfs/target/release");
    let here = site.at("/root/tfcfs");
    std::fs::copy(env!("CARGO_BIN_EXE_tfcfs"), here.join("target/release/tfcfs")).unwrap();
    assert!(Command::new("cp").arg("-r").arg(own.join("systemd")).arg(&here).status().unwrap().success());
    site.secret("/root/tfcfs/anchor.token", &site.fake.anchor_user_token());
    let mut said = Vec::new();
    for block in blocks(&page) {
        let block = block.replace("https://app.terraform.io", &site.fake.url());
        let block = block.replace("team-Ex4mp1eTeamAbCdE", &site.fake.team_id(ACME, "deploy"));
        said.push(site.sh(&format!("set -eu; cd /root/tfcfs\n{block}")));
    }
    assert_eq!(said.len(), 4, "blocks");
    assert!(said[0].contains("version = "), "{said:?}");
    let size = site.read("creds/app/token").len();
    assert!(said[1].contains(&format!("{size} {MOUNT}/creds/app/token")), "{said:?}");
    assert!(said[3].contains(&format!("{size} /srv/tfc/creds/app/token")), "{said:?}");
    assert!(!site.at("/var/lib/tfcfs/sealing.key").exists() && !site.at("/etc/credstore/tfcfs-anchor").exists());
}
