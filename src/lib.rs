//! tfcfs: HCP Terraform and Terraform Enterprise API tokens as files.
//!
//! Layers (docs/design.md): `fuse` -> `vfs` -> `domain` (which owns `domain::ports`) <- `adapters`; `app` wires them.

pub mod adapters;
pub mod domain;
