//! Bodies that a handler did not read. HTTP/1.1 leaves a connection unusable then, and closing it at once may cost the
//! client the answer it was sent. So the rest is read and thrown away, within bounds, and the answer says that the
//! connection ends: a client that keeps connections does not send its next request into a closed one. Who asks first
//! whether to send (`Expect: 100-continue`) and is refused sends nothing, and is not asked to.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Version, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Body as _, Frame, SizeHint};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// Bytes of an unread body that are read and thrown away; after that the connection is cut.
const REST_MAX_BYTES: usize = 64 << 20;
/// How long that may take.
const REST_PATIENCE: Duration = Duration::from_secs(5);

/// Middleware for all routes: sees to the rest of a body that its handler did not read.
pub async fn mind_unread_bodies(request: Request, next: Next) -> Response {
    if request.version() != Version::HTTP_11 || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let left = Arc::new(AtomicBool::new(false));
    let is_coming = !request.headers().contains_key(header::EXPECT);
    let request = request.map(|body| Body::new(Watched { body, is_coming, ended: false, left: left.clone() }));
    let mut response = next.run(request).await;
    if left.load(Ordering::Relaxed) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A body that knows whether it was read to its end.
struct Watched {
    body: Body,
    /// The client sends it, or was told to: reading is what tells it.
    is_coming: bool,
    ended: bool,
    left: Arc<AtomicBool>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_coming = true;
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(frame) = &polled {
            // An error ends a body too: nothing more comes.
            self.ended = !matches!(frame, Some(Ok(_))) || self.body.is_end_stream();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.ended || self.body.is_end_stream() {
            return;
        }
        self.left.store(true, Ordering::Relaxed);
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && self.is_coming
        {
            runtime.spawn(throw_away(mem::take(&mut self.body)));
        }
    }
}

async fn throw_away(mut body: Body) {
    let rest = async {
        let mut seen = 0;
        while seen < REST_MAX_BYTES {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            let Some(Ok(frame)) = frame else { return };
            seen += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    // What is left after that is cut off with the connection.
    let _rest = tokio::time::timeout(REST_PATIENCE, rest).await;
}
