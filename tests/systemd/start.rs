//! Start, and what the service is then.

use super::site::{Site, suites};

/// What a service may lack at most, in tenths.
const EXPOSURE: u32 = 15;

#[test]
fn it_starts_from_nothing_with_no_rights_at_all() {
    for &suite in suites() {
        let site = Site::installed(suite);
        site.sh("systemctl start tfcfs");
        assert!(site.read("status").contains("roles = 0"));
        assert_eq!(site.property("tfcfs", "StatusText"), "serving 0 roles, 0 leases held, 0 lingering");
        assert_eq!(site.property("tfcfs", "NFileDescriptorStore"), "2");
        for pid in [site.main_pid(), site.server_pid()] {
            let status = site.sh(&format!("cat /proc/{pid}/status"));
            let of = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                line.split_whitespace().collect::<Vec<_>>().join(" ")
            };
            for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
                assert_eq!(of(set), "0000000000000000", "{set}");
            }
            assert_eq!((of("NoNewPrivs:"), of("Seccomp:")), ("1".into(), "2".into()));
            let user = site.sh("id -u tfcfs");
            assert_eq!(of("Uid:"), format!("{user} {user} {user} {user}"));
            let limits = site.sh(&format!("cat /proc/{pid}/limits"));
            let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
            assert!(core.split_whitespace().rev().nth(1) == Some("0"), "{core}");
        }
        let log = site.sh("journalctl --no-pager --output=cat --unit=tfcfs --priority=warning");
        assert_eq!(log, "no trusted authorities on this system; install ca-certificates or set ca_file");
        let units = "tfcfs.service tfcfs@srv-x.service tfcfs-umount.service tfcfs-umount@srv-x.service";
        assert_eq!(site.sh(&format!("systemd-analyze verify --man=no {units} 2>&1")), "");
        for unit in ["tfcfs.service", "tfcfs@srv-x.service"] {
            let table = site.sh(&format!("systemd-analyze security --no-pager --threshold={EXPOSURE} {unit}"));
            let missing: Vec<_> = table.lines().filter(|line| !line.trim_start().starts_with('✓')).collect();
            println!("{suite:?}\n{}", missing.join("\n"));
        }
    }
}
