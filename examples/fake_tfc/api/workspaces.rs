//! Workspaces, as far as `terraform init` with a `remote` backend asks: every organization has [`WORKSPACE`], without a state.

use serde_json::json;

use super::super::access::Caller;
use super::super::answer::Answer;
use super::super::world::World;
use super::{Call, Outcome};

/// The name of the only workspace.
const WORKSPACE: &str = "app";

/// The id of an organization's workspace.
fn id(organization: &str) -> String {
    format!("ws-{organization}-{WORKSPACE}")
}

/// The workspace by name.
pub fn show(world: &World, caller: &Caller, call: &Call<'_>) -> Outcome {
    let organization = call.subject;
    if !call.path.ends_with(&format!("/{WORKSPACE}")) || !world.may_see_organization(caller, organization) {
        return Err(Answer::error(404));
    }
    let attributes = json!({
        "name": WORKSPACE, "auto-apply": false, "locked": false, "operations": true, "execution-mode": "remote",
        "terraform-version": "1.0.3", "working-directory": "", "environment": "default",
        "permissions": {"can-queue-run": true, "can-lock": true, "can-unlock": true, "can-update": true},
    });
    let organization_data = json!({"id": organization, "type": "organizations"});
    let data = json!({"id": id(organization), "type": "workspaces", "attributes": attributes,
                      "relationships": {"organization": {"data": organization_data}}});
    Ok(Answer::json(200, &json!({ "data": data })))
}

/// Its state: there is none yet, for those who see the workspace as for everybody else.
pub fn current_state() -> Outcome {
    Err(Answer::error(404))
}
