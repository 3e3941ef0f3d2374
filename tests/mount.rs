//! The real program on a real mount, against the fake upstream over HTTP. Needs `/dev/fuse`, root and the tools that
//! `.ci/packages` installs: a missing tool fails its test.

#[allow(dead_code, reason = "the tests use a part of the fake")]
#[path = "../examples/fake_tfc/mod.rs"]
mod fake;

#[path = "common/load.rs"]
mod load;

mod mount {
    pub mod support;

    mod audit;
    mod bad_config;
    mod bind_mounts;
    mod containers;
    mod doctor;
    mod exec;
    mod exec_errors;
    mod first_process;
    mod fstab;
    mod handles;
    mod hostile;
    mod import;
    mod journal;
    mod no_hang;
    mod observability;
    mod permissions;
    mod readers;
    mod settings_file;
    mod start_stop;
    mod status;
    mod storage;
    mod takeover;
    mod terraform;
    mod terraform_helper;
    mod terraform_program;
    mod units;
    mod versions;
    mod writers;
}
