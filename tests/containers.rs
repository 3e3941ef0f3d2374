//! The image and the examples of `containers/`, run by podman and runc: what Docker and Kubernetes would be told is read from the
//! example files themselves. Needs root and what `.ci/packages` installs.

#[allow(dead_code, reason = "the tests use a part of the fake")]
#[path = "../examples/fake_tfc/mod.rs"]
mod fake;

#[allow(dead_code, reason = "the tests use a part of it")]
#[path = "mount/support.rs"]
mod support;

mod containers {
    pub mod engine;
    pub mod image;
    pub mod pod;
    pub mod shared;
    pub mod tools;
    pub mod yaml;

    mod compose;
    mod empty_root;
    mod kubernetes;
    mod missing;
    mod without_fuse;
}
