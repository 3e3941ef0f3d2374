//! A pod of a manifest, as kubelet would start its containers: volumes, propagation, rights, probes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::engine::{Container, Engine};
use super::shared::Shared;
use super::yaml::{self, list, text, words};
use crate::fake::ACME;
use crate::support::{Site, eventually};

/// The team in the examples.
const TEAM: &str = "team-Ex4mp1eTeamAbCdE";

pub struct Pod {
    documents: Vec<Value>,
    spec: Value,
    /// Volumes, by name.
    below: PathBuf,
    /// The volume that the mount is made in.
    pub shared: Shared,
}

impl Pod {
    /// The pod of the document of this kind and name, for the site's fake upstream.
    pub fn new(site: &Site, manifest: &Path, kind: &str, name: &str) -> Self {
        let documents = yaml::documents(manifest);
        let found = documents.iter().find(|one| one["kind"] == kind && one["metadata"]["name"] == name);
        let document = found.unwrap_or_else(|| panic!("no {kind} {name}"));
        let spec = document.pointer("/spec/template/spec").unwrap_or(&document["spec"]).clone();
        let below = site.beside("volumes");
        fs::create_dir_all(&below).unwrap();
        let shared = Shared::new(below.join("mount"));
        // As kubelet makes an emptyDir.
        fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let pod = Self { documents, spec, below, shared };
        for volume in list(&pod.spec, "/volumes") {
            pod.fill(site, volume);
        }
        pod
    }

    /// A container of the same shared volume that another pod has.
    pub fn spec_of(&self, kind: &str, name: &str) -> Value {
        let found = self.documents.iter().find(|one| one["kind"] == kind && one["metadata"]["name"] == name);
        found.expect("it is in the manifest")["spec"].clone()
    }

    fn fill(&self, site: &Site, volume: &Value) {
        let name = text(volume, "/name");
        let place = self.below.join(name);
        if !place.exists() {
            fs::create_dir(&place).unwrap();
        }
        if volume.get("emptyDir").is_some() {
            fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
        } else if volume.get("configMap").is_some() {
            let map = self.documents.iter().find(|one| one["kind"] == "ConfigMap").expect("a ConfigMap");
            let address = format!("[anchors.default]\naddress = \"{}\"", site.fake.url());
            let settings = text(map, "/data/tfcfs.toml").replace("[anchors.default]", &address);
            let settings = settings.replace(TEAM, &site.fake.team_id(ACME, "deploy"));
            // As podman names what kubelet names kubepods.slice.
            let settings = settings.replace("/kubepods.slice", "/libpod_parent");
            project(&place, "tfcfs.toml", &settings, 0o644);
        } else if let Some(secret) = volume.get("secret") {
            let mode = secret["defaultMode"].as_u64().expect("a mode: the default one lets others in") as u32;
            project(&place, "token", &site.fake.anchor_user_token(), mode);
        } else {
            assert!(volume.get("hostPath").is_some(), "{volume}");
        }
    }

    /// Starts a container, and waits for what its start is to be waited for.
    pub fn start<'a>(&self, engine: &'a Engine, spec: &Value, container: &str) -> Container<'a> {
        let of = |list_of: &str| list(spec, list_of).iter().find(|one| one["name"] == container).cloned();
        let found = of("/initContainers").or_else(|| of("/containers")).expect("it is in the pod");
        let mut options: Vec<String> = Vec::new();
        let mut option = |words: &[&str]| options.extend(words.iter().map(|word| (*word).to_owned()));
        if spec["hostPID"] == true {
            option(&["--pid", "host"]);
        }
        let security = &found["securityContext"];
        if security["privileged"] == true {
            option(&["--privileged"]);
        }
        if security["readOnlyRootFilesystem"] == true {
            option(&["--read-only", "--read-only-tmpfs=false"]);
        }
        if security["allowPrivilegeEscalation"] == false {
            option(&["--security-opt", "no-new-privileges"]);
        }
        if let Some(user) = security["runAsUser"].as_u64() {
            option(&["--user", &user.to_string()]);
        }
        for right in words(security, "/capabilities/drop") {
            option(&["--cap-drop", &right]);
        }
        for mount in list(&found, "/volumeMounts") {
            let source = self.below.join(text(mount, "/name")).display().to_string();
            // In another pod the same directory of the host may have another name.
            let source = if Path::new(&source).exists() { source } else { self.shared.path().display().to_string() };
            let propagation = match mount["mountPropagation"].as_str() {
                Some("Bidirectional") => "rshared",
                Some("HostToContainer") => "rslave",
                _ => "rprivate",
            };
            let access = if mount["readOnly"] == true { "ro" } else { "rw" };
            option(&["--volume", &format!("{source}:{}:{access},{propagation}", text(mount, "/mountPath"))]);
        }
        for variable in list(&found, "/env") {
            option(&["--env", &format!("{}={}", text(variable, "/name"), text(variable, "/value"))]);
        }
        let command = words(&found, "/command");
        if !command.is_empty() {
            option(&["--entrypoint", &serde_json::to_string(&command).unwrap()]);
        }
        option(&[super::image::local(text(&found, "/image"))]);
        options.extend(words(&found, "/args"));
        let started = engine.start(&options.iter().map(String::as_str).collect::<Vec<_>>());
        for probe in ["/startupProbe/exec/command", "/readinessProbe/exec/command", "/livenessProbe/exec/command"] {
            let command = words(&found, probe);
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            if !command.is_empty() {
                eventually("the probe succeeds", || started.try_exec(&command).status.success());
            }
        }
        started
    }

    pub fn spec(&self) -> &Value {
        &self.spec
    }
}

/// A file as kubelet projects it: through two links.
fn project(place: &Path, name: &str, text: &str, mode: u32) {
    let data = place.join("..2026_11_24");
    fs::create_dir(&data).unwrap();
    fs::write(data.join(name), text).unwrap();
    fs::set_permissions(data.join(name), fs::Permissions::from_mode(mode)).unwrap();
    symlink("..2026_11_24", place.join("..data")).unwrap();
    symlink(format!("..data/{name}"), place.join(name)).unwrap();
}
