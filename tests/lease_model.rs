//! Random lists of operations against the reference model in `common/model.rs`. What it found lives on, by name, in
//! `lease_regressions.rs`. More cases: `PROPTEST_CASES=5000 cargo test --test lease_model`.

mod common;

use common::model::{Doc, Op, World, block_on};
use proptest::collection::vec;
use proptest::prelude::*;

fn doc() -> impl Strategy<Value = Doc> {
    let share = prop_oneof![4 => Just(0), 1 => Just(1), 2 => Just(2)];
    (0..5usize, share, 0..3usize, prop::bool::weighted(0.2)).prop_map(|(owner, share, times, revoke)| Doc {
        owner,
        share,
        times,
        revoke,
    })
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 1..15u64, 2 => 15..900u64, 2 => 900..4200u64, 1 => 4200..20_000u64]
}

fn op() -> impl Strategy<Value = Op> {
    let (role, any, tid) = (0..3usize, 0..64usize, 1..4u32);
    prop_oneof![
        10 => (role.clone(), 0..4usize, tid.clone()).prop_map(|(role, door, tid)| Op::Open { role, door, tid }),
        4 => (any.clone(), tid).prop_map(|(pin, tid)| Op::OpenPinned { pin, tid }),
        6 => any.clone().prop_map(|handle| Op::Close { handle }),
        8 => time().prop_map(|seconds| Op::Advance { seconds }),
        3 => (role.clone(), proptest::bool::ANY).prop_map(|(role, revoke)| Op::Rotate { role, revoke }),
        2 => (role.clone(), any.clone()).prop_map(|(role, lease)| Op::RemoveLease { role, lease }),
        4 => (role.clone(), doc()).prop_map(|(role, doc)| Op::WriteRole { role, doc }),
        2 => role.clone().prop_map(|role| Op::RemoveRole { role }),
        2 => (role.clone(), role).prop_map(|(from, to)| Op::Rename { from, to }),
        1 => (30..200usize).prop_map(|length| Op::TokenLength { length }),
        2 => (1..4usize, proptest::bool::ANY).prop_map(|(n, after)| Op::FailCreates { n, after }),
        1 => (1..4usize, proptest::bool::ANY).prop_map(|(n, after)| Op::FailRevokes { n, after }),
        1 => (1..4usize).prop_map(|n| Op::FailLists { n }),
        1 => any.clone().prop_map(|handle| Op::Kill { handle }),
        1 => Just(Op::Restart),
        1 => any.prop_map(|pin| Op::Forget { pin }),
        1 => Just(Op::List),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_list_of_operations_keeps_every_promise(ops in vec(op(), 1..60)) {
        block_on(World::run(&ops));
    }
}
