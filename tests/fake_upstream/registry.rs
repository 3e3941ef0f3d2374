//! What `terraform init` asks: modules by the registry protocol, and a workspace.

use crate::client::{Api, start};
use crate::fake::{ACME, Mode, Owner};

const MODULES: &str = "/api/registry/v1/modules";

#[tokio::test]
async fn modules_are_for_those_who_see_the_organization() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_team_token());
    let services = api.get("/.well-known/terraform.json").await;
    assert_eq!(services.json["modules.v1"], format!("{MODULES}/"));
    let versions = api.get(&format!("{MODULES}/{ACME}/hello/null/versions")).await;
    assert_eq!(versions.json["modules"][0]["versions"][0]["version"], "1.0.0");
    for unknown in ["hello/aws/versions", "bye/null/versions", "hello/null/2.0.0/download"] {
        assert_eq!(api.get(&format!("{MODULES}/{ACME}/{unknown}")).await.status, 404, "{unknown}");
    }
    let download = format!("{MODULES}/{ACME}/hello/null/1.0.0/download");
    let answer = api.get(&download).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    let place = answer.header("x-terraform-get").unwrap().to_owned();

    let nobody = api.calling_with("");
    assert_eq!(nobody.get(&download).await.status, 401);
    assert_eq!(nobody.get(&place).await.status, 200, "whoever has the address has the package");
    assert_eq!(nobody.get("/v1/object/object-1").await.status, 404);

    fake.seed_organization("other");
    let (_, theirs) = fake.seed_token(Owner::Organization("other".into()), crate::fake::Kind::Organization, None, None);
    assert_eq!(api.calling_with(&theirs).get(&download).await.status, 404);
}

#[tokio::test]
async fn every_organization_has_one_workspace_without_a_state() {
    let fake = start(Mode::Hcp);
    let api = Api::new(&fake, &fake.anchor_team_token());
    let workspace = api.get("organizations/acme/workspaces/app").await;
    assert_eq!((workspace.status, workspace.attribute("name").as_str()), (200, Some("app")));
    assert_eq!(api.get("organizations/acme/workspaces/none").await.status, 404);
    assert_eq!(api.get(&format!("workspaces/{}/current-state-version", workspace.id())).await.status, 404);
    assert_eq!(api.calling_with("").get("organizations/acme/workspaces/app").await.status, 401);
}
