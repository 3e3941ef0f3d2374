//! A Debian with systemd, made once and kept under `target`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a machine needs beside the smallest Debian.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,fuse3";

/// Goes up when the content of an image changes.
const VERSION: u32 = 1;

/// A release of Debian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Debian 12: systemd 252.
    Bookworm,
    /// Debian 13: systemd 257.
    Trixie,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// Its image. Whoever comes first makes it; the others wait.
    pub fn image(self) -> PathBuf {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("systemd");
        fs::create_dir_all(&kept).unwrap();
        let image = kept.join(format!("{}-{VERSION}", self.name()));
        let lock = File::create(kept.join(format!("{}.lock", self.name()))).unwrap();
        lock.lock().unwrap();
        if !image.exists() {
            let unfinished = image.with_extension("unfinished");
            let _ = fs::remove_dir_all(&unfinished);
            self.make(&unfinished);
            fs::rename(&unfinished, &image).unwrap();
        }
        image
    }

    fn make(self, root: &Path) {
        let include = format!("--include={PACKAGES}");
        let output =
            Command::new("debootstrap").args(["--variant=minbase", &include, self.name()]).arg(root).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "debootstrap: {}\n{said}", output.status);
        for useless in ["var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"] {
            fs::remove_dir_all(root.join(useless)).unwrap();
        }
    }
}
