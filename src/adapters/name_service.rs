//! How a static build finds users, groups and hosts.

/// Keeps a static build to `/etc/passwd`, `/etc/group`, `/etc/hosts` and DNS, whatever `nsswitch.conf` says. Any other
/// service is a library of the machine, made for the machine's own C library: loading it into a program that carries
/// another one may crash it. A build with the machine's library asks what the machine asks.
///
/// To be called before anything is looked up.
pub fn keep_to_files_and_dns() {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    for (database, services) in [(c"passwd", c"files"), (c"group", c"files"), (c"hosts", c"files dns")] {
        configure(database, services);
    }
}

#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
#[allow(unsafe_code, reason = "no crate has this function of glibc")]
fn configure(database: &std::ffi::CStr, services: &std::ffi::CStr) {
    unsafe extern "C" {
        /// Of `nss.h`; takes copies. Fails for a database or a line that it does not know, so never for these.
        fn __nss_configure_lookup(database: *const libc::c_char, services: *const libc::c_char) -> libc::c_int;
    }
    // SAFETY: two strings that live for ever, and a thread that is the only one yet.
    unsafe { __nss_configure_lookup(database.as_ptr(), services.as_ptr()) };
}
