//! The private module registry, as far as `terraform init` asks: every organization has [`MODULE`].

use serde_json::json;

use super::super::access::Caller;
use super::super::answer::Answer;
use super::super::ids;
use super::super::world::World;
use super::{Call, Outcome};

/// Name, provider and version of the only module; its source is `HOST/ORGANIZATION/hello/null`.
const MODULE: [&str; 3] = ["hello", "null", "1.0.0"];

/// One file, `main.tf`, with one output.
const PACKAGE: &[u8] = include_bytes!("../module.tar.gz");

/// 404 unless the caller sees the organization and `parts`, which follow it in the path, are of the module.
fn check(world: &World, caller: &Caller, call: &Call<'_>, parts: &[&str]) -> Result<(), Answer> {
    let (_, asked) = call.path.split_once(&format!("/modules/{}/", call.subject)).unwrap_or_default();
    let asked: Vec<&str> = asked.split('/').take(parts.len()).collect();
    if asked == parts && world.may_see_organization(caller, call.subject) { Ok(()) } else { Err(Answer::error(404)) }
}

/// The versions there are.
pub fn versions(world: &World, caller: &Caller, call: &Call<'_>) -> Outcome {
    let [name, provider, version] = MODULE;
    check(world, caller, call, &[name, provider])?;
    let source = format!("{}/{name}/{provider}", call.subject);
    let root = json!({"dependencies": [], "providers": []});
    let versions = json!([{"version": version, "submodules": [], "root": root}]);
    let body = json!({"modules": [{"source": source, "versions": versions}]});
    Ok(Answer::text(200, "application/json", body.to_string()))
}

/// Where a version can be had: at an address that nobody can guess, for anybody who has it.
pub fn download(world: &mut World, caller: &Caller, call: &Call<'_>) -> Outcome {
    check(world, caller, call, &MODULE)?;
    let object = ids::id("object");
    let place = format!("/v1/object/{object}?archive=tar.gz");
    world.objects.insert(object);
    Ok(Answer::empty(204).with("x-terraform-get", place))
}

/// The version itself.
pub fn package(world: &World, call: &Call<'_>) -> Answer {
    if world.objects.contains(call.subject) {
        Answer::text(200, "application/x-gzip", PACKAGE)
    } else {
        Answer::error(404)
    }
}
