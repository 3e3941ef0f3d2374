//! `/proc/self/mountinfo`, read as text: asking the kernel about a path can hang in a filesystem, this cannot.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Filesystem type of our mounts.
pub const FSTYPE: &str = "fuse.tfcfs";
/// Source of our mounts, where the type is a bare `fuse`.
pub const SOURCE: &str = "tfcfs";

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is, as seen from this process's root.
    pub point: PathBuf,
    /// Filesystem type, e.g. `fuse.sshfs`.
    pub fstype: String,
    /// What is mounted, as its filesystem calls it.
    pub source: String,
    /// The minor number of its device, which names a FUSE connection.
    pub minor: Option<u32>,
    /// What its filesystem was told: `rw,user_id=0,…`.
    pub options: String,
}

impl Mount {
    /// Whether it is one of ours.
    pub fn is_tfcfs(&self) -> bool {
        self.fstype == FSTYPE || (self.is_fuse() && self.source == SOURCE)
    }

    /// Whether its filesystem was given that option.
    pub fn has(&self, option: &str) -> bool {
        self.options.split(',').any(|one| one == option)
    }

    /// Whether a process serves it.
    pub fn is_fuse(&self) -> bool {
        ["fuse", "fuseblk"].into_iter().any(|kind| {
            self.fstype.strip_prefix(kind).is_some_and(|subtype| subtype.is_empty() || subtype.starts_with('.'))
        })
    }
}

/// Every mount, in the kernel's order. Lines that are not understood are left out.
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// The topmost mount at `point`.
pub fn at<'a>(mounts: &'a [Mount], point: &Path) -> Option<&'a Mount> {
    mounts.iter().rev().find(|mount| mount.point == point)
}

/// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [OPTIONAL…] - FSTYPE SOURCE SUPER_OPTIONS` (proc_pid_mountinfo(5)).
fn line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let device = fields.nth(2)?;
    let point = fields.nth(1)?;
    fields.next()?;
    fields.find(|field| *field == b"-")?;
    let text = |field| String::from_utf8_lossy(&unescape(field)).into_owned();
    Some(Mount {
        point: PathBuf::from(OsString::from_vec(unescape(point))),
        fstype: text(fields.next()?),
        source: text(fields.next()?),
        minor: text(device).split_once(':').and_then(|(_, minor)| minor.parse().ok()),
        options: fields.next().map(text).unwrap_or_default(),
    })
}

/// Blank, tab, line break, backslash and `#` are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let code = (byte == b'\\').then(|| after.get(..3).and_then(octal)).flatten();
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    bytes
}

fn octal(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0_u8, |value, digit| {
        let digit = char::from(*digit).to_digit(8)?;
        value.checked_mul(8)?.checked_add(u8::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /mnt/tfc rw,nosuid,nodev shared:5 master:2 - fuse.tfcfs tfcfs rw,user_id=0,group_id=0
31 22 0:27 / /mnt/a\\040b\\011c\\134d\\012e\\043f rw - fuse tfcfs rw
32 22 0:28 / /mnt/ssh rw - fuse.sshfs host:/a\\040b rw
33 22 0:29 / /mnt/ssh rw - tmpfs tmpfs rw
34 22 0:30 / /mnt/control rw - fusectl fusectl rw
35 22 0:31 / /mnt/\xff rw - fuseblk /dev/sdb rw
half a line
";

    #[test]
    fn lines_with_and_without_optional_fields() {
        let mounts = parse(TEXT);
        assert_eq!(mounts.len(), 7);
        let root = Mount {
            point: "/".into(),
            fstype: "ext4".into(),
            source: "/dev/vda".into(),
            minor: Some(0),
            options: "rw".into(),
        };
        assert_eq!(mounts[0], root);
        assert!(mounts[1].has("user_id=0") && !mounts[1].has("user_id") && mounts[1].minor == Some(26));
        assert_eq!(mounts[2].point, Path::new("/mnt/a b\tc\\d\ne#f"));
        assert_eq!(mounts[3].source, "host:/a b");
        assert_eq!(mounts[6].point.as_os_str().len(), 6);
    }

    #[test]
    fn ours_and_others() {
        let mounts = parse(TEXT);
        let of = |test: fn(&Mount) -> bool| mounts.iter().map(test).map(u8::from).collect::<Vec<_>>();
        assert_eq!(of(Mount::is_tfcfs), [0, 1, 1, 0, 0, 0, 0]);
        assert_eq!(of(Mount::is_fuse), [0, 1, 1, 1, 0, 0, 1]);
    }

    #[test]
    fn the_topmost_mount_counts() {
        let mounts = parse(TEXT);
        assert_eq!(at(&mounts, Path::new("/mnt/ssh")).unwrap().fstype, "tmpfs");
        assert_eq!(at(&mounts, Path::new("/mnt")), None);
    }

    #[test]
    fn a_backslash_without_octal_digits_is_itself() {
        for (escaped, bytes) in
            [(&b"a\\"[..], &b"a\\"[..]), (b"\\08x", b"\\08x"), (b"\\777", b"\\777"), (b"\\+12", b"\\+12")]
        {
            assert_eq!(unescape(escaped), bytes);
        }
    }
}
