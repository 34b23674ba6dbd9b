//! A broker whose host takes every publish and resolves its promise when the payload is on disk: one
//! thread writes what has gathered and syncs once for all of it, as the node's log does. For measuring
//! durable acknowledgements: `cargo run --release -p drover-mqtt --example durable -- ADDRESS FOLDER`

use drover_mqtt::{Broker, Client, Hello, Host, Message, Pass, Refusal, Settings, Verdict};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use tokio::sync::oneshot;

type Record = (Vec<u8>, oneshot::Sender<bool>);

/// Appends to a file in groups.
struct Journal {
    to_writer: mpsc::Sender<Record>,
}

impl Journal {
    fn open(mut file: File) -> Journal {
        let (to_writer, records) = mpsc::channel::<Record>();
        std::thread::spawn(move || {
            while let Ok(first) = records.recv() {
                let group: Vec<_> = std::iter::once(first).chain(records.try_iter()).collect();
                let bytes: Vec<u8> = group.iter().flat_map(|(payload, _)| payload.iter().copied()).collect();
                let is_durable = file.write_all(&bytes).and_then(|()| file.sync_data()).is_ok();
                for (_, told) in group {
                    // Whoever published it may be gone.
                    let _gone = told.send(is_durable);
                }
            }
        });
        Journal { to_writer }
    }
}

impl Host for Journal {
    fn connect(&self, _: &Hello<'_>) -> Result<Pass, Refusal> {
        Ok(Pass::default())
    }

    fn may_subscribe(&self, _: &Client, _: &str) -> Result<(), Refusal> {
        Ok(())
    }

    fn may_receive(&self, _: &Client, _: &str) -> bool {
        true
    }

    fn may_publish(&self, _: &Client, _: &str) -> Result<(), Refusal> {
        Ok(())
    }

    fn publish(&self, _: &Arc<Client>, message: &Message) -> Verdict {
        let (told, durable) = oneshot::channel();
        let failed = || Refusal::new(Refusal::QUOTA_EXCEEDED, "the disk did not take it");
        match self.to_writer.send((message.payload.to_vec(), told)) {
            Ok(()) => Verdict::Taken(Box::pin(async move {
                let is_durable = durable.await.unwrap_or(false);
                is_durable.then_some(()).ok_or_else(failed)
            })),
            Err(_) => Verdict::Refused(failed()),
        }
    }

    fn retained(&self, _: &Client, _: &str, _: u64, _: &mut dyn FnMut(Message)) -> Option<u64> {
        None
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:1883".into());
    let folder = arguments.next().map_or_else(|| std::env::temp_dir().join("drover-mqtt-durable"), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    let journal = Journal::open(File::create(folder.join("journal"))?);
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("ready mqtt={}", listener.local_addr()?);
    Broker::open(&folder, Settings::default(), Arc::new(journal))?.serve(listener, None).await;
    Ok(())
}
