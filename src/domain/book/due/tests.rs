//! Any list of operations on a book: the indices answer what a look at every lease would ([`super::reference`]).

use std::time::Duration;

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;

use super::reference;
use crate::domain::anchor::{Access, Address, Anchor};
use crate::domain::book::{Book, Claim, Origin};
use crate::domain::error::{Ended, Error};
use crate::domain::lease::{LeaseRecord, Opener, Scope, Serial, later};
use crate::domain::ledger::{Contents, Durable};
use crate::domain::name::RoleName;
use crate::domain::owner::{CredentialType, Owner};
use crate::domain::role::{Limits, OnClose, Role, Share};
use crate::domain::token::{Issued, Token, TokenId};

#[derive(Debug, Clone)]
enum Op {
    Open {
        role: usize,
        caller: usize,
    },
    Close {
        held: usize,
    },
    GiveBack {
        held: usize,
    },
    Land {
        flight: usize,
    },
    Crash {
        flight: usize,
    },
    End {
        lease: usize,
    },
    Revoking {
        lease: usize,
    },
    Gone {
        lease: usize,
    },
    Renew {
        lease: usize,
    },
    Write {
        role: usize,
        share: usize,
        slot: bool,
        revoke: bool,
        max_ttl: u64,
    },
    Remove {
        role: usize,
    },
    Rename {
        from: usize,
        to: usize,
    },
    Pass {
        seconds: u64,
    },
    SetBack {
        seconds: u64,
    },
    Restart,
    /// What the keeper does, with or without a look at what it is told.
    Look,
    Keep,
}

fn op() -> impl Strategy<Value = Op> {
    let (role, any) = (0..3usize, 0..64usize);
    let write = (role.clone(), 0..3usize, prop::bool::weighted(0.2), prop::bool::weighted(0.2), 60..4000u64);
    prop_oneof![
        10 => (role.clone(), 0..3usize).prop_map(|(role, caller)| Op::Open { role, caller }),
        6 => any.clone().prop_map(|held| Op::Close { held }),
        1 => any.clone().prop_map(|held| Op::GiveBack { held }),
        8 => any.clone().prop_map(|flight| Op::Land { flight }),
        3 => any.clone().prop_map(|flight| Op::Crash { flight }),
        2 => any.clone().prop_map(|lease| Op::End { lease }),
        1 => any.clone().prop_map(|lease| Op::Revoking { lease }),
        1 => any.clone().prop_map(|lease| Op::Gone { lease }),
        1 => any.prop_map(|lease| Op::Renew { lease }),
        3 => write.prop_map(|(role, share, slot, revoke, max_ttl)| Op::Write { role, share, slot, revoke, max_ttl }),
        1 => role.clone().prop_map(|role| Op::Remove { role }),
        1 => (role.clone(), role).prop_map(|(from, to)| Op::Rename { from, to }),
        8 => prop_oneof![0..5u64, 5..300u64, 300..4000u64].prop_map(|seconds| Op::Pass { seconds }),
        1 => (3..5000u64).prop_map(|seconds| Op::SetBack { seconds }),
        1 => Just(Op::Restart),
        4 => Just(Op::Look),
        4 => Just(Op::Keep),
    ]
}

struct World {
    book: Book,
    now: Timestamp,
    held: Vec<Serial>,
    flights: Vec<(Scope, RoleName)>,
}

fn name(role: usize) -> RoleName {
    ["a", "b", "c"][role].parse().unwrap()
}

fn nth<T>(of: &[T], n: usize) -> Option<usize> {
    (!of.is_empty()).then(|| n % of.len())
}

impl World {
    fn new() -> Self {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let mut world =
            Self { book: Book::new(Limits::default(), first_contents(), now), now, held: vec![], flights: vec![] };
        world.write(0, 0, false, false, 600);
        world.write(1, 1, false, false, 600);
        world
    }

    fn write(&mut self, role: usize, share: usize, slot: bool, revoke: bool, max_ttl: u64) {
        let seconds = Duration::from_secs;
        let text = |kind: CredentialType, owner: Owner| Role {
            share: if slot { Share::Role } else { [Share::Role, Share::Unit, Share::Open][share] },
            on_close: if revoke && !slot { OnClose::Revoke } else { OnClose::Linger },
            ttl: Some(seconds(max_ttl / 2)),
            max_ttl: Some(seconds(max_ttl)),
            owner,
            credential_type: kind,
            organization: None,
            team: None,
            description: None,
            max_leases: Some(20),
            min_rotation_interval: None,
            rotate_every: None,
            access: Default::default(),
            allow_units: Vec::new(),
            anchor: Default::default(),
        };
        let role_text = if slot {
            text(CredentialType::Organization, Owner::Organization { name: "acme".into() })
        } else {
            text(CredentialType::User, Owner::User { id: "user-1".into() })
        };
        self.book.write_role(&name(role), role_text, Origin::Mount, self.now);
    }

    fn open(&mut self, role: usize, caller: usize) {
        let (role, unit) = (name(role), ["x", "y", "z"][caller]);
        let Ok(node) = self.book.take_serial() else { return };
        let Ok(scope) = self.book.scope(&role, 0, Some(unit), node) else { return };
        match self.book.claim(&scope, &role, self.now) {
            Claim::Held { serial, renew } => {
                self.held.push(serial);
                if renew {
                    self.fly(scope, role, 0);
                }
            }
            Claim::Wait { fallback } => {
                if let Some(serial) = fallback.filter(|serial| self.book.hold(*serial, self.now)) {
                    self.held.push(serial);
                }
                // Every other opener waits for its flight.
                self.fly(scope, role, u32::try_from(caller % 2).unwrap());
            }
        }
    }

    fn fly(&mut self, scope: Scope, role: RoleName, waiters: u32) {
        if self.book.board(&scope, waiters).1 {
            self.flights.push((scope, role));
        }
    }

    fn land(&mut self, flight: usize) {
        let Some(n) = nth(&self.flights, flight) else { return };
        let (scope, role) = self.flights.remove(n);
        match self.book.plan(&role, &scope, Opener { uid: 0, gid: 0 }, self.now) {
            Ok((intent, _)) => {
                let issued = Issued {
                    id: TokenId(format!("at-{}", intent.serial.0)),
                    token: Token::parse("aaaaaaaaaaaaaa.atlasv1.bbbbbbbbbbbbbbbbbbbb").unwrap(),
                    expires_at: None,
                    is_ttl_rejected: false,
                    answered_at: None,
                };
                let serial = intent.serial;
                self.book.publish(Durable::assumed(intent.made(&issued)), self.now);
                let handles = self.book.lease(serial).map_or(0, |lease| lease.handles);
                self.held.extend((0..handles).map(|_| serial));
            }
            Err(error) => self.book.crash(&scope, error, self.now),
        }
    }

    fn lease(&self, n: usize) -> Option<Serial> {
        let mut serials: Vec<Serial> = self.book.leases().map(|lease| lease.record.serial).collect();
        serials.sort();
        Some(serials[nth(&serials, n)?])
    }

    fn take_held(&mut self, held: usize) -> Option<Serial> {
        Some(self.held.swap_remove(nth(&self.held, held)?))
    }

    /// A new process finds what the ledger has.
    fn restart(&mut self) {
        let leases: Vec<LeaseRecord> = self.book.leases().map(|lease| lease.record.clone()).collect();
        let contents = Contents { leases, next_serial: self.book.peek_serial().0, ..first_contents() };
        let roles: Vec<_> = self.book.roles().map(|(name, entry)| (name.clone(), entry.role.clone())).collect();
        *self = Self {
            book: Book::new(Limits::default(), contents, self.now),
            now: self.now,
            held: vec![],
            flights: vec![],
        };
        for (name, role) in roles {
            self.book.write_role(&name, role, Origin::Mount, self.now);
        }
    }

    fn keep(&mut self) {
        let due = self.book.due(self.now);
        for (serial, how) in due.ends {
            self.book.end(serial, how);
        }
        for (scope, role) in due.renewals {
            self.fly(scope, role, 0);
        }
        self.book.forget_failures(self.now);
        for grave in self.book.take_graves(self.now) {
            for serial in grave.serials {
                let heir = self.book.lease(serial).and_then(|lease| self.book.slot_user(&lease.record));
                match heir {
                    Some(heir) => self.book.inherit(serial, &heir, self.now),
                    None => drop(self.book.end(serial, Ended::Revoked)),
                }
            }
        }
    }

    fn apply(&mut self, op: &Op) {
        let now = self.now;
        match *op {
            Op::Open { role, caller } => self.open(role, caller),
            Op::Close { held } => {
                if let Some(serial) = self.take_held(held) {
                    self.book.release(serial, now);
                }
            }
            Op::GiveBack { held } => {
                if let Some(serial) = self.take_held(held) {
                    self.book.give_back(serial, now);
                }
            }
            Op::Land { flight } => self.land(flight),
            Op::Crash { flight } => {
                if let Some(n) = nth(&self.flights, flight) {
                    let (scope, _) = self.flights.remove(n);
                    self.book.crash(&scope, Error::Internal, now);
                }
            }
            Op::End { lease } => drop(self.lease(lease).and_then(|serial| self.book.end(serial, Ended::Revoked))),
            Op::Revoking { lease } => {
                let ended = self.lease(lease).filter(|serial| self.book.lease(*serial).unwrap().ended.is_some());
                ended.into_iter().for_each(|serial| self.book.revoking(serial));
            }
            Op::Gone { lease } => {
                let ended = self.lease(lease).filter(|serial| self.book.lease(*serial).unwrap().ended.is_some());
                ended.into_iter().for_each(|serial| self.book.gone(serial));
            }
            Op::Renew { lease } => self.lease(lease).into_iter().for_each(|serial| self.book.renew(serial, now)),
            Op::Write { role, share, slot, revoke, max_ttl } => self.write(role, share, slot, revoke, max_ttl),
            Op::Remove { role } => {
                self.book.remove_role(&name(role), later(now, Duration::from_secs(10)));
            }
            Op::Rename { from, to } if from != to => drop(self.book.rename_role(&name(from), &name(to), now)),
            Op::Rename { .. } => {}
            Op::Pass { seconds } => self.now = later(now, Duration::from_secs(seconds)),
            Op::SetBack { seconds } => {
                let back = Duration::from_secs(seconds);
                self.now = now.checked_sub(back).unwrap();
                self.book.clock_set_back(back);
            }
            Op::Restart => self.restart(),
            Op::Look => {
                let due = self.book.due(now);
                reference::check(&self.book, &due, now);
            }
            Op::Keep => self.keep(),
        }
    }
}

fn first_contents() -> Contents {
    let access = Access {
        address: Address::hcp(),
        token: Token::parse("aaaaaaaaaaaaaa.atlasv1.cccccccccccccccccccc").unwrap(),
        owner: None,
    };
    let anchor = Anchor::new(Default::default(), access, None);
    Contents { anchors: vec![anchor], next_serial: 1, ..Contents::default() }
}

#[test]
fn a_renewal_that_waits_for_its_role_comes_with_the_role() {
    let mut world = World::new();
    // Caller 1 waits for the landing, hence holds the lease.
    for op in [Op::Open { role: 0, caller: 1 }, Op::Land { flight: 0 }, Op::Pass { seconds: 400 }] {
        world.apply(&op);
    }
    assert_eq!(world.book.due(world.now).renewals.len(), 1);
    world.apply(&Op::Remove { role: 0 });
    assert_eq!(world.book.due(world.now).renewals, []);
    world.write(0, 0, false, false, 600);
    assert_eq!(world.book.due(world.now).renewals.len(), 1);
}

#[test]
fn a_renewal_that_failed_comes_when_it_has_cooled() {
    let mut world = World::new();
    for op in [Op::Open { role: 0, caller: 1 }, Op::Land { flight: 0 }, Op::Pass { seconds: 400 }, Op::Keep] {
        world.apply(&op);
    }
    assert_eq!(world.book.due(world.now).renewals, [], "it flies");
    world.apply(&Op::Crash { flight: 0 });
    let due = world.book.due(world.now);
    assert_eq!((due.renewals.len(), due.next), (0, Some(later(world.now, Duration::from_secs(5)))));
    world.apply(&Op::Pass { seconds: 5 });
    assert_eq!(world.book.due(world.now).renewals.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn after_any_operations_the_indices_answer_what_a_look_at_every_lease_would(ops in vec(op(), 1..120)) {
        let mut world = World::new();
        for op in ops.iter().chain([&Op::Look, &Op::Keep, &Op::Look]) {
            world.apply(op);
        }
    }
}
