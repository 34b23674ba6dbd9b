//! A WebSocket to a node, with JSON in its frames.

use super::{PATIENCE, parse};
use serde_json::Value;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;
use tungstenite::{Bytes, Error, Message, WebSocket};

pub struct Socket(WebSocket<TcpStream>);

impl Socket {
    pub fn open(stream: TcpStream, url: &str) -> Socket {
        stream.set_nodelay(true).expect("a socket option");
        let (socket, _) = tungstenite::client(url, stream).unwrap_or_else(|error| panic!("{url}: {error}"));
        Socket(socket)
    }

    pub fn send(&mut self, text: impl ToString) {
        self.0.send(Message::text(text.to_string())).expect("the node takes a frame");
    }

    pub fn send_binary(&mut self, bytes: impl Into<Bytes>) -> Result<(), Error> {
        self.0.send(Message::binary(bytes))
    }

    /// The next message, which must come.
    #[track_caller]
    pub fn next(&mut self) -> Value {
        self.next_within(PATIENCE).expect("a message in time")
    }

    /// The next message if one comes in this time.
    #[track_caller]
    pub fn next_within(&mut self, time: Duration) -> Option<Value> {
        self.0.get_ref().set_read_timeout(Some(time)).expect("a timeout");
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => return Some(parse(text.as_bytes())),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(other) => panic!("an unexpected frame: {other:?}"),
                Err(Error::Io(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return None;
                }
                Err(error) => panic!("the WebSocket broke: {error}"),
            }
        }
    }

    /// Sends one frame of reports and gives its acknowledgement.
    pub fn ask(&mut self, text: impl ToString) -> Value {
        self.send(text);
        self.next()
    }

    /// Reads until the other side closes or breaks the connection; gives the close code if it sent one.
    pub fn await_end(&mut self) -> Option<u16> {
        self.0.get_ref().set_read_timeout(Some(PATIENCE)).expect("a timeout");
        loop {
            match self.0.read() {
                Ok(Message::Close(frame)) => return frame.map(|frame| frame.code.into()),
                Ok(_) => {}
                Err(Error::Io(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("the WebSocket is still open")
                }
                Err(_) => return None,
            }
        }
    }
}
