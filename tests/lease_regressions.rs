//! What the random lists of `lease_model.rs` found, one test for each find, judged by the same model.

mod common;

use common::machine::Machine;
use common::model::{Doc, Op, World, block_on};
use common::seconds;

const TEAM_1: Doc = Doc { owner: 0, share: 0, times: 0, revoke: false };
const TEAM_2: Doc = Doc { owner: 1, share: 0, times: 0, revoke: false };

fn open(role: usize) -> Op {
    Op::Open { role, door: 0, tid: 1 }
}

/// A lost answer's intent and the token made after it had the same serial: one revocation counted for both.
#[test]
fn the_serial_of_a_lost_answer_is_not_used_again() {
    let ops = [Op::FailRevokes { n: 1, after: false }, Op::FailCreates { n: 1, after: true }, open(0), open(0)];
    block_on(World::run(&ops));
}

/// The first owner's grave made the second owner's token count as kept.
#[test]
fn a_role_that_changes_owner_and_back_never_hands_out_the_other_owners_token() {
    let ops = [
        open(0),
        Op::RemoveRole { role: 0 },
        Op::WriteRole { role: 0, doc: TEAM_2 },
        open(0),
        Op::RemoveRole { role: 0 },
        Op::WriteRole { role: 0, doc: TEAM_1 },
        open(0),
    ];
    block_on(World::run(&ops));
}

/// The old node of a slot was served with its own token for a second after the rotation had killed that.
#[test]
fn a_pinned_node_of_a_slot_never_hands_out_the_token_that_a_rotation_killed() {
    let ops = [open(1), Op::Rotate { role: 1, revoke: false }, Op::OpenPinned { pin: 0, tid: 1 }];
    block_on(World::run(&ops));
}

/// The start took the slot's token out of use because the role that had opened it first meant another owner by then.
#[test]
fn a_slot_goes_on_after_a_restart_though_its_first_role_left_it() {
    let slot = Doc { owner: 3, ..TEAM_1 };
    let ops = [
        Op::WriteRole { role: 2, doc: slot },
        open(1),
        Op::WriteRole { role: 1, doc: TEAM_1 },
        open(2),
        Op::Restart,
        open(2),
    ];
    block_on(World::run(&ops));
}

/// For a second after a role got another owner, its old node was served with the former owner's token.
#[test]
fn a_pinned_node_never_hands_out_the_former_owners_token() {
    let ops = [open(0), Op::WriteRole { role: 0, doc: TEAM_2 }, Op::OpenPinned { pin: 0, tid: 1 }];
    block_on(World::run(&ops));
}

/// The holder of a lease that a rename had replaced asked for a successor each time the keeper looked.
#[tokio::test]
async fn a_role_renamed_onto_a_removed_one_replaces_its_lease() {
    const TEAM: &str = "team_id = \"team-1\"\ncredential_type = \"team\"\nttl = \"1h\"\nmax_ttl = \"4h\"\n";
    let m = Machine::new().await;
    for role in ["roles/app", "roles/web"] {
        m.write(role, TEAM).await.unwrap();
    }
    let _held = (m.open("creds/app/token").await.unwrap(), m.open("creds/web/token").await.unwrap());
    m.remove("roles/app").await.unwrap();
    m.rename("roles/web", "roles/app").await.unwrap();
    for _ in 0..10 {
        m.pass(seconds(1100)).await;
    }
    assert_eq!(m.api.count("create"), 3, "two at the opens, one successor");
}

/// A removed role's node was as long as what one of its holders read, not as long as what the kernel has pages of.
#[test]
fn a_node_of_a_removed_role_has_the_size_of_what_is_read_through_its_pages() {
    let write = |role, doc| Op::WriteRole { role, doc };
    let pinned = |pin| Op::OpenPinned { pin, tid: 1 };
    let ops = [
        write(2, TEAM_1),
        open(2),
        Op::Rename { from: 2, to: 1 },
        Op::RemoveRole { role: 1 },
        write(2, TEAM_1),
        pinned(0),
        pinned(0),
        Op::Open { role: 2, door: 1, tid: 1 },
        open(2),
        write(2, TEAM_2),
        Op::TokenLength { length: 30 },
        open(0),
        pinned(8),
        Op::Forget { pin: 0 },
        open(0),
        Op::RemoveRole { role: 2 },
    ];
    block_on(World::run(&ops));
}

/// The node of an unshared open, pinned, after its role became another one: the size followed neither of its contents.
#[test]
fn an_unshared_node_whose_role_changes_keeps_its_readers_content() {
    let ops = [
        open(1),
        Op::WriteRole { role: 1, doc: Doc { share: 2, ..TEAM_1 } },
        Op::Open { role: 1, door: 1, tid: 1 },
        Op::WriteRole { role: 0, doc: TEAM_1 },
        Op::WriteRole { role: 1, doc: Doc { owner: 3, times: 1, ..TEAM_1 } },
        Op::OpenPinned { pin: 19, tid: 1 },
    ];
    block_on(World::run(&ops));
}
