// Workload: single reports over MQTT 5, QoS 1. Closed loop, 100 connections with 20 publishes in flight and 100 with one,
//   each acknowledged after fdatasync; then 5,200 reports/s from 1,000 connections for 60 s with 50 watchers; then 10,000
//   connected devices.
// Peer: Mosquitto with the same publishes from the same client, no subscriber, nothing written to disk.
// Budget: 80,000 durable publishes/s; ack p99 10 ms and device to watcher p99 50 ms at 5,200/s; 400 MB with 10,000 devices.
// Latency: as in `acks` and `paced`.

import { alternate, repeat, seconds, simulate, startNode, values } from '../harness.mjs';
import { MOSQUITTO_PROGRAMS, startMosquitto } from '../peers.mjs';
import { delay, rssMb } from '../processes.mjs';

export const programs = MOSQUITTO_PROGRAMS;

const PACED = ['--drivers', 5200, '--interval', 1, '--connections', 1000, '--watchers', 50];
const DEVICES = 10_000;

export default async function mqtt(record) {
  await closed(record);
  await paced(record);
  await devices(record);
}

const over = (node, options) => ['--via', 'mqtt', '--mqtt', node.mqtt, ...options];

async function closed(record) {
  const timeS = seconds(5);
  const mosquitto = await startMosquitto();
  const node = await startNode();
  for (const inFlight of [20, 1]) {
    const options = ['--closed-loop', '--drivers', 10_000, '--connections', 100, '--in-flight', inFlight];
    const { peer, ours } = await alternate(
      () => simulate({ ...mosquitto, url: node.url }, over(mosquitto, options), timeS),
      () => simulate(node, over(node, options), timeS),
    );
    const named = (what) => `${what}, 100 connections, ${inFlight} in flight`;
    const figure = (what, unit, pick, budget) =>
      record({
        name: named(what),
        unit,
        runs: values(ours, pick),
        budget,
        peer: { name: 'Mosquitto, nothing durable', runs: values(peer, pick) },
      });
    figure('acknowledged', 'reports/s', 'rate_per_s', inFlight === 20 ? { min: 80_000 } : undefined);
    figure('ack p99', 'ms', (run) => run.latency.p99_ms);
    figure('server CPU per report', 'us', 'cpuUs');
  }
  await node.stop();
  await mosquitto.stop();
}

async function paced(record) {
  const timeS = seconds(60);
  const runs = await repeat(async () => {
    const node = await startNode();
    const run = await simulate(node, over(node, PACED), timeS);
    await node.stop();
    if (run.watch.errors > 0) throw new Error(`watchers lost their connections ${run.watch.errors} times`);
    return run;
  });
  const latency = (name, pick, max) => record({ name, unit: 'ms', runs: values(runs, pick), budget: max && { max } });
  latency('5,200/s: ack p50', (run) => run.latency.p50_ms);
  latency('5,200/s: ack p99', (run) => run.latency.p99_ms, 10);
  latency('5,200/s: device to watcher p99', (run) => run.watch.latency.p99_ms, 50);
}

/** Memory while 10,000 devices are connected and report once in ten seconds each. */
async function devices(record) {
  const node = await startNode();
  const timeS = Math.max(seconds(20), 10);
  const load = simulate(node, over(node, ['--drivers', DEVICES, '--interval', 10, '--connections', DEVICES]), timeS);
  await delay(timeS * 1000 * 0.9);
  const connected = await node.metric('drover_mqtt_connections');
  const mb = rssMb(node.pid);
  await load;
  if (connected < DEVICES) throw new Error(`only ${connected} devices were connected`);
  record({ name: 'memory with 10,000 connected devices', unit: 'MB', runs: [mb], budget: { max: 400 } });
  await node.stop();
}
