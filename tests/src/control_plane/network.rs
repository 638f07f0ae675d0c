//! A piece of the loopback network that belongs to one control plane alone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process;

use anyhow::{Result, bail};

/// Whoever listens here holds the network 127.x.0.0/16; the kernel lets go of it when the holder ends, in whatever way.
const CLAIM_PORT: u16 = 19_999;

/// A network 127.x.0.0/16 that no other control plane on this machine uses.
///
/// Its components listen on one address of it and its pods get the others, so ports are the same in each control plane, stay free
/// across restarts, and two control planes never share a pod's address.
#[derive(Debug)]
pub struct Network {
    second_octet: u8,
    _claim: TcpListener,
}

impl Network {
    /// Claims a network that nobody holds.
    pub fn claim() -> Result<Self> {
        // Not below 16: 127.0.0.0/16 is everybody's. Starting by process spreads control planes that start at once.
        let start = process::id() % 224;
        for step in 0..224 {
            let Ok(second_octet) = u8::try_from(16 + (start + step) % 224) else { continue };
            let address = SocketAddr::from(([127, second_octet, 255, 254], CLAIM_PORT));
            match TcpListener::bind(address) {
                Ok(claim) => return Ok(Self { second_octet, _claim: claim }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => bail!(
                    "cannot listen on {address}: {error} (all of 127.0.0.0/8 must be loopback, as on Linux)"
                ),
            }
        }
        bail!("all networks 127.16.0.0/16 to 127.239.0.0/16 are in use on port {CLAIM_PORT}")
    }

    /// Returns the address that the components listen on.
    pub fn components(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, self.second_octet, 255, 1))
    }

    /// Returns the range that pods get their addresses from.
    pub fn pods(&self) -> String {
        format!("127.{}.0.0/16", self.second_octet)
    }

    /// Tells whether an address is one of this network.
    pub fn contains(&self, address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(address) if address.octets()[..2] == [127, self.second_octet])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_claims_differ_and_a_dropped_one_is_free_again() {
        let (first, second) = (Network::claim().unwrap(), Network::claim().unwrap());
        assert_ne!(first.pods(), second.pods());
        assert!(first.contains(first.components()) && !first.contains(second.components()));
        let pods = first.pods();
        drop(first);
        assert_eq!(Network::claim().unwrap().pods(), pods);
    }
}
