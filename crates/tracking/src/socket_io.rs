//! The same events over Socket.IO, for clients that speak nothing else. Who the caller is comes from the request that
//! opened the connection (the guard has looked at its header or cookie), or from the `auth: {token}` of the client. What came
//! with a callback is answered there too, after the event that answers it.

use crate::Tracking;
use crate::hub::{End, Mailbox, News};
use crate::outlet::{self, Gone, Outlet};
use crate::session::{Out, Session};
use crate::wire::MESSAGE_MAX_BYTES;
use drover_access::{Caller, Stranger, Watching};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value};
use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::{AckSender, Event, SocketRef, TryData};
use socketioxide::handler::{ConnectHandler, FromConnectParts, FromMessageParts, MessageHandler, Value as Raw};
use socketioxide::layer::SocketIoLayer;
use socketioxide::socket::Socket;
use socketioxide::{ParserConfig, SendError, SocketError, SocketIo};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Packets that wait for one client. A client that answers no ping, or whose packets do not fit when a ping is due, is
/// closed: within 30 s.
const PACKETS_MAX: usize = 32;
const PING_EVERY: Duration = Duration::from_secs(15);
const PING_PATIENCE: Duration = Duration::from_secs(15);
/// Events of one client that wait to be looked at: as many as it may send at once.
const EVENTS_MAX: usize = 1_000;
/// Whoever opens a connection and says nothing has so long.
const SILENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether a client has left without anybody being told.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// The layer that answers at `/socket.io/`.
pub(crate) fn layer(tracking: Tracking) -> SocketIoLayer {
    let parser = ParserConfig::common().max_incoming_binaries(0).max_incoming_binary_buf_size(0);
    let (layer, io) = SocketIo::builder()
        .req_path("/socket.io")
        .max_buffer_size(PACKETS_MAX)
        .max_payload(MESSAGE_MAX_BYTES as u64)
        .ws_read_buffer_size(1024)
        .ws_max_message_size(MESSAGE_MAX_BYTES)
        .ws_max_frame_size(MESSAGE_MAX_BYTES)
        .ping_interval(PING_EVERY)
        .ping_timeout(PING_PATIENCE)
        .connect_timeout(SILENCE)
        .with_parser(parser)
        .build_layer();
    io.ns("/", Door(tracking));
    layer
}

/// What a client says when it connects.
#[derive(Debug, Default, Deserialize)]
struct Auth {
    token: Option<String>,
}

/// One event of a client, in the order in which it came.
struct Said {
    event: String,
    data: Value,
    /// The number of the callback that waits for the answer, where the client gave one.
    callback: Option<i64>,
}
/// Where the connection's task finds what came before it began.
type Waiting = Arc<Mutex<Option<mpsc::Receiver<Said>>>>;

/// Marks the handlers below as ours.
enum Ours {}

/// Takes connections.
#[derive(Clone)]
struct Door(Tracking);

impl ConnectHandler<LocalAdapter, Ours> for Door {
    /// Before the client hears that it is connected: from then on it may send, and nothing may be lost.
    fn call_middleware<'a>(
        &'a self,
        socket: Arc<Socket>,
        _: &'a Option<Raw>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Box<dyn std::fmt::Display + Send>>> + Send + 'a>> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        socket.extensions.insert::<Waiting>(Arc::new(Mutex::new(Some(receiver))));
        socket.on_fallback(Inbox(sender));
        Box::pin(async { Ok(()) })
    }

    fn call(&self, socket: Arc<Socket>, auth: Option<Raw>) {
        let token = match TryData::<Auth>::from_connect_parts(&socket, &auth) {
            Ok(TryData(Ok(auth))) => auth.token,
            _ => None,
        };
        let Some(inbox) = socket.extensions.get::<Waiting>().and_then(|waiting| waiting.lock().take()) else { return };
        let caller = self.caller(&socket, token.as_deref());
        if let (Some(_), Some(stranger)) = (&caller, socket.req_parts().extensions.get::<Stranger>()) {
            stranger.is_known();
        }
        let tracking = self.0.clone();
        tokio::spawn(async move {
            let _gone = serve(&tracking, socket, caller, inbox).await;
        });
    }
}

impl Door {
    fn caller(&self, socket: &Socket, token: Option<&str>) -> Option<Caller> {
        let by_token = token.map(|token| (self.0.0.authenticate)(token));
        // A token that is not good is no login, whatever else the browser sent along.
        by_token.unwrap_or_else(|| socket.req_parts().extensions.get::<Caller>().cloned())
    }
}

/// Takes the events of one client.
struct Inbox(mpsc::Sender<Said>);

impl MessageHandler<LocalAdapter, Ours> for Inbox {
    fn call(&self, socket: Arc<Socket>, mut value: Raw, ack: Option<i64>) {
        let Ok(Event(event)) = Event::from_message_parts(&socket, &mut value, &ack) else { return };
        let data = match TryData::<Value>::from_message_parts(&socket, &mut value, &ack) {
            Ok(TryData(Ok(data))) => data,
            _ => Value::Null,
        };
        if self.0.try_send(Said { event, data, callback: ack }).is_err() {
            // Far too fast: more than the whole allowance waits already.
            let _full = socket.disconnect();
        }
    }
}

/// Offers events to a client's packets.
struct Packets(Arc<Socket>);

impl Outlet for Packets {
    async fn offer(&mut self, out: &Out) -> Result<bool, Gone> {
        taken(self.0.emit(&out.event, &out.data))
    }
}

/// Offers the answer to one event to the callback that waits for it.
struct Callback<'a>(&'a Arc<Socket>, i64);

impl Outlet for Callback<'_> {
    async fn offer(&mut self, out: &Out) -> Result<bool, Gone> {
        // Made anew for each try: it is used up where there was no room.
        let nothing = &mut Raw::Str(Default::default(), None);
        let Ok(callback) = AckSender::from_message_parts(self.0, nothing, &Some(self.1));
        taken(callback.send(&out.frame()))
    }
}

/// Whether the client's packets had room.
fn taken(sent: Result<(), SendError>) -> Result<bool, Gone> {
    match sent {
        Ok(()) => Ok(true),
        Err(SendError::Socket(SocketError::InternalChannelFull)) => Ok(false),
        Err(_) => Err(Gone),
    }
}

/// Serves one client until either side leaves.
async fn serve(
    tracking: &Tracking,
    socket: Arc<Socket>,
    caller: Option<Caller>,
    inbox: mpsc::Receiver<Said>,
) -> Result<(), Gone> {
    let mut packets = Packets(socket.clone());
    let open = |caller: Caller| {
        let watching = Watching::of(socket.req_parts(), Some(&caller));
        Session::open(tracking, caller, watching)
    };
    let refused = match caller.map(open) {
        Some(Ok(session)) => {
            let mailbox = session.listener.mailbox();
            leave_with(&SocketRef::from(socket.clone()), mailbox);
            let last = run(session, &mut packets, inbox).await?;
            let Some(last) = last else { return Ok(()) };
            last
        }
        Some(Err(problem)) => Out::error(&problem, Map::new()),
        None => Out::unauthenticated(),
    };
    outlet::send(&mut packets, &refused).await?;
    let _gone = socket.disconnect();
    Ok(())
}

/// The connection's task holds the socket, so it has to hear when the client is gone.
fn leave_with(socket: &SocketRef, mailbox: Arc<Mailbox>) {
    socket.on_disconnect(async move || mailbox.end(End::Left));
}

/// Serves until the client has left; or gives what to say before closing.
async fn run(
    mut session: Session,
    packets: &mut Packets,
    mut inbox: mpsc::Receiver<Said>,
) -> Result<Option<Out>, Gone> {
    outlet::send(packets, &session.greeting()).await?;
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut stuck_since = None;
    loop {
        tokio::select! {
            biased;
            news = session.listener.news() => match news {
                News::Changed(changed) => outlet::tell(&mut session, packets, changed, &mut stuck_since).await?,
                News::End(End::LoginOver) => return Ok(Some(Out::unauthenticated())),
                News::End(End::NodeStops | End::Left) => return Ok(None),
            },
            said = inbox.recv() => {
                let Some(Said { event, data, callback }) = said else { return Ok(None) };
                let out = session.handle(&event, data).await;
                outlet::send(packets, &out).await?;
                if let Some(number) = callback {
                    outlet::send(&mut Callback(&packets.0, number), &out).await?;
                }
            }
            // A client that left before `leave_with` was heard by nobody.
            _ = look.tick() => if !packets.0.connected() { return Ok(None) },
        }
    }
}
