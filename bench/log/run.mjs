// Workload: the log alone, records of 110 bytes: in bulk from 1, 2 and 4 producers, and one by one from tasks that wait
//   for each commit (example `log_rate`).
// Peer: no program but the disk: the same bytes per commit, written over a file that exists and synced with fdatasync.
// Budget: at least 1,500,000 durable records/s in bulk.
// Latency: of a commit: write and fdatasync of everything that waited.

import { closeSync, fdatasyncSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { alternate, example, seconds, values } from '../harness.mjs';
import { output, removeFolder, temporaryFolder } from '../processes.mjs';

export const programs = ['cargo'];
export const examples = ['log_rate'];

const RECORD_BYTES = 110;
const RAW_FILE_BYTES = 256 << 20;
const LINE = /^(.+?) +(\d+) records\/s +(\d+) commits of (\d+) records; commit ms p50 ([\d.]+) p99 ([\d.]+)/gm;
const SINGLE = ['1 tasks, one record each', '50 tasks, one record each', '1000 tasks, one record each', '50 threads, one record each'];

export default async function log(record) {
  const timeS = seconds(3);
  // A first look says how large the log's commits are, so that the disk gets as much at a time.
  const commitBytes = Math.round((await logRate(1)).bulk.records) * RECORD_BYTES;
  const { peer, ours } = await alternate(
    async () => raw(commitBytes, timeS),
    () => logRate(timeS),
  );
  record({
    name: 'records in bulk, best of 1, 2, 4 producers',
    unit: 'records/s',
    runs: values(ours, (run) => run.bulk.rate),
    budget: { min: 1_500_000 },
    peer: { name: 'write and fdatasync alone', runs: values(peer, 'rate') },
    detail: { records_per_commit: ours.at(-1).bulk.records, raw_bytes_per_sync: commitBytes },
  });
  record({
    name: 'commit p99 in bulk',
    unit: 'ms',
    runs: values(ours, (run) => run.bulk.p99Ms),
    peer: { name: 'write and fdatasync alone', runs: values(peer, 'p99Ms') },
  });
  for (const name of SINGLE) record({ name, unit: 'records/s', runs: values(ours, (run) => run.byName.get(name)?.rate) });
  record({ name: 'commit p50, one task', unit: 'ms', runs: values(ours, (run) => run.byName.get(SINGLE[0])?.p50Ms) });
}

async function logRate(timeS) {
  const folder = temporaryFolder('log');
  const text = await output(example('log_rate'), [join(folder, 'log'), String(timeS)], { timeoutS: 10 * timeS + 60 });
  removeFolder(folder);
  const byName = new Map();
  for (const [, name, rate, , records, p50, p99] of text.matchAll(LINE)) {
    byName.set(name, { rate: Number(rate), records: Number(records), p50Ms: Number(p50), p99Ms: Number(p99) });
  }
  const bulk = [...byName].filter(([name]) => name.includes('in bulk')).map(([, line]) => line);
  if (bulk.length === 0) throw new Error(`log_rate said: ${text}`);
  return { byName, bulk: bulk.reduce((best, line) => (line.rate > best.rate ? line : best)) };
}

/** What the disk gives: `bytes` at a time over a file that is already written, each followed by fdatasync. */
function raw(bytes, timeS) {
  const folder = temporaryFolder('raw');
  const file = openSync(join(folder, 'raw'), 'w');
  const filling = Buffer.alloc(1 << 20, 7);
  for (let at = 0; at < RAW_FILE_BYTES; at += filling.length) writeSync(file, filling, 0, filling.length, at);
  fsyncSync(file);
  const chunk = Buffer.alloc(bytes, 8);
  const slots = Math.max(1, Math.floor(RAW_FILE_BYTES / bytes));
  const times = [];
  const begin = performance.now();
  for (let now = begin; now - begin < timeS * 1000; ) {
    writeSync(file, chunk, 0, bytes, (times.length % slots) * bytes);
    fdatasyncSync(file);
    const after = performance.now();
    times.push(after - now);
    now = after;
  }
  const rate = (times.length * bytes) / RECORD_BYTES / ((performance.now() - begin) / 1000);
  closeSync(file);
  removeFolder(folder);
  times.sort((a, b) => a - b);
  return { rate, p99Ms: times[Math.floor((times.length - 1) * 0.99)] };
}
