//! A broker with a host that allows everything: for conformance tests and measurements of the broker
//! alone. `cargo run --release -p drover-mqtt --example plain -- 127.0.0.1:1883 FOLDER`

use drover_mqtt::{Broker, Client, Hello, Host, Message, Pass, Refusal, Settings, Verdict};
use std::path::PathBuf;
use std::sync::Arc;

struct Everything;

impl Host for Everything {
    fn connect(&self, _: &Hello<'_>) -> Result<Pass, Refusal> {
        Ok(Pass::default())
    }

    fn may_subscribe(&self, _: &Client, filter: &str) -> Result<(), Refusal> {
        // The topic and the code that Paho's interoperability tests expect to be refused.
        match filter {
            "test/nosubscribe" => Err(Refusal::new(0x80, "nobody subscribes to this")),
            _ => Ok(()),
        }
    }

    fn may_receive(&self, _: &Client, _: &str) -> bool {
        true
    }

    fn may_publish(&self, _: &Client, _: &str) -> Result<(), Refusal> {
        Ok(())
    }

    fn publish(&self, _: &Arc<Client>, _: &Message) -> Verdict {
        Verdict::Route
    }

    fn retained(&self, _: &Client, _: &str, _: u64, _: &mut dyn FnMut(Message)) -> Option<u64> {
        None
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:1883".into());
    let folder = arguments.next().map_or_else(|| std::env::temp_dir().join("drover-mqtt-plain"), PathBuf::from);
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("ready mqtt={}", listener.local_addr()?);
    Broker::open(&folder, Settings::default(), Arc::new(Everything))?.serve(listener, None).await;
    Ok(())
}
