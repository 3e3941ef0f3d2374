"""Makes, lists, shows and deletes every kind of token with HashiCorp's own SDK, and checks what comes back.

pytfe 1.5 has services for organization, audit-trails and team tokens (described and undescribed) and for lifetime
policies. It has none for user tokens, which therefore go through its transport as plain HTTP; that still tests the
headers, the media type and the error mapping that the SDK relies on.
"""

import os
from datetime import datetime, timedelta, timezone

from pytfe import TFEClient, TFEConfig
from pytfe.errors import AuthError, NotFound, TFEError
from pytfe.models.org_token_ttl_policy import OrgTokenTTLPolicyUpdateOptions
from pytfe.models.organization_token import (
    OrganizationTokenCreateOptions,
    OrganizationTokenDeleteOptions,
    OrganizationTokenReadOptions,
    TokenType,
)
from pytfe.models.team_token import TeamTokenCreateOptions, TeamTokenListOptions

ADDRESS = os.environ["TFE_ADDRESS"]
ORGANIZATION = os.environ["ORGANIZATION"]
TEAM = os.environ["TEAM_ID"]
USER = os.environ["USER_ID"]
END = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=3)


def client(token):
    return TFEClient(TFEConfig(address=ADDRESS, token=token, max_retries=0))


def refused(error, call, *arguments):
    try:
        call(*arguments)
    except error as caught:
        return caught
    raise AssertionError(f"{call} was not refused")


def alive(token):
    try:
        client(token).users.read_current()
        return True
    except AuthError:
        return False


tfe = client(os.environ["TFE_TOKEN"])
assert tfe.users.read_current().id == USER
assert tfe.users.read(USER).username == "alice"
assert tfe.organizations.read(ORGANIZATION).name == ORGANIZATION
assert [o.name for o in tfe.organizations.list()] == [ORGANIZATION]
assert tfe.teams.read(TEAM).name == "deploy"
assert {t.name for t in tfe.teams.list(ORGANIZATION)} == {"deploy", "owners"}
assert len(list(tfe.organization_memberships.list(ORGANIZATION))) == 1

done = []

# organization: one slot
tokens = tfe.organization_tokens
refused(NotFound, tokens.read, ORGANIZATION)
first = tokens.create(ORGANIZATION)
second = tokens.create_with_options(ORGANIZATION, OrganizationTokenCreateOptions(expired_at=END))
assert second.expired_at == END and second.id != first.id
assert not alive(first.token) and alive(second.token)
shown = tokens.read(ORGANIZATION)
assert shown.id == second.id and shown.token is None and shown.expired_at == END
done.append("organization")

# audit trails: another slot of the same organization
audit = TokenType.AUDIT_TRAILS
trail = tokens.create_with_options(ORGANIZATION, OrganizationTokenCreateOptions(token=audit))
assert alive(second.token)
assert tokens.read_with_options(ORGANIZATION, OrganizationTokenReadOptions(token=audit)).id == trail.id
tokens.delete_with_options(ORGANIZATION, OrganizationTokenDeleteOptions(token=audit))
assert tokens.read(ORGANIZATION).id == second.id
tokens.delete(ORGANIZATION)
refused(NotFound, tokens.delete, ORGANIZATION)
assert not alive(second.token)
done.append("audit")

# team, undescribed: one slot
tokens = tfe.team_tokens
first = tokens.create(TEAM)
second = tokens.create_with_options(TEAM, TeamTokenCreateOptions(expired_at=END))
assert first.description is None and second.expired_at == END
assert second.team.id == TEAM and second.created_by.user.id == USER
assert not alive(first.token) and alive(second.token)
assert tokens.read(TEAM).id == second.id and tokens.read(TEAM).token is None
done.append("team_legacy")

# team, described: many, on more than one page
made = [
    tokens.create_with_options(TEAM, TeamTokenCreateOptions(description=f"check {n}", expired_at=END))
    for n in range(25)
]
taken = refused(TFEError, tokens.create_with_options, TEAM, TeamTokenCreateOptions(description="check 3"))
assert taken.status == 422 and "already been taken" in str(taken), taken
listed = list(tokens.list(ORGANIZATION, TeamTokenListOptions(page_size=10, query="deploy")))
assert {t.id for t in listed} == {t.id for t in made} | {second.id}
assert all(t.token is None for t in listed)
assert tokens.read_by_id(made[0].id).description == "check 0"
assert alive(second.token) and all(alive(t.token) for t in made[:2])
for token in made:
    tokens.delete_by_id(token.id)
refused(NotFound, tokens.delete_by_id, made[0].id)
assert not alive(made[0].token)
tokens.delete(TEAM)
refused(NotFound, tokens.read, TEAM)
done.append("team")

# user: by the transport, as there is no service for it
http = tfe.users.t
path = f"/api/v2/users/{USER}/authentication-tokens"
before = {t["id"] for t in http.request("GET", path).json()["data"]}
end = END.strftime("%Y-%m-%dT%H:%M:%SZ")
body = {"data": {"type": "authentication-tokens", "attributes": {"description": "check", "expired-at": end}}}
answer = http.request("POST", path, json_body=body)
user = answer.json()["data"]
assert answer.status_code == 201 and alive(user["attributes"]["token"])
assert datetime.fromisoformat(user["attributes"]["expired-at"].replace("Z", "+00:00")) == END
assert {t["id"] for t in http.request("GET", path).json()["data"]} == before | {user["id"]}
shown = http.request("GET", f"/api/v2/authentication-tokens/{user['id']}").json()["data"]
assert shown["attributes"]["token"] is None and shown["attributes"]["description"] == "check"
assert http.request("DELETE", f"/api/v2/authentication-tokens/{user['id']}").status_code == 204
refused(NotFound, http.request, "DELETE", f"/api/v2/authentication-tokens/{user['id']}")
assert not alive(user["attributes"]["token"])
done.append("user")

policies = tfe.organization_token_ttl_policies
updated = policies.update(ORGANIZATION, OrgTokenTTLPolicyUpdateOptions(team="30d"))
assert {p.token_type.value: p.max_ttl_ms for p in updated if p.token_type}["team"] == 30 * 86_400_000
done.append("policies")

refused(AuthError, client("nonsense").users.read_current)
print(*done, "ok")
