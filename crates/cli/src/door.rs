//! The flags that say where `replay` and `simulate` send, the same for both: a URL whose scheme may choose the door, or
//! a door with its address.

use anyhow::{bail, ensure};
use clap::{Args, ValueEnum};
use drover_sim::send::{MQTT, Via};
use drover_sim::wire::mqtt::Version;

use crate::node::{NODE, WhoArgs};

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Door {
    Http,
    Websocket,
    Mqtt,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum MqttVersion {
    #[value(name = "3.1.1")]
    V3,
    #[value(name = "5")]
    V5,
}

/// Where to send.
#[derive(Debug, Args)]
pub struct DoorArgs {
    /// The node: http://HOST:PORT, or mqtt://HOST:PORT to send over MQTT (to any broker); https:// and mqtts:// with TLS
    #[arg(long, default_value = NODE, value_name = "URL")]
    url: String,
    /// Door to use; an mqtt:// or mqtts:// URL chooses mqtt by itself
    #[arg(long, value_enum)]
    via: Option<Door>,
    /// With --via mqtt: the node's MQTT door, where --url is its HTTP door; mqtts:// with TLS [default: 127.0.0.1:1883]
    #[arg(long, value_name = "HOST:PORT")]
    mqtt: Option<String>,
    /// Version of MQTT; in 3.1.1 a node cannot say why it refuses a report, it hangs up, and the report is sent again
    #[arg(long, value_enum, default_value = "5")]
    mqtt_version: MqttVersion,
    #[command(flatten)]
    pub who: WhoArgs,
}

/// The door that the flags agree on.
#[derive(Debug, PartialEq)]
pub struct Chosen {
    pub via: Via,
    /// Address of the HTTP door.
    pub url: String,
    /// Address of the MQTT door.
    pub mqtt: String,
}

impl DoorArgs {
    /// The door to use, which is `usual` if no flag says otherwise.
    ///
    /// # Errors
    /// When the flags contradict each other.
    pub fn choose(&self, usual: Via) -> anyhow::Result<Chosen> {
        let version = match self.mqtt_version {
            MqttVersion::V3 => Version::V3,
            MqttVersion::V5 => Version::V5,
        };
        if self.url.starts_with("mqtt://") || self.url.starts_with("mqtts://") {
            ensure!(
                !self.who.logs_in(),
                "--as logs in over HTTP: give that door by --url, and --via mqtt --mqtt HOST:PORT"
            );
            ensure!(self.mqtt.is_none(), "--url {} and --mqtt both give an MQTT door; leave --mqtt out", self.url);
            if let Some(door @ (Door::Http | Door::Websocket)) = self.via {
                bail!("--url {} is an MQTT door, --via says {door:?}; leave --via out", self.url);
            }
            return Ok(Chosen { via: Via::Mqtt(version), url: NODE.into(), mqtt: self.url.clone() });
        }
        let via = match self.via {
            None => usual,
            Some(Door::Http) => Via::Http,
            Some(Door::Websocket) => Via::WebSocket,
            Some(Door::Mqtt) => Via::Mqtt(version),
        };
        Ok(Chosen { via, url: self.url.clone(), mqtt: self.mqtt.clone().unwrap_or_else(|| MQTT.into()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        door: DoorArgs,
    }

    fn choose(flags: &[&str]) -> anyhow::Result<Chosen> {
        let line = Line::try_parse_from([&["drover"], flags].concat())?;
        line.door.choose(Via::Http)
    }

    fn chosen(via: Via, url: &str, mqtt: &str) -> Chosen {
        Chosen { via, url: url.into(), mqtt: mqtt.into() }
    }

    #[test]
    fn a_url_may_choose_the_door() {
        let v5 = Via::Mqtt(Version::V5);
        assert_eq!(choose(&[]).unwrap(), chosen(Via::Http, NODE, MQTT));
        assert_eq!(choose(&["--url", "mqtt://a:1"]).unwrap(), chosen(v5, NODE, "mqtt://a:1"));
        assert_eq!(choose(&["--url", "mqtts://a"]).unwrap(), chosen(v5, NODE, "mqtts://a"));
        let both = choose(&["--via", "mqtt", "--url", "http://a", "--mqtt", "b:1"]).unwrap();
        assert_eq!(both, chosen(v5, "http://a", "b:1"));
        let old = choose(&["--url", "mqtt://a", "--mqtt-version", "3.1.1"]).unwrap();
        assert_eq!(old.via, Via::Mqtt(Version::V3));
    }

    #[test]
    fn contradictions_are_not_guessed_at() {
        assert!(choose(&["--url", "mqtt://a", "--via", "http"]).is_err());
        assert!(choose(&["--url", "mqtt://a", "--mqtt", "b:1"]).is_err());
        assert!(choose(&["--mqtt-version", "4"]).is_err());
        assert!(choose(&["--url", "mqtt://a", "--as", "ada@example.com"]).is_err());
    }
}
