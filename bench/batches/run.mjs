// Workload: 1,000 reports per WebSocket frame or HTTP request in a closed loop, 4 connections, 10,000 drivers; a frame is
//   acknowledged after fdatasync.
// Peer: Redis GEOADD with appendfsync always, 4 connections, 1,000 commands in flight on each.
// Budget: at least 400,000 durable reports/s through either door.
// Latency: from sending the frame to its acknowledgement, for the whole batch.

import { alternate, seconds, simulate, startNode, values } from '../harness.mjs';
import { REDIS_PROGRAMS, redisMoves, startRedis } from '../peers.mjs';

export const programs = REDIS_PROGRAMS;

const BATCH = 1000;
const CONNECTIONS = 4;

export default async function batches(record) {
  const timeS = seconds(5);
  const redis = await startRedis('always');
  for (const door of ['websocket', 'http']) {
    const node = await startNode();
    const options = ['--via', door, '--closed-loop', '--drivers', 10_000, '--connections', CONNECTIONS, '--batch', BATCH];
    const { peer, ours } = await alternate(
      () => redisMoves(redis, { connections: CONNECTIONS, pipeline: BATCH, timeS }),
      () => simulate(node, options, timeS),
    );
    await node.stop();
    for (const [name, unit, pick, field, budget] of [
      ['acknowledged', 'reports/s', 'rate_per_s', 'rate', { min: 400_000 }],
      ['batch p99', 'ms', (run) => run.latency.p99_ms, 'p99Ms', undefined],
      ['server CPU per report', 'us', 'cpuUs', 'cpuUs', undefined],
    ]) {
      const redisRuns = { name: 'Redis GEOADD always, pipelined', runs: values(peer, field) };
      record({ name: `${name}, ${door}`, unit, runs: values(ours, pick), budget, peer: redisRuns });
    }
  }
}
