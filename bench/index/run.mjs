// Workload: the index of moving objects alone, in one thread: 156,000 objects around 45 cities, moves of about 100 m,
//   nearest ten within 5 km (example `index_rate`). Rates are per second of processor time.
// Peer: Redis GEOSEARCH on as many members, the ten nearest within 5 km of random members, per second of the server's
//   processor time; 50 connections, 16 commands in flight on each, which hides most of what its sockets cost. `nearby`
//   compares both over sockets.
// Budget: at least 5,000,000 moves/s and 300,000 searches/s.
// Latency: none here.

import { alternate, example, namedValues, seconds, values } from '../harness.mjs';
import { REDIS_PROGRAMS, redisNearest, startRedis } from '../peers.mjs';
import { output } from '../processes.mjs';

export const programs = [...REDIS_PROGRAMS, 'cargo'];
export const examples = ['index_rate'];

const RADIUS_M = 5000;

export default async function index(record) {
  const timeS = seconds(5);
  const redis = await startRedis('everysec');
  const { peer, ours } = await alternate(
    () => redisNearest(redis, RADIUS_M, { connections: 50, pipeline: 16, timeS }),
    async () => namedValues(await output(example('index_rate'), [], { timeoutS: 300 })),
  );
  const rate = (name, field, more) => record({ name, unit: '/s', runs: values(ours, field), ...more });
  rate('moves', 'moves_per_s', { budget: { min: 5_000_000 } });
  rate('nearest 10 within 5 km', 'nearest_10_within_5_km_per_s', {
    budget: { min: 300_000 },
    peer: { name: 'Redis GEOSEARCH 5 km, pipelined', runs: values(peer, (run) => 1e6 / run.cpuUs) },
  });
  rate('all within 1 km', 'within_1_km_per_s');
  rate('nearest 10 anywhere', 'nearest_10_unlimited_anywhere_per_s');
  record({ name: 'memory per object', unit: 'bytes', runs: values(ours, 'bytes_per_object_after_moves') });
}
