//! When each report of one connection is meant to be sent. Device g of all N starts at g/N of the interval, so that the
//! whole crowd sends evenly; connection c of C holds the devices c, c + C, c + 2C …

use std::time::Duration;

/// The pace of one connection's devices.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    start_us: u64,
    interval_us: u64,
    connection: u64,
    connections: u64,
    all_devices: u64,
    own_devices: u64,
    next: u64,
}

impl Schedule {
    pub(super) fn new(
        start_us: u64,
        interval: Duration,
        connection: usize,
        connections: usize,
        devices: usize,
    ) -> Schedule {
        let own_devices = (connection..devices).step_by(connections).count() as u64;
        let interval_us = (interval.as_micros() as u64).max(1000);
        Schedule {
            start_us,
            interval_us,
            connection: connection as u64,
            connections: connections as u64,
            all_devices: devices as u64,
            own_devices,
            next: 0,
        }
    }

    /// Time of the next report; the connection's device `device()` sends it.
    pub(super) fn due_us(&self) -> u64 {
        let device = self.connection + self.connections * (self.next % self.own_devices);
        self.start_us + self.interval_us * (self.next / self.own_devices) + self.interval_us * device / self.all_devices
    }

    /// Index, within the connection, of the device whose turn it is.
    pub(super) fn device(&self) -> usize {
        (self.next % self.own_devices) as usize
    }

    pub(super) fn advance(&mut self) {
        self.next += 1;
    }

    /// Reports meant to be sent before `end_us` and not sent yet.
    pub(super) fn left_before(mut self, end_us: u64) -> u64 {
        let mut left = 0;
        while self.due_us() < end_us {
            self.advance();
            left += 1;
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_sends_evenly_over_all_its_connections() {
        let mut due = Vec::new();
        for connection in 0..3 {
            let mut schedule = Schedule::new(1_000_000, Duration::from_secs(1), connection, 3, 10);
            while schedule.due_us() < 3_000_000 {
                due.push(schedule.due_us());
                schedule.advance();
            }
        }
        due.sort_unstable();
        let even: Vec<u64> = (0..20).map(|nth| 1_000_000 + nth * 100_000).collect();
        assert_eq!(due, even);
    }

    #[test]
    fn what_was_not_sent_in_time_is_counted() {
        let mut schedule = Schedule::new(0, Duration::from_secs(1), 0, 1, 4);
        schedule.advance();
        assert_eq!(schedule.left_before(2_000_000), 7);
    }
}
