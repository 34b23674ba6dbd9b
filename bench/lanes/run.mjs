// Workload: first moving drivers only, 8 connections, 1,000 reports a request in a closed loop: what the node sustains.
//   Then moving and idle drivers, 400 connections each, that send again at once whatever the answer is: far more than it
//   can take. Beside the load one moving driver reports each 20 ms and is asked for as soon as it is acknowledged.
// Peer: none; the first run is what the second is compared with.
// Budget: a moving report is live within 100 ms of being durable, 99 of 100 times; idle reports keep a fifth.
// Latency: log to live from the acknowledgement to the answer that shows the report, an HTTP request included; what that
//   request alone takes is measured beside it. Ack from sending to acknowledgement.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CITIES, cityPoint, random } from '../fleet.mjs';
import { repeat, seconds, startNode, values } from '../harness.mjs';
import { ROOT, delay, output, temporaryFolder } from '../processes.mjs';

export const programs = ['wrk'];

const BATCH = 1000;
const PROBE_MS = 20;

export default async function lanes(record) {
  const timeS = seconds(10);
  const runs = await repeat(async () => {
    const node = await startNode();
    const alone = await load(node, [['active', 8]], timeS);
    const before = await counts(node);
    const probing = probe(node, timeS);
    const both = await load(node, [['active', 400], ['idle', 400]], timeS);
    const probed = await probing;
    const after = await counts(node);
    await node.stop();
    const taken = (status) => (after[status] ?? 0) - (before[status] ?? 0);
    const rate = (taken('active') + taken('idle')) / timeS;
    return {
      alone: alone.answered202 / timeS,
      offered: both.offered / timeS,
      rate,
      idleShare: (100 * taken('idle')) / (taken('active') + taken('idle')),
      ...probed,
    };
  });
  record({ name: 'sustained, moving only', unit: 'reports/s', runs: values(runs, 'alone') });
  record({ name: 'offered, both lanes', unit: 'reports/s', runs: values(runs, 'offered') });
  record({ name: 'acknowledged of these', unit: 'reports/s', runs: values(runs, 'rate') });
  record({ name: 'idle share of these', unit: '%', runs: values(runs, 'idleShare'), budget: { min: 20 } });
  record({ name: 'log to live p99, moving', unit: 'ms', runs: values(runs, 'liveP99'), budget: { max: 100 } });
  record({ name: 'the same request when nothing is to be waited for, p99', unit: 'ms', runs: values(runs, 'plainP99') });
  record({ name: 'ack p99, moving', unit: 'ms', runs: values(runs, 'ackP99') });
  record({ name: 'probes turned away', unit: '%', runs: values(runs, 'turnedAway') });
}

/** wrk for each status, all at once. Refusals are answers here. */
async function load(node, groups, timeS) {
  const results = await Promise.all(
    groups.map(async ([status, connections]) => {
      const file = join(temporaryFolder('wrk'), 'requests');
      writeFileSync(file, requests(status).join('\n'));
      const args = ['-t2', `-c${connections}`, `-d${timeS}s`, '--timeout', '10s', '-s', join(ROOT, 'bench/wrk.lua'), node.url];
      const text = await output('wrk', args, { env: { BENCH_REQUESTS: file }, timeoutS: timeS + 60 });
      const run = JSON.parse(text.match(/^RESULT (.*)$/m)[1]);
      return { offered: run.requests * BATCH, answered202: (run.requests - run.errors) * BATCH };
    }),
  );
  return results.reduce((sum, one) => ({ offered: sum.offered + one.offered, answered202: sum.answered202 + one.answered202 }));
}

/** Reports without a time are always new. */
function requests(status) {
  const unit = random();
  const body = (first) =>
    JSON.stringify(
      Array.from({ length: BATCH }, (_, at) => {
        const { lat, lon } = cityPoint((first + at) % CITIES, unit);
        return { kind: 'driver', id: `${status}-${first + at}`, latitude: +lat.toFixed(6), longitude: +lon.toFixed(6), speed: 32.5, heading: 181.5, status };
      }),
    );
  return Array.from({ length: 10 }, (_, at) => `POST /api/v1/reports ${body(at * BATCH)}`);
}

/** One moving driver that looks for itself. */
async function probe(node, timeS) {
  const [acks, lives, plain] = [[], [], []];
  let turnedAway = 0;
  const end = performance.now() + timeS * 1000;
  const one = async (number) => {
    const sent = performance.now();
    const body = JSON.stringify({ latitude: 41 + (number % 100) * 1e-5, longitude: -8.6, status: 'active' });
    const answer = await fetch(`${node.url}/api/v1/drivers/probe/location`, { method: 'POST', body });
    if (answer.status !== 202) {
      await answer.text();
      turnedAway += 1;
      return;
    }
    const { position } = await answer.json();
    const acked = performance.now();
    await (await fetch(`${node.url}/api/v1/drivers/probe/location?at_least=${position}`)).text();
    acks.push(acked - sent);
    const shown = performance.now();
    lives.push(shown - acked);
    await (await fetch(`${node.url}/api/v1/drivers/probe/location`)).text();
    plain.push(performance.now() - shown);
  };
  const all = [];
  for (let number = 0; performance.now() < end; number += 1) {
    all.push(one(number));
    await delay(PROBE_MS);
  }
  await Promise.all(all);
  const p99 = (list) => list.sort((a, b) => a - b)[Math.floor(list.length * 0.99)];
  return { ackP99: p99(acks), liveP99: p99(lives), plainP99: p99(plain), turnedAway: (100 * turnedAway) / all.length };
}

/** Reports by status, when history has all of them. */
async function counts(node) {
  const { rows } = await node.post('/api/v1/sql', JSON.stringify({ sql: 'SELECT status, count(*) FROM reports GROUP BY status' }));
  return Object.fromEntries(rows);
}
