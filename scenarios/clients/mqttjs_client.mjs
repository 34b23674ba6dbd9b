// What a web application with MQTT.js sees: watches live changes, reports as a device, and gives what it saw
// as one JSON object.
//
//     node mqttjs_client.mjs HOST:PORT VERSION ID COUNT
import mqtt from "mqtt";

const PATIENCE_MS = 20_000;
const [address, version, id, count] = process.argv.slice(2);
const url = `mqtt://${address}`;
const device = await mqtt.connectAsync(url, { protocolVersion: Number(version) });
const watcher = await mqtt.connectAsync(url, { protocolVersion: Number(version) });
const seen = [];
const enough = new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error(`${seen.length} of ${count} changes came`)), PATIENCE_MS).unref();
  watcher.on("message", (topic, payload) => {
    seen.push({ topic, ...JSON.parse(payload.toString()) });
    const latitudes = new Set(seen.map((change) => change.latitude));
    if (latitudes.size >= Number(count)) resolve();
  });
});
const granted = await watcher.subscribeAsync(`live/vehicle/${id}`, { qos: 1 });
const sent = [];
for (let n = 0; n < Number(count); n++) {
  const before = new Set(seen.map((change) => change.latitude)).size;
  const packet = await device.publishAsync(
    `vehicles/${id}/location`,
    JSON.stringify({ latitude: 41 + n / 100, longitude: -8.6 }),
    { qos: 1 },
  );
  sent.push(packet?.cmd ?? "acknowledged");
  // Changes of one asset are coalesced, so the next report waits until this one was seen.
  while (new Set(seen.map((change) => change.latitude)).size === before) await new Promise((r) => setTimeout(r, 5));
}
await enough;
await Promise.all([device.endAsync(), watcher.endAsync()]);
console.log(JSON.stringify({ granted, sent, seen }));
