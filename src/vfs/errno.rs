//! One exhaustive match from what went wrong to what `cat` prints (DESIGN 7).

use std::fmt;

use crate::domain::error::{Ended, Error};
use crate::domain::ports::ApiErrorKind;

/// What a request can fail of, and its symbol.
const SYMBOLS: &[(i32, &str)] = &[
    (libc::ENOENT, "ENOENT"),
    (libc::ENOKEY, "ENOKEY"),
    (libc::EKEYREJECTED, "EKEYREJECTED"),
    (libc::EKEYEXPIRED, "EKEYEXPIRED"),
    (libc::EKEYREVOKED, "EKEYREVOKED"),
    (libc::EACCES, "EACCES"),
    (libc::EHOSTUNREACH, "EHOSTUNREACH"),
    (libc::ECONNREFUSED, "ECONNREFUSED"),
    (libc::ETIMEDOUT, "ETIMEDOUT"),
    (libc::EREMOTEIO, "EREMOTEIO"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::EDQUOT, "EDQUOT"),
    (libc::EBUSY, "EBUSY"),
    (libc::EOPNOTSUPP, "EOPNOTSUPP"),
    (libc::EPERM, "EPERM"),
    (libc::EINVAL, "EINVAL"),
    (libc::EROFS, "EROFS"),
    (libc::ESTALE, "ESTALE"),
    (libc::EBADF, "EBADF"),
    (libc::EISDIR, "EISDIR"),
    (libc::ENOTDIR, "ENOTDIR"),
    (libc::EEXIST, "EEXIST"),
    (libc::EFBIG, "EFBIG"),
    (libc::ENOSPC, "ENOSPC"),
    (libc::EXDEV, "EXDEV"),
    (libc::ENODATA, "ENODATA"),
    (libc::EIO, "EIO"),
];

/// An errno of Linux.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl Errno {
    /// Its symbol.
    pub fn name(self) -> &'static str {
        SYMBOLS.iter().find(|(number, _)| *number == self.0).map_or("EIO", |(_, name)| name)
    }

    /// The symbols of all that can happen here.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SYMBOLS.iter().map(|(_, name)| *name)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a reader or writer of the mount gets for `error`.
pub fn errno(error: &Error) -> Errno {
    Errno(match error {
        Error::NotFound { .. } => libc::ENOENT,
        Error::NoAnchor(_) => libc::ENOKEY,
        Error::Upstream { error, .. } => match error.kind {
            ApiErrorKind::Unauthorized => libc::EKEYREJECTED,
            ApiErrorKind::NotVisible => libc::EACCES,
            ApiErrorKind::Unreachable | ApiErrorKind::Tls => libc::EHOSTUNREACH,
            ApiErrorKind::Refused => libc::ECONNREFUSED,
            ApiErrorKind::Timeout => libc::ETIMEDOUT,
            ApiErrorKind::RateLimited => libc::EAGAIN,
            ApiErrorKind::Invalid | ApiErrorKind::DescriptionTaken | ApiErrorKind::Lifetime | ApiErrorKind::Remote => {
                libc::EREMOTEIO
            }
        },
        Error::AnchorMayBeDead { .. } => libc::EKEYREJECTED,
        Error::Deadline(_) => libc::ETIMEDOUT,
        Error::NotAllowed(_) => libc::EACCES,
        Error::LeaseEnded(Ended::Expired) => libc::EKEYEXPIRED,
        Error::LeaseEnded(Ended::Revoked) => libc::EKEYREVOKED,
        Error::TooManyLeases { .. } => libc::EDQUOT,
        Error::RotationTooSoon { .. } => libc::EBUSY,
        Error::NothingToRotate(_) => libc::EOPNOTSUPP,
        Error::WouldKillAnchor(_) | Error::OwnedByFile { .. } | Error::NotSupported(_) | Error::Stopping => libc::EPERM,
        Error::Document(_) => libc::EINVAL,
        Error::Internal => libc::EIO,
        Error::Ledger(_) => libc::EROFS,
    })
}
