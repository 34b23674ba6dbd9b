// Workload: a node at rest; with 156,000 live assets; with 10,000 idle watchers; and its restart after kill -9, when it has
//   to read the assets' snapshot and ten minutes of log at 5,200 reports/s (3,120,000 reports) behind it.
// Peer: Redis' `used_memory` for the positions of the same assets alone. None for restart and watchers.
// Budget: idle 60 MB; the assets 60 MB more; 10,000 watchers 150 MB more; restart 2 s.
// Memory is resident memory (VmRSS) in MB of 10^6 bytes, some seconds after the load has ended. Restart counts from exec to
//   the `ready` line, with the files in the page cache as after a crash of the process alone; `cold` drops them first.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { SHORT, repeat, startNode, startSimulate, values, waitFor } from '../harness.mjs';
import { MEMBERS, loadNode, members, reportLine, sendReports } from '../fleet.mjs';
import { REDIS_PROGRAMS, loadRedis, startRedis } from '../peers.mjs';
import { delay, output, removeFolder, rssMb, temporaryFolder } from '../processes.mjs';

export const programs = [...REDIS_PROGRAMS, 'dd'];

const SETTLE_MS = 5000;
const REPORTS_PER_S = 5200;
const TAIL_S = SHORT ? 60 : 600;
const WATCHERS = SHORT ? 1000 : 10_000;
/** How much older than the tail the assets' first reports are: reports that go back in time would be late. */
const BEFORE_TAIL_MS = 60_000;

export default async function memory(record) {
  await assets(record);
  await watchers(record);
  await restart(record);
}

async function assets(record) {
  const runs = await repeat(async () => {
    const node = await startNode();
    await delay(SETTLE_MS);
    const idle = rssMb(node.pid);
    await loadNode(node);
    await delay(SETTLE_MS);
    const loaded = rssMb(node.pid) - idle;
    await node.stop();
    removeFolder(node.data);
    return { idle, loaded };
  });
  const redis = await redisMemory();
  record({ name: 'idle', unit: 'MB', runs: values(runs, 'idle'), budget: { max: 60 } });
  record({
    name: '156,000 live assets, above idle',
    unit: 'MB',
    runs: values(runs, 'loaded'),
    budget: { max: 60 },
    peer: { name: 'Redis, positions alone', runs: [redis] },
  });
}

async function redisMemory() {
  const redis = await startRedis('everysec', { loaded: false });
  const empty = await redis.info('memory', 'used_memory');
  await loadRedis(redis);
  const full = await redis.info('memory', 'used_memory');
  await redis.stop();
  return (full - empty) / 1e6;
}

async function watchers(record) {
  const runs = await repeat(async () => {
    const node = await startNode();
    await delay(SETTLE_MS);
    const idle = rssMb(node.pid);
    // The load ends with the bench at the latest; it is ended as soon as the node was looked at.
    const crowd = await startSimulate(node, ['--drivers', 1, '--interval', 60, '--watchers', WATCHERS, '--duration', 120]);
    const connected = async () => (await node.metric('drover_watchers')) >= WATCHERS;
    await waitFor(`${WATCHERS} watchers (open files: ulimit -Hn)`, 90, connected);
    await delay(SETTLE_MS);
    const watched = rssMb(node.pid) - idle;
    if (!(await connected())) throw new Error(`watchers went away: ${crowd.stderr}`);
    await crowd.stop('SIGKILL');
    await node.stop('SIGKILL');
    removeFolder(node.data);
    return watched;
  });
  const name = `${WATCHERS.toLocaleString('en-US')} idle watchers, above idle`;
  record({ name, unit: 'MB', runs, budget: { max: 150 } });
}

async function restart(record) {
  const data = temporaryFolder('restart');
  const position = await writeTail(data);
  const start = async () => {
    const newest = readdirSync(join(data, 'live')).filter((file) => file.endsWith('.live')).sort().pop();
    if (Number.parseInt(newest, 10) !== MEMBERS) throw new Error(`a snapshot came in between (${newest}): no tail is left to read`);
    const node = await startNode({ data, settings: NO_SNAPSHOTS });
    const { startS } = node;
    const state = await node.json('/api/v1/checksum');
    if (state.position !== position || state.assets !== MEMBERS) throw new Error(`not all came back: ${JSON.stringify(state)}`);
    const resident = rssMb(node.pid);
    await node.stop('SIGKILL');
    return { startS, resident };
  };
  const warm = await repeat(start);
  const cold = await repeat(async () => {
    await dropFromCache(data);
    return start();
  });
  const what = `restart with 156,000 assets and ${TAIL_S} s of log`;
  record({ name: what, unit: 's', runs: values(warm, 'startS'), budget: { max: 2 } });
  record({ name: `${what}, cold`, unit: 's', runs: values(cold, 'startS') });
  record({ name: 'resident after that restart', unit: 'MB', runs: values(warm, 'resident') });
}

const NO_SNAPSHOTS = { DROVER_SNAPSHOT_INTERVAL_S: '86400' };

/** A folder as a killed node leaves it: a snapshot of all assets, and a log that goes on behind it. */
async function writeTail(data) {
  const tailMs = Date.now() - TAIL_S * 1000;
  const first = await startNode({ data });
  await loadNode(first, tailMs - BEFORE_TAIL_MS);
  await first.stop(); // Writes the snapshot.
  const second = await startNode({ data, settings: NO_SNAPSHOTS });
  const position = await sendReports(second, TAIL_S * REPORTS_PER_S, (at) => {
    const { id, lat, lon } = members()[at % MEMBERS];
    const moved = 1e-4 * Math.floor(at / MEMBERS + 1);
    return reportLine({ id, lat: lat + moved, lon: lon + moved }, tailMs + Math.floor((at * 1000) / REPORTS_PER_S));
  });
  await second.stop('SIGKILL');
  return position;
}

/** Asks the kernel to forget the cached pages of these files only. */
async function dropFromCache(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  for (const file of files) await output('dd', [`if=${join(file.parentPath ?? file.path, file.name)}`, 'iflag=nocache', 'count=0', 'status=none']);
}
