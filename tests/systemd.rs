//! The units with a real systemd, booted in a container from a Debian that debootstrap makes once. Needs root, `/dev/fuse` and
//! what `.ci/packages` installs. `TFCFS_SYSTEMD=full` repeats what is repeated here 20 times, and on a newer systemd as well.

#[allow(dead_code, reason = "the tests use a part of the fake")]
#[path = "../examples/fake_tfc/mod.rs"]
mod fake;

#[path = "common/load.rs"]
mod load;

mod systemd {
    mod bad_cases;
    mod callers;
    mod consumers;
    mod image;
    mod machine;
    mod page;
    pub mod site;

    mod going_on;
    mod package;
    mod start;
    mod stop;
    mod watchers;
}
