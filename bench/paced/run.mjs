// Workload: 5,200 drivers report once a second each, over 1,000 WebSockets, for 60 s; 50 watchers see everything.
// Peer: none of this shape.
// Budget: acknowledgement p99 below 10 ms (we would like 3), device to watcher p99 below 50 ms (we would like 10).
// Latency: from the moment at which a report was due, not from when the sender got round to it, to its acknowledgement
//   or its arrival at each watcher. `own lag` is the load generator's share: due until handed to the socket.

import { repeat, seconds, simulate, startNode, values } from '../harness.mjs';

const DRIVERS = 5200;
const LOAD = ['--via', 'websocket', '--drivers', DRIVERS, '--interval', 1, '--connections', 1000, '--watchers', 50];

export default async function paced(record) {
  const timeS = seconds(60);
  const runs = await repeat(async () => {
    const node = await startNode();
    const run = await simulate(node, LOAD, timeS);
    await node.stop();
    if (run.watch.errors > 0) throw new Error(`watchers lost their connections ${run.watch.errors} times`);
    return run;
  });
  const latency = (name, pick, more) => record({ name, unit: 'ms', runs: values(runs, pick), ...more });
  record({
    name: 'sent of what was due',
    unit: '%',
    runs: values(runs, (run) => (100 * run.acknowledged) / (run.sent + run.unsent)),
    budget: { min: 99.9 },
  });
  latency('ack p50', (run) => run.latency.p50_ms);
  latency('ack p99', (run) => run.latency.p99_ms, { budget: { max: 10 }, reach: 3 });
  latency('ack p99.9', (run) => run.latency.p999_ms);
  latency('own lag p99', (run) => run.lag.p99_ms);
  latency('device to watcher p50', (run) => run.watch.latency.p50_ms);
  latency('device to watcher p99', (run) => run.watch.latency.p99_ms, { budget: { max: 50 }, reach: 10 });
  record({
    name: 'updates seen by watchers',
    unit: 'updates/s',
    runs: values(runs, (run) => run.watch.updates / run.seconds),
  });
  record({ name: 'server CPU per report', unit: 'us', runs: values(runs, 'cpuUs') });
}
