//! The faults, and what DESIGN 7 wants a reader to get.

use std::time::Duration;

use super::cell::{Cell, Role};
use crate::fake::{ACME, Calls, ErrorBody, Fault as Script, Kind, Owner, TokenType, When};

/// What a test does to upstream.
type Set = Box<dyn Fn(&Cell) + Sync + Send + std::panic::RefUnwindSafe>;

/// How it ends.
pub enum After {
    /// As soon as upstream is well.
    Itself,
    /// An operator does this.
    Operator(&'static str, fn(&Cell)),
    /// The settings are mended or a pause forgotten, and the daemon starts anew.
    Restart(&'static str),
    /// Whose tokens these were is gone.
    Never,
}

impl After {
    /// Whether a later read gets a token.
    pub fn works_again(&self) -> bool {
        !matches!(self, Self::Never)
    }

    /// For the page.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Itself => "the next read works",
            Self::Operator(words, _) | Self::Restart(words) => words,
            Self::Never => "the role cannot work any more",
        }
    }
}

/// One row.
pub struct Fault {
    /// For the page.
    pub name: String,
    /// Who meets it.
    pub roles: &'static [Role],
    /// The errno and its symbol; `None` if the reader gets a token.
    pub errno: Option<(i32, &'static str)>,
    /// Makes it.
    pub set: Set,
    /// Its end.
    pub after: After,
    /// Upstream speaks TLS with a CA that nobody knows.
    pub tls: bool,
}

impl Fault {
    fn new(
        name: impl Into<String>,
        errno: Option<(i32, &'static str)>,
        set: impl Fn(&Cell) + Sync + Send + std::panic::RefUnwindSafe + 'static,
    ) -> Self {
        Self { name: name.into(), roles: Role::ALL, errno, set: Box::new(set), after: After::Itself, tls: false }
    }

    fn scripted(name: impl Into<String>, errno: Option<(i32, &'static str)>, fault: Script) -> Self {
        Self::new(name, errno, move |cell| cell.daemon.fake.set_fault(cell.role.create(), Calls::Always, fault.clone()))
    }

    fn of(mut self, roles: &'static [Role]) -> Self {
        self.roles = roles;
        self
    }

    fn then(mut self, after: After) -> Self {
        self.after = after;
        self
    }
}

const REMOTE: Option<(i32, &str)> = Some((libc::EREMOTEIO, "EREMOTEIO"));
const LIMITED: Option<(i32, &str)> = Some((libc::EAGAIN, "EAGAIN"));
const UNREACHABLE: Option<(i32, &str)> = Some((libc::EHOSTUNREACH, "EHOSTUNREACH"));
const LATE: Option<(i32, &str)> = Some((libc::ETIMEDOUT, "ETIMEDOUT"));
const HIDDEN: Option<(i32, &str)> = Some((libc::EACCES, "EACCES"));
const REJECTED: Option<(i32, &str)> = Some((libc::EKEYREJECTED, "EKEYREJECTED"));

/// A read costs no call when there is a token to give; tests/token_checks.rs has what follows five minutes later.
const UNNOTICED: &str = "readers get the dead token until it is checked (with the first open after 5 minutes) or rotated (write to `rotate/ROLE`)";
const UNNOTICED_MAXIMUM: &str = "readers get the dead token until it is checked (with the first open after 5 minutes); then the role needs a lower max_ttl";

/// Every row, in the order of the page.
pub fn all() -> Vec<Fault> {
    let mut all = failures();
    all.extend(rate_limits());
    all.extend(lost());
    all.extend(odd_tokens());
    all.extend(network());
    all.extend(behind_our_back());
    all
}

fn failures() -> Vec<Fault> {
    let mut all = Vec::new();
    for status in [500, 502, 503, 504] {
        for (words, body) in [("JSON", ErrorBody::Json), ("HTML", ErrorBody::Html), ("empty", ErrorBody::Empty)] {
            all.push(Fault::scripted(format!("{status}, {words} body"), REMOTE, Script::status_with(status, body)));
        }
    }
    let after = Script::Status { status: 502, body: ErrorBody::Html, when: When::After };
    all.push(Fault::scripted("502, though the token was made", REMOTE, after));
    all
}

fn rate_limits() -> Vec<Fault> {
    let limited = |reset: Option<&str>, retry_after: Option<&str>| Script::RateLimited {
        reset: reset.map(str::to_owned),
        retry_after: retry_after.map(str::to_owned),
    };
    let pause = || After::Restart("works after the pause asked for (60 s at most), or a restart");
    let once = limited(Some("0.2"), None);
    let mut all = vec![Fault::new("429 once, X-RateLimit-Reset: 0.2", None, move |cell| {
        cell.daemon.fake.set_fault(cell.role.create(), 1, once.clone());
    })];
    for (header, value, huge) in [
        ("X-RateLimit-Reset", "0.4", false),
        ("X-RateLimit-Reset", "garbage", false),
        ("X-RateLimit-Reset", "-1", false),
        ("X-RateLimit-Reset", "99999999", true),
        ("Retry-After", "1", false),
        ("Retry-After", "garbage", false),
        ("Retry-After", "-1", false),
        ("Retry-After", "99999999", true),
    ] {
        let script = if header == "Retry-After" { limited(None, Some(value)) } else { limited(Some(value), None) };
        let fault = Fault::scripted(format!("429, {header}: {value}"), LIMITED, script);
        all.push(if huge { fault.then(pause()) } else { fault });
    }
    all.push(Fault::scripted("429, neither header", LIMITED, limited(None, None)));
    all
}

fn lost() -> Vec<Fault> {
    vec![
        Fault::scripted("connection closed, nothing was made", UNREACHABLE, Script::Close { when: When::Before }),
        Fault::scripted("connection closed, the token was made", UNREACHABLE, Script::Close { when: When::After }),
        Fault::scripted("no answer, nothing was made", LATE, Script::Delay { ms: 60_000, when: When::Before }),
        Fault::scripted("no answer, the token was made", LATE, Script::Delay { ms: 60_000, when: When::After }),
        Fault::scripted("body cut half-way", UNREACHABLE, Script::CutBody),
        Fault::scripted("body, a byte every 50 ms", LATE, Script::SlowBody { per_byte_ms: 50 }),
    ]
}

fn odd_tokens() -> Vec<Fault> {
    let ends = |at: Option<&str>| Script::ExpiredAt { value: at.map(str::to_owned) };
    let soon = |cell: &Cell| {
        let end = cell.daemon.fake.now() + Duration::from_secs(2 * 3600);
        let script = Script::ExpiredAt { value: Some(end.to_string()) };
        cell.daemon.fake.set_fault(cell.role.create(), Calls::Always, script);
    };
    let lower = || After::Operator("works with a lower max_ttl in the role", shorten);
    vec![
        Fault::scripted("201 without a token", REMOTE, Script::NoToken),
        Fault::scripted("201, expired-at: none", REMOTE, ends(None)),
        Fault::scripted("201, expired-at: later than asked for", REMOTE, ends(Some("2099-01-01T00:00:00Z"))),
        Fault::new("201, expired-at: sooner than asked for", None, soon),
        Fault::scripted("201, expired-at: in the past", REMOTE, ends(Some("2020-01-01T00:00:00Z"))),
        Fault::new("the organization allows shorter lives (is-ttl-rejected)", REMOTE, lower_maximum).then(lower()),
        Fault::new("the organization allows shorter lives (422)", REMOTE, |cell| {
            cell.daemon.fake.switch(|switches| switches.refuse_over_max_ttl = true);
            lower_maximum(cell);
        })
        .then(lower()),
    ]
}

/// Lets the role ask for ten minutes.
fn shorten(cell: &Cell) {
    cell.daemon.write("roles/app", &cell.role.document(&cell.daemon, "ttl = \"10m\"\nmax_ttl = \"10m\""));
}

/// A maximum of three hours, with an anchor that keeps to it.
fn lower_maximum(cell: &Cell) {
    let fake = &cell.daemon.fake;
    let end = fake.now() + Duration::from_secs(2 * 3600);
    let owner = Owner::User(fake.user_id("alice"));
    let (_, anchor) = fake.seed_token(owner, Kind::User, Some("short"), Some(end));
    cell.anchor(&anchor);
    let kind = match cell.role {
        Role::Team => TokenType::Team,
        Role::Organization => TokenType::Organization,
        Role::User => TokenType::User,
    };
    fake.set_max_ttl_policy(ACME, kind, Some(Duration::from_secs(3 * 3600)));
}

fn network() -> Vec<Fault> {
    let mut all: Vec<Fault> = [302, 307, 308]
        .map(|status| {
            let script = Script::Redirect { to: None, status };
            Fault::scripted(format!("{status} to another host (the token is not sent there)"), REMOTE, script)
        })
        .into();
    let refused = Some((libc::ECONNREFUSED, "ECONNREFUSED"));
    all.push(
        Fault::new("connection refused", refused, |cell| cell.daemon.fake.go_offline())
            .then(After::Operator("the next read works", |cell| cell.daemon.fake.go_online())),
    );
    let mut unknown = Fault::new("certificate of an unknown CA", UNREACHABLE, |_| {})
        .then(After::Restart("works after ca_file and a restart"));
    unknown.tls = true;
    all.push(unknown);
    all
}

fn behind_our_back() -> Vec<Fault> {
    let delete_anchor = |cell: &Cell| {
        let anchor = cell.daemon.fake.token_of_secret(&cell.daemon.fake.anchor_user_token()).expect("it is seeded");
        cell.daemon.fake.delete_token(&anchor.id);
    };
    let new_anchor = After::Operator("works after a new token in config", |cell| {
        let owner = Owner::User(cell.daemon.fake.user_id("alice"));
        let end = cell.daemon.fake.now() + Duration::from_secs(24 * 3600);
        let (_, token) = cell.daemon.fake.seed_token(owner, Kind::User, Some("new"), Some(end));
        cell.anchor(&token);
    });
    vec![
        Fault::new("the anchor's token is deleted", REJECTED, delete_anchor).then(new_anchor),
        Fault::new("the token in use is deleted", None, |cell| {
            let token = cell.daemon.read("creds/app/token");
            let token = cell.daemon.fake.token_of_secret(&token).expect("upstream made it");
            cell.daemon.fake.delete_token(&token.id);
        })
        .then(After::Operator(UNNOTICED, |cell| cell.daemon.rotate("app"))),
        Fault::new("the organization allows shorter lives than the token in use has", None, |cell| {
            cell.daemon.read("creds/app/token");
            lower_maximum(cell);
        })
        .then(After::Operator(UNNOTICED_MAXIMUM, |cell| {
            shorten(cell);
            cell.daemon.rotate("app");
        })),
        Fault::new("the team is deleted while its token is in use", None, |cell| {
            cell.daemon.read("creds/app/token");
            cell.daemon.fake.delete_team(&cell.daemon.fake.team_id(ACME, "deploy"));
        })
        .of(&[Role::Team])
        .then(After::Never),
        Fault::new("the team is deleted", HIDDEN, |cell| {
            cell.daemon.fake.delete_team(&cell.daemon.fake.team_id(ACME, "deploy"));
        })
        .of(&[Role::Team])
        .then(After::Never),
        Fault::new("the organization is deleted", HIDDEN, |cell| {
            cell.daemon.fake.delete_organization(ACME);
        })
        .of(&[Role::Team, Role::Organization])
        .then(After::Never),
        Fault::new("the user, whose token the anchor is, is deleted", REJECTED, |cell| {
            cell.daemon.fake.delete_user(&cell.daemon.fake.user_id("alice"));
        })
        .then(After::Never),
        // The anchor is a user's token.
        Fault::new("user tokens are switched off", REJECTED, |cell| {
            cell.daemon.fake.set_user_tokens_enabled(ACME, false);
        })
        .of(&[Role::Team, Role::Organization])
        .then(After::Operator("works after they are switched on again", |cell| {
            cell.daemon.fake.set_user_tokens_enabled(ACME, true);
        })),
    ]
}
