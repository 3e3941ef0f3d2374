//! Node ids: readable without a table, never given twice with another meaning (fuse-nodes 0.1).
//!
//! `kind(3) | role number(24) | door(2) | serial(35)`. Role numbers belong to names for ever; serials never repeat.
//! When 35 bits of serials are used up, the *generation* that goes with every node changes.

use crate::domain::lease::Serial;

const SERIAL_BITS: u32 = 35;
const DOOR_BITS: u32 = 2;
const ROLE_BITS: u32 = 24;
const SERIAL_MASK: u64 = (1 << SERIAL_BITS) - 1;
const ROLE_MASK: u64 = (1 << ROLE_BITS) - 1;

/// A node id as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ino(pub u64);

/// The files of `creds/<role>/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Door {
    /// The bare token.
    Token,
    /// The token with its metadata.
    TokenJson,
    /// `TF_TOKEN_…=…`.
    Env,
    /// Terraform's CLI configuration.
    Tfrc,
}

impl Door {
    /// All of them, in listing order.
    pub const ALL: [Self; 4] = [Self::Token, Self::TokenJson, Self::Env, Self::Tfrc];

    /// File name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::TokenJson => "token.json",
            Self::Env => "env",
            Self::Tfrc => "terraform.tfrc.json",
        }
    }
}

/// Files and directories that exist once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fixed {
    /// `/`
    Root = 1,
    /// `/README`
    Readme,
    /// `/config`
    Config,
    /// `/roles`
    Roles,
    /// `/creds`
    Creds,
    /// `/rotate`
    Rotate,
    /// `/leases`
    Leases,
    /// `/errors`
    Errors,
    /// `/events`
    Events,
    /// `/status`
    Status,
    /// `/metrics`
    Metrics,
    /// `/rotate/config`
    RotateConfig,
    /// `/revocations`
    Revocations,
}

impl Fixed {
    /// Children of `/`, in listing order.
    pub const TOP: [Self; 11] = [
        Self::Readme,
        Self::Config,
        Self::Roles,
        Self::Creds,
        Self::Rotate,
        Self::Leases,
        Self::Errors,
        Self::Events,
        Self::Status,
        Self::Metrics,
        Self::Revocations,
    ];

    /// File name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "",
            Self::Readme => "README",
            Self::Config | Self::RotateConfig => "config",
            Self::Roles => "roles",
            Self::Creds => "creds",
            Self::Rotate => "rotate",
            Self::Leases => "leases",
            Self::Errors => "errors",
            Self::Events => "events",
            Self::Status => "status",
            Self::Metrics => "metrics",
            Self::Revocations => "revocations",
        }
    }

    fn from_serial(serial: u64) -> Option<Self> {
        [Self::Root, Self::RotateConfig].into_iter().chain(Self::TOP).find(|fixed| *fixed as u64 == serial)
    }
}

/// What a node id means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Node {
    /// Something that exists once.
    Fixed(Fixed),
    /// `roles/<name>`
    Role(u32),
    /// `creds/<name>`
    CredsDir(u32),
    /// A door of one lease of a shared role: one node, one content.
    SharedDoor {
        /// Role number.
        role: u32,
        /// Which form.
        door: Door,
        /// Serial of the lease.
        serial: Serial,
    },
    /// A door of an unshared role: a fresh node for every LOOKUP.
    OpenDoor {
        /// Role number.
        role: u32,
        /// Which form.
        door: Door,
        /// Serial of the node.
        serial: Serial,
    },
    /// `rotate/<name>`
    Rotate(u32),
    /// `leases/<name>`
    LeaseDir(u32),
    /// `leases/<name>/<id>`
    LeaseFile {
        /// Role number.
        role: u32,
        /// Serial of the lease.
        serial: Serial,
    },
    /// A temporary file of an editor in `roles/`.
    Draft(Serial),
}

impl Node {
    /// The kernel's number for it.
    pub fn ino(self) -> Ino {
        let pack = |kind: u64, role: u32, door: u64, serial: u64| {
            Ino(kind << (ROLE_BITS + DOOR_BITS + SERIAL_BITS)
                | (u64::from(role) & ROLE_MASK) << (DOOR_BITS + SERIAL_BITS)
                | door << SERIAL_BITS
                | (serial & SERIAL_MASK))
        };
        match self {
            Self::Fixed(fixed) => pack(0, 0, 0, fixed as u64),
            Self::Role(role) => pack(1, role, 0, 0),
            Self::CredsDir(role) => pack(2, role, 0, 0),
            Self::SharedDoor { role, door, serial } => pack(3, role, door as u64, serial.0),
            Self::OpenDoor { role, door, serial } => pack(4, role, door as u64, serial.0),
            Self::Rotate(role) => pack(5, role, 0, 0),
            Self::LeaseDir(role) => pack(6, role, 0, 0),
            Self::LeaseFile { role, serial } => pack(7, role, 0, serial.0),
            Self::Draft(serial) => pack(7, 0, 1, serial.0),
        }
    }

    /// What a number means; `None` for numbers that we never give.
    pub fn from_ino(ino: Ino) -> Option<Self> {
        let serial = Serial(ino.0 & SERIAL_MASK);
        let door = Door::ALL[(ino.0 >> SERIAL_BITS) as usize & 3];
        let role = ((ino.0 >> (SERIAL_BITS + DOOR_BITS)) & ROLE_MASK) as u32;
        Some(match ino.0 >> (ROLE_BITS + DOOR_BITS + SERIAL_BITS) {
            0 => Self::Fixed(Fixed::from_serial(ino.0)?),
            1 => Self::Role(role),
            2 => Self::CredsDir(role),
            3 => Self::SharedDoor { role, door, serial },
            4 => Self::OpenDoor { role, door, serial },
            5 => Self::Rotate(role),
            6 => Self::LeaseDir(role),
            _ if door == Door::TokenJson => Self::Draft(serial),
            _ => Self::LeaseFile { role, serial },
        })
    }

    /// Distinguishes nodes whose serials have wrapped around.
    pub fn generation(self) -> u64 {
        match self {
            Self::SharedDoor { serial, .. } | Self::OpenDoor { serial, .. } | Self::LeaseFile { serial, .. } => {
                serial.0 >> SERIAL_BITS
            }
            _ => 0,
        }
    }

    /// The number that `stat` shows. Constant per door for unshared roles: `cp` and `install` refuse a file whose
    /// number changes between stat and open.
    pub fn shown_ino(self) -> Ino {
        match self {
            Self::OpenDoor { role, door, .. } => Self::OpenDoor { role, door, serial: Serial(0) }.ino(),
            node => node.ino(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_node_is_readable_from_its_number(role in 1u32..1 << 24, serial in 0u64..1 << 35, door in 0usize..4) {
            let (door, serial) = (Door::ALL[door], Serial(serial));
            for node in [
                Node::Role(role), Node::CredsDir(role), Node::Rotate(role), Node::LeaseDir(role),
                Node::SharedDoor { role, door, serial }, Node::OpenDoor { role, door, serial },
                Node::LeaseFile { role, serial }, Node::Draft(serial),
            ] {
                prop_assert_eq!(Node::from_ino(node.ino()), Some(node));
            }
        }
    }

    #[test]
    fn the_root_is_one_and_strangers_are_refused() {
        assert_eq!(Node::Fixed(Fixed::Root).ino(), Ino(1));
        assert_eq!(Node::from_ino(Ino(0)), None);
        assert_eq!(Node::from_ino(Ino(99)), None);
        for fixed in Fixed::TOP {
            assert_eq!(Node::from_ino(Node::Fixed(fixed).ino()), Some(Node::Fixed(fixed)));
        }
    }
}
