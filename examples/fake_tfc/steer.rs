//! What tests change while the server runs.

use std::time::Duration;

use super::Fake;
use super::fault::{Calls, Fault};
use super::route::Route;
use super::switches::Switches;
use super::world::{Organization, Team, TokenType, User};

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).expect("a duration of less than geological time")
}

impl Fake {
    /// Scripts a fault: `set_fault(Route::CreateTeamToken, 1, Fault::status(503))` hits the next call, [`Calls`] the
    /// others. Several on one call all take place.
    pub fn set_fault(&self, route: Route, calls: impl Into<Calls>, fault: Fault) {
        fault.check().expect("a fault that HTTP can carry");
        self.shared.world.lock().script.add(route, calls.into(), fault);
    }

    /// Forgets all faults.
    pub fn clear_faults(&self) {
        self.shared.world.lock().script.clear();
    }

    /// Moves the server's clock forward.
    pub fn advance(&self, by: Duration) {
        self.shared.world.lock().clock.advance(by);
    }

    /// Makes the `Date` header differ from the server's clock: positive is ahead.
    pub fn set_date_skew(&self, seconds: i64) {
        self.switch(|switches| switches.date_skew_ms = seconds * 1000);
    }

    /// Changes any of the [`Switches`].
    pub fn switch(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.shared.world.lock().switches);
    }

    /// Requests a second and user; 0 is off.
    pub fn set_rate(&self, limit: u32) {
        self.switch(|switches| switches.rate = limit);
    }

    /// How long deleted and replaced tokens go on working.
    pub fn set_revocation_lag(&self, lag: Duration) {
        self.switch(|switches| switches.revocation_lag_ms = milliseconds(lag));
    }

    /// The length of new tokens, seeded ones too; 24 at least.
    pub fn set_token_length(&self, length: usize) {
        self.switch(|switches| switches.token_length = length);
    }

    /// Added to every answer.
    pub fn set_base_latency(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).expect("a latency of less than geological time");
        self.switch(|switches| switches.base_latency_us = micros);
    }

    /// Sets a maximum lifetime and puts the organization's maxima in force; `None` puts all of them out of force.
    pub fn set_max_ttl_policy(&self, organization: &str, token_type: TokenType, max: Option<Duration>) {
        let mut world = self.shared.world.lock();
        if let Some(max) = max {
            world.set_policy(organization, token_type, milliseconds(max));
        }
        world.organizations.get_mut(organization).expect("the organization is seeded first").max_ttl_enabled =
            max.is_some();
    }

    /// Whether the organization accepts user tokens.
    pub fn set_user_tokens_enabled(&self, organization: &str, enabled: bool) {
        self.change_organization(organization, |organization| organization.user_tokens_enabled = enabled);
    }

    /// Whether only members and owners see the team.
    pub fn set_team_secret(&self, team_id: &str, secret: bool) {
        self.change_team(team_id, |team| team.secret = secret);
    }

    /// Whether the team's members manage the tokens of every visible team.
    pub fn set_team_manages_teams(&self, team_id: &str, manages: bool) {
        self.change_team(team_id, |team| team.manage_teams = manages);
    }

    /// `allow-member-token-management`.
    pub fn set_members_manage_tokens(&self, team_id: &str, allowed: bool) {
        self.change_team(team_id, |team| team.members_manage_tokens = allowed);
    }

    /// Whether the user's SAML session is over, so that on TFE the user's tokens answer 401.
    pub fn set_saml_expired(&self, user_id: &str, expired: bool) {
        self.change_user(user_id, |user| user.saml_expired = expired);
    }

    /// Whether SAML calls the user a service account, whose tokens need no session.
    pub fn set_service_account(&self, user_id: &str, service: bool) {
        self.change_user(user_id, |user| user.service_account = service);
    }

    /// Deletes a token behind everybody's back; false if it is gone already.
    pub fn delete_token(&self, id: &str) -> bool {
        let mut world = self.shared.world.lock();
        let now = world.clock.now();
        world.tokens.delete(id, now)
    }

    /// Deletes a team and its tokens; false if there is none.
    pub fn delete_team(&self, id: &str) -> bool {
        self.shared.world.lock().delete_team(id)
    }

    /// Deletes a user and the tokens; false if there is none.
    pub fn delete_user(&self, id: &str) -> bool {
        self.shared.world.lock().delete_user(id)
    }

    /// Deletes an organization with its teams and all tokens; false if there is none.
    pub fn delete_organization(&self, name: &str) -> bool {
        self.shared.world.lock().delete_organization(name)
    }

    fn change_organization(&self, name: &str, change: impl FnOnce(&mut Organization)) {
        change(self.shared.world.lock().organizations.get_mut(name).expect("the organization is seeded first"));
    }

    fn change_team(&self, id: &str, change: impl FnOnce(&mut Team)) {
        change(self.shared.world.lock().teams.get_mut(id).expect("the team is seeded first"));
    }

    fn change_user(&self, id: &str, change: impl FnOnce(&mut User)) {
        change(self.shared.world.lock().users.get_mut(id).expect("the user is seeded first"));
    }
}
