//! How many connections a door has at once, in all and from one address. Whoever comes beyond that is closed before
//! he has said anything: one address cannot take what all others need.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Whom the bound of one address is not for.
pub type Excepted = Box<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// The connections that a door has room for. Cheap to clone: clones share the places.
#[derive(Clone)]
pub struct Places(Arc<Room>);

struct Room {
    max: usize,
    max_of_address: usize,
    excepted: Excepted,
    taken: AtomicUsize,
    by_site: Mutex<HashMap<IpAddr, usize>>,
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("taken", &self.taken()).finish_non_exhaustive()
    }
}

impl Places {
    /// Room for so many connections, and for so many of one address that is not `excepted`. Of IPv6, the first 64 bits
    /// are the address: whoever has one has all that begin so.
    pub fn new(max: usize, max_of_address: usize, excepted: Excepted) -> Places {
        let (taken, by_site) = (AtomicUsize::new(0), Mutex::default());
        Places(Arc::new(Room { max, max_of_address, excepted, taken, by_site }))
    }

    /// Connections at the moment.
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// A place for a connection from there; none where there is no room, which is counted. It is given back when it is
    /// dropped.
    pub(crate) fn enter(&self, from: IpAddr) -> Option<Place> {
        let room = &self.0;
        let counted =
            room.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < room.max).then_some(n + 1));
        if counted.is_err() {
            return refuse("all", from);
        }
        // From here on dropping it gives back what it has taken.
        let mut place = Place { places: self.clone(), site: None };
        let from = from.to_canonical();
        if (room.excepted)(from) {
            return Some(place);
        }
        let site = site_of(from);
        let mut by_site = room.by_site.lock();
        let open = by_site.entry(site).or_insert(0);
        if *open >= room.max_of_address {
            drop(by_site);
            return refuse("address", from);
        }
        *open += 1;
        place.site = Some(site);
        drop(by_site);
        Some(place)
    }
}

/// A connection that is counted as long as this lives.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    site: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let room = &self.places.0;
        room.taken.fetch_sub(1, Ordering::Relaxed);
        let Some(site) = self.site else { return };
        let mut by_site = room.by_site.lock();
        if let Some(open) = by_site.get_mut(&site) {
            *open -= 1;
            if *open == 0 {
                by_site.remove(&site);
            }
        }
    }
}

fn refuse(bound: &'static str, from: IpAddr) -> Option<Place> {
    metrics::counter!("drover_http_connections_refused_total", "bound" => bound).increment(1);
    tracing::debug!(%from, bound, "a connection beyond the bound was closed");
    None
}

fn site_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            Ipv6Addr::from(segments).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(max: usize, max_of_address: usize) -> Places {
        Places::new(max, max_of_address, Box::new(|address| address.is_loopback()))
    }

    fn at(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_its_bound_and_gets_a_place_back_when_it_leaves_one() {
        let places = places(100, 2);
        let first = places.enter(at("192.0.2.7"));
        let _second = places.enter(at("::ffff:192.0.2.7")).expect("the second of two");
        assert!(places.enter(at("192.0.2.7")).is_none());
        assert!(places.enter(at("192.0.2.8")).is_some(), "another one");
        assert_eq!(places.taken(), 2, "who was refused, and who has left, takes none");
        drop(first);
        assert!(places.enter(at("192.0.2.7")).is_some());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_who_is_excepted_has_no_bound_of_his_own() {
        let places = places(10, 1);
        let _first = places.enter(at("2001:db8:1:2::1")).expect("a place");
        assert!(places.enter(at("2001:db8:1:2:ffff::9")).is_none());
        assert!(places.enter(at("2001:db8:1:3::1")).is_some());
        let crowd: Vec<Place> = (0..9).filter_map(|_| places.enter(at("127.0.0.1"))).collect();
        assert_eq!(crowd.len(), 9);
        assert!(places.enter(at("127.0.0.1")).is_none(), "the bound of all is for everybody");
        drop(crowd);
        assert_eq!(places.taken(), 1);
    }
}
