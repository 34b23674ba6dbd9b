// Workload: single reports over WebSocket in a closed loop, 50 and 1,000 connections, each acknowledged after fdatasync;
//   156,000 assets are known beforehand.
// Peer: Redis GEOADD of random members, appendfsync always, as many connections, no pipelining, 156,000 members.
// Budget: at 50 connections at least twice as many as Redis. 1,000 connections are reported.
// Latency: from the moment at which a connection sends to its acknowledgement; in a closed loop mostly waiting in line.

import { alternate, seconds, simulate, startNode, values } from '../harness.mjs';
import { loadNode } from '../fleet.mjs';
import { REDIS_PROGRAMS, redisMoves, startRedis } from '../peers.mjs';

export const programs = REDIS_PROGRAMS;

export default async function acks(record) {
  const timeS = seconds(5);
  const redis = await startRedis('always');
  const node = await startNode();
  await loadNode(node);
  for (const connections of [50, 1000]) {
    const options = ['--via', 'websocket', '--closed-loop', '--drivers', 10_000, '--connections', connections];
    const { peer, ours } = await alternate(
      () => redisMoves(redis, { connections, timeS }),
      () => simulate(node, options, timeS),
    );
    record({
      name: `acknowledged, ${connections} connections`,
      unit: 'reports/s',
      runs: values(ours, 'rate_per_s'),
      budget: connections === 50 ? { ratio: 2 } : undefined,
      peer: { name: 'Redis GEOADD always', runs: values(peer, 'rate') },
    });
    record({
      name: `ack p99, ${connections} connections`,
      unit: 'ms',
      runs: values(ours, (run) => run.latency.p99_ms),
      peer: { name: 'Redis GEOADD always', runs: values(peer, 'p99Ms') },
    });
    record({
      name: `server CPU per report, ${connections} connections`,
      unit: 'us',
      runs: values(ours, 'cpuUs'),
      peer: { name: 'Redis GEOADD always', runs: values(peer, 'cpuUs') },
    });
  }
}
