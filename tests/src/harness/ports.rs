//! Ports for servers under test.

use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

/// The first port and the number of them: below those that the kernel gives to outgoing connections, above those of the control plane.
const FIRST: u32 = 21_000;
const COUNT: u32 = 11_000;

/// Returns a port that nothing listens on, on any address. Never the same twice in a process.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes start at different places, since each only sees its own counter.
    let start = process::id().wrapping_mul(97);
    (0..COUNT)
        .filter_map(|_| {
            let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
            u16::try_from(FIRST + offset).ok()
        })
        .find(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok())
        .context("no free port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over() {
        let first = free_port().unwrap();
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first + 1));
        let second = free_port().unwrap();
        assert!(second != first && second != first + 1, "{first} {second}");
    }
}
