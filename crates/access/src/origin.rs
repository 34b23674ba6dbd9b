//! From where the request comes that is being worked on, for those who note changes deep below its handler.

use std::net::IpAddr;

tokio::task_local! {
    static ADDRESS: Option<IpAddr>;
}

/// Works on a request that comes from there.
pub async fn coming_from<T>(address: Option<IpAddr>, work: impl Future<Output = T>) -> T {
    ADDRESS.scope(address, work).await
}

/// From where the request comes; none outside of one, and in tasks that it has started.
pub fn request_address() -> Option<IpAddr> {
    ADDRESS.try_with(|address| *address).ok().flatten()
}
