//! The API's routes by name, and how a request line becomes one.

use hyper::Method;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::options::Mode;

/// A route of the API. In JSON: `create_team_token` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Every route below, and unknown paths: for faults.
    Any,
    /// A path that does not exist.
    Unknown,
    /// `GET /api/v2/ping`
    Ping,
    /// `GET /.well-known/terraform.json`
    Discovery,
    /// `GET /api/v2/account/details`
    AccountDetails,
    /// `GET /api/v2/users/:user`
    ShowUser,
    /// `GET /api/v2/organizations`
    ListOrganizations,
    /// `GET /api/v2/organizations/:org`
    ShowOrganization,
    /// `GET /api/v2/organizations/:org/entitlement-set`
    EntitlementSet,
    /// `GET /api/v2/organizations/:org/teams`
    ListTeams,
    /// `GET /api/v2/teams/:team`
    ShowTeam,
    /// `GET /api/v2/organizations/:org/organization-memberships`
    ListMemberships,
    /// `GET /api/v2/organization-memberships`
    OwnMemberships,
    /// `POST /api/v2/organizations/:org/authentication-token`
    CreateOrganizationToken,
    /// `GET` of the same
    ShowOrganizationToken,
    /// `DELETE` of the same
    DeleteOrganizationToken,
    /// `POST /api/v2/teams/:team/authentication-token`
    CreateTeamLegacyToken,
    /// `GET` of the same
    ShowTeamLegacyToken,
    /// `DELETE` of the same
    DeleteTeamLegacyToken,
    /// `POST /api/v2/teams/:team/authentication-tokens`
    CreateTeamToken,
    /// `GET /api/v2/organizations/:org/team-tokens`
    ListTeamTokens,
    /// `DELETE` of the same
    BulkDeleteTeamTokens,
    /// `POST /api/v2/users/:user/authentication-tokens`
    CreateUserToken,
    /// `GET` of the same
    ListUserTokens,
    /// `GET /api/v2/authentication-tokens/:id`
    ShowToken,
    /// `DELETE` of the same
    DeleteToken,
    /// `GET /api/v2/organizations/:org/token-ttl-policies`
    ShowTtlPolicies,
    /// `PATCH` of the same
    UpdateTtlPolicies,
    /// `GET /api/registry/v1/modules/:org/:name/:provider/versions`
    ModuleVersions,
    /// `GET /api/registry/v1/modules/:org/:name/:provider/:version/download`
    ModuleDownload,
    /// `GET /v1/object/:object`
    ModulePackage,
    /// `GET /api/v2/organizations/:org/workspaces/:name`
    ShowWorkspace,
    /// `GET /api/v2/workspaces/:workspace/current-state-version`
    CurrentStateVersion,
}

impl Route {
    /// The route of a request in this mode, with the name or id in its path (empty if there is none).
    pub fn parse(method: &Method, path: &str, mode: Mode) -> (Self, String) {
        let decoded: Vec<String> = path
            .trim_start_matches('/')
            .split('/')
            .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
        if method == Method::GET && parts == [".well-known", "terraform.json"] {
            return (Self::Discovery, String::new());
        }
        if method == Method::GET
            && let Some((route, subject)) = Self::registry(&parts)
        {
            return (route, subject.to_owned());
        }
        let ["api", "v2", rest @ ..] = parts.as_slice() else { return (Self::Unknown, String::new()) };
        let (route, subject) = match method.as_str() {
            "GET" => Self::get(rest),
            "POST" => Self::post(rest),
            "DELETE" => Self::delete(rest),
            "PATCH" => match rest {
                ["organizations", org, "token-ttl-policies"] => (Self::UpdateTtlPolicies, *org),
                _ => (Self::Unknown, ""),
            },
            _ => (Self::Unknown, ""),
        };
        if route.exists_in(mode) { (route, subject.to_owned()) } else { (Self::Unknown, String::new()) }
    }

    fn registry<'a>(parts: &[&'a str]) -> Option<(Self, &'a str)> {
        match *parts {
            ["api", "registry", "v1", "modules", org, _, _, "versions"] => Some((Self::ModuleVersions, org)),
            ["api", "registry", "v1", "modules", org, _, _, _, "download"] => Some((Self::ModuleDownload, org)),
            ["v1", "object", object] => Some((Self::ModulePackage, object)),
            _ => None,
        }
    }

    fn get<'a>(parts: &[&'a str]) -> (Self, &'a str) {
        match *parts {
            ["ping"] => (Self::Ping, ""),
            ["account", "details"] => (Self::AccountDetails, ""),
            ["users", user] => (Self::ShowUser, user),
            ["users", user, "authentication-tokens"] => (Self::ListUserTokens, user),
            ["organizations"] => (Self::ListOrganizations, ""),
            ["organizations", org] => (Self::ShowOrganization, org),
            ["organizations", org, "entitlement-set"] => (Self::EntitlementSet, org),
            ["organizations", org, "teams"] => (Self::ListTeams, org),
            ["organizations", org, "organization-memberships"] => (Self::ListMemberships, org),
            ["organizations", org, "authentication-token"] => (Self::ShowOrganizationToken, org),
            ["organizations", org, "team-tokens"] => (Self::ListTeamTokens, org),
            ["organizations", org, "token-ttl-policies"] => (Self::ShowTtlPolicies, org),
            ["organizations", org, "workspaces", _] => (Self::ShowWorkspace, org),
            ["workspaces", workspace, "current-state-version"] => (Self::CurrentStateVersion, workspace),
            ["organization-memberships"] => (Self::OwnMemberships, ""),
            ["teams", team] => (Self::ShowTeam, team),
            ["teams", team, "authentication-token"] => (Self::ShowTeamLegacyToken, team),
            ["authentication-tokens", id] => (Self::ShowToken, id),
            _ => (Self::Unknown, ""),
        }
    }

    fn post<'a>(parts: &[&'a str]) -> (Self, &'a str) {
        match *parts {
            ["organizations", org, "authentication-token"] => (Self::CreateOrganizationToken, org),
            ["teams", team, "authentication-token"] => (Self::CreateTeamLegacyToken, team),
            ["teams", team, "authentication-tokens"] => (Self::CreateTeamToken, team),
            ["users", user, "authentication-tokens"] => (Self::CreateUserToken, user),
            _ => (Self::Unknown, ""),
        }
    }

    fn delete<'a>(parts: &[&'a str]) -> (Self, &'a str) {
        match *parts {
            ["organizations", org, "authentication-token"] => (Self::DeleteOrganizationToken, org),
            ["organizations", org, "team-tokens"] => (Self::BulkDeleteTeamTokens, org),
            ["teams", team, "authentication-token"] => (Self::DeleteTeamLegacyToken, team),
            ["authentication-tokens", id] => (Self::DeleteToken, id),
            _ => (Self::Unknown, ""),
        }
    }

    fn exists_in(self, mode: Mode) -> bool {
        match self {
            Self::CreateTeamToken => mode.has_multi_team_tokens(),
            Self::BulkDeleteTeamTokens => mode.is_hcp(),
            Self::ShowTtlPolicies | Self::UpdateTtlPolicies => mode.ends_tokens_by_default(),
            _ => true,
        }
    }

    /// Whether anybody may call it without a token.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Ping | Self::Discovery | Self::ModulePackage)
    }

    /// Whether the subject in the path is an organization.
    pub fn is_about_organization(self) -> bool {
        matches!(
            self,
            Self::ShowOrganization
                | Self::EntitlementSet
                | Self::ListTeams
                | Self::ListMemberships
                | Self::CreateOrganizationToken
                | Self::ShowOrganizationToken
                | Self::DeleteOrganizationToken
                | Self::ListTeamTokens
                | Self::BulkDeleteTeamTokens
                | Self::ShowTtlPolicies
                | Self::UpdateTtlPolicies
                | Self::ModuleVersions
                | Self::ModuleDownload
                | Self::ShowWorkspace
        )
    }

    /// Whether the subject in the path is a team.
    pub fn is_about_team(self) -> bool {
        matches!(
            self,
            Self::ShowTeam
                | Self::CreateTeamLegacyToken
                | Self::ShowTeamLegacyToken
                | Self::DeleteTeamLegacyToken
                | Self::CreateTeamToken
        )
    }
}
