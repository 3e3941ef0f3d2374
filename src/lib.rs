//! tfcfs: HCP Terraform and Terraform Enterprise API tokens as files.
//!
//! Layers (docs/design.md): `fuse` -> `vfs` -> `domain` (which owns `domain::ports`) <- `adapters`; `app` wires them.

pub mod adapters;
pub mod app;
pub mod cli;
pub mod commands;
pub mod config;
pub mod doctor;
pub mod domain;
pub mod exit;
pub mod fuse;
pub mod inherited;
pub mod mount_point;
pub mod supervisor;
pub mod vfs;
