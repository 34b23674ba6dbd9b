//! The ceiling of an HTTP door: the same server library, address, threads and socket options as a node, but the handler
//! only reads the body and answers 202. `bench/http` measures it in the same run as the node.
//! `cargo run --release -p drover-node --example empty_handler`; prints `ready http=HOST:PORT`, serves until it is killed.

use axum::Router;
use axum::extract::{Path, Request};
use axum::http::StatusCode;
use axum::routing::post;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

/// More than a report has.
const BODY_MAX_BYTES: usize = 1 << 20;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ready http={}", listener.local_addr()?);
    // As the node does. A socket that refuses it shows in the figures.
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("TCP_NODELAY"));
    axum::serve(listener, Router::new().route("/api/v1/{kinds}/{id}/location", post(swallow))).await
}

/// Takes the address apart and the whole body in, and looks at neither.
async fn swallow(Path(_address): Path<(String, String)>, request: Request) -> StatusCode {
    match axum::body::to_bytes(request.into_body(), BODY_MAX_BYTES).await {
        Ok(_body) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::BAD_REQUEST,
    }
}
