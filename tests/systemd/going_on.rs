//! Readers and open files while who serves them goes away: nobody notices.

use std::time::{Duration, Instant};

use super::site::{Held, Site, suites, times};

/// Between two blows: long enough for readers of every kind to come round.
const PAUSE: Duration = Duration::from_millis(400);

/// Deals so many blows under load, and with two files held; nobody may notice. Prints the longest stall of a reader.
fn strike(site: &Site, what: &str, mut blow: impl FnMut(&Site, u32)) -> Duration {
    let held: Vec<Held> = ["brief", "one"].map(|role| site.hold(role)).into();
    let load = site.load();
    for number in 0..times() {
        blow(site, number);
        site.wait_until_served();
        held.iter().for_each(|held| site.check_held(held));
        std::thread::sleep(PAUSE);
    }
    let stall = load.end(|| site.journal());
    println!("{what}, {} times: no error, nobody waited longer than {stall:?}", times());
    let tokens: Vec<_> = held.into_iter().map(|held| held.token).collect();
    site.eventually("the last close revokes", || !site.fake.is_live(&tokens[0]));
    assert!(site.fake.is_live(&tokens[1]), "this one lingers");
    assert_eq!(site.property("tfcfs", "NFileDescriptorStore"), "2");
    assert_eq!(site.mounts(), 1);
    stall
}

fn each_suite(test: impl Fn(&Site)) {
    for &suite in suites() {
        println!("{suite:?}");
        test(&Site::running(suite));
    }
}

#[test]
fn no_reader_sees_a_restart() {
    each_suite(|site| {
        let mut pid = site.main_pid();
        strike(site, "systemctl restart", |site, _| {
            site.sh("systemctl restart tfcfs");
            assert_ne!(std::mem::replace(&mut pid, site.main_pid()), pid);
        });
        assert_eq!(site.property("tfcfs-umount", "ActiveState"), "active");
    });
}

#[test]
fn no_reader_sees_a_kill_of_the_supervisor() {
    each_suite(|site| {
        strike(site, "kill -9 of the main process", |site, _| {
            let pid = site.main_pid();
            site.sh("systemctl kill --signal=KILL --kill-who=main tfcfs");
            site.eventually("another main process", || !["0".to_owned(), pid.clone()].contains(&site.main_pid()));
        });
        assert_eq!(site.property("tfcfs", "NRestarts"), times().to_string());
    });
}

#[test]
fn no_reader_sees_a_kill_of_everything() {
    each_suite(|site| {
        strike(site, "kill -9 of all processes", |site, _| {
            let pid = site.main_pid();
            site.sh("systemctl kill --signal=KILL --kill-who=all tfcfs");
            site.eventually("another main process", || !["0".to_owned(), pid.clone()].contains(&site.main_pid()));
        });
    });
}

#[test]
fn no_reader_sees_a_kill_of_the_server() {
    each_suite(|site| {
        strike(site, "kill -9 of the server", |site, _| {
            let pid = site.server_pid();
            site.sh(&format!("kill -KILL {pid}"));
            site.eventually("another server", || !["".to_owned(), pid.clone()].contains(&site.server_pid()));
        });
        assert_eq!(site.property("tfcfs", "NRestarts"), "0", "systemd has nothing to do with that");
    });
}

#[test]
fn no_reader_sees_an_upgrade() {
    each_suite(|site| {
        strike(site, "another program and restart", |site, number| {
            site.install_program();
            // What a package's scripts do.
            site.sh("systemctl daemon-reload");
            if number % 2 == 0 {
                // It runs on meanwhile, and may have to start a server from what was deleted.
                site.sh(&format!("kill -KILL {}", site.server_pid()));
                site.wait_until_served();
            }
            site.sh("systemctl restart tfcfs");
            let running = site.sh(&format!("readlink /proc/{}/exe", site.main_pid()));
            assert_eq!(running, "/usr/bin/tfcfs");
        });
    });
}

#[test]
fn a_supervisor_that_hangs_is_replaced_by_the_watchdog() {
    each_suite(|site| {
        site.drop_in("tfcfs.service", "[Service]\nWatchdogSec=2\n");
        site.sh("systemctl restart tfcfs");
        let load = site.load();
        let (pid, stopped) = (site.main_pid(), Instant::now());
        site.sh(&format!("kill -STOP {pid}"));
        site.eventually("another main process", || !["0".to_owned(), pid.clone()].contains(&site.main_pid()));
        site.wait_until_served();
        println!("replaced after {:?}", stopped.elapsed());
        let stall = load.end(|| site.journal());
        println!("watchdog: nobody waited longer than {stall:?}");
    });
}

#[test]
fn a_server_that_hangs_is_replaced_by_the_supervisor() {
    each_suite(|site| {
        let held = site.hold("brief");
        let load = site.load();
        let pid = site.server_pid();
        site.sh(&format!("kill -STOP {pid}"));
        site.eventually("another server", || !["".to_owned(), pid.clone()].contains(&site.server_pid()));
        site.wait_until_served();
        site.check_held(&held);
        let stall = load.end(|| site.journal());
        println!("hung server: nobody waited longer than {stall:?}");
        assert!(stall < Duration::from_secs(9), "{stall:?}");
        assert_eq!(site.property("tfcfs", "NRestarts"), "0");
    });
}

#[test]
fn a_reload_puts_the_settings_into_force() {
    each_suite(|site| {
        let pid = site.server_pid();
        site.settings("tfcfs", &site.settings_text("mode = \"0444\"\n"));
        site.sh("systemctl reload tfcfs");
        site.eventually("its mode", || site.sh("stat -c %a /mnt/tfc/creds/app/token") == "444");
        assert_eq!(site.server_pid(), pid);
        site.settings("tfcfs", "nonsense");
        site.sh("systemctl reload tfcfs");
        site.eventually("the sentence", || site.read("errors").contains("settings file refused"));
        assert_eq!(site.property("tfcfs", "ActiveState"), "active");
        assert_eq!(site.sh("stat -c %a /mnt/tfc/creds/app/token"), "444");
    });
}
