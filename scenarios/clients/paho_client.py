"""What a device with the Eclipse Paho client sees. One JSON object on standard output.

    paho_client.py publish HOST:PORT VERSION QOS TOPIC PAYLOAD
    paho_client.py receive HOST:PORT VERSION QOS FILTER CLIENT_ID SESSION_S READY_FILE COUNT
"""

import json
import pathlib
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE_S = 20
VERSIONS = {"3": mqtt.MQTTv311, "5": mqtt.MQTTv5}


def client(version, client_id=""):
    return mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=VERSIONS[version])


def connect(device, address, **options):
    host, port = address.rsplit(":", 1)
    device.connect(host, int(port), **options)


def publish(address, version, qos, topic, payload):
    """Publishes once and says whether it was acknowledged, with what, or whether the broker hung up."""
    seen = {}
    device = client(version)

    def on_connect(device, _data, _flags, reason, _properties):
        seen["connected"] = str(reason)
        device.publish(topic, payload, int(qos))

    def on_publish(_device, _data, _mid, reason, properties):
        seen["acknowledged"] = reason.value
        seen["reason"] = str(reason)
        seen["text"] = getattr(properties, "ReasonString", None)

    def on_disconnect(_device, _data, _flags, reason, _properties):
        seen.setdefault("hung_up", str(reason))

    device.on_connect, device.on_publish, device.on_disconnect = on_connect, on_publish, on_disconnect
    connect(device, address)
    deadline = time.monotonic() + PATIENCE_S
    while "acknowledged" not in seen and "hung_up" not in seen and time.monotonic() < deadline:
        device.loop(0.05)
    return seen


def receive(address, version, qos, topics, client_id, session_s, ready_file, count):
    """Subscribes, writes READY_FILE, and gives the first COUNT messages."""
    messages = []
    device = client(version, client_id)
    done = {}

    def on_connect(device, _data, flags, _reason, _properties):
        done["session_present"] = bool(flags.session_present)
        device.subscribe(topics, int(qos))

    def on_subscribe(_device, _data, _mid, reasons, _properties):
        done["granted"] = [reason.value for reason in reasons]
        pathlib.Path(ready_file).write_text("ready")

    def on_message(_device, _data, message):
        messages.append(
            {
                "topic": message.topic,
                "payload": message.payload.decode(),
                "qos": message.qos,
                "retained": bool(message.retain),
            }
        )

    device.on_connect, device.on_subscribe, device.on_message = on_connect, on_subscribe, on_message
    if version == "5":
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = int(session_s)
        connect(device, address, clean_start=int(session_s) == 0, properties=properties)
    else:
        device._clean_session = int(session_s) == 0
        connect(device, address)
    deadline = time.monotonic() + PATIENCE_S
    while (len(messages) < int(count) or "granted" not in done) and time.monotonic() < deadline:
        device.loop(0.05)
    device.disconnect()
    device.loop(0.05)
    return {"messages": messages, **done}


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    print(json.dumps({"publish": publish, "receive": receive}[command](*arguments)))
