// Workload: GET /api/v1/drivers/nearby with limit 10 around random members of 156,000 (wrk, two threads, 50
//   connections), radius 1 km and 5 km. And in one process, while 5,200 reports/s are applied: one asset by id, and
//   the ten nearest within 5 km (example `read_latency`).
// Peer: Redis GEOSEARCH COUNT 10 ASC around random members of the same data, 50 connections, no pipelining. Redis
//   answers with names only, Drover with whole assets.
// Budget: at least 60,000 answers/s at 1 km; in process p99 below 50 us.
// Latency: over HTTP from request to answer as wrk sees it, in a closed loop mostly waiting in line. In process from the
//   call to the answer, waiting for the state's lock included; reads are made every 100 us.

import { alternate, example, namedValues, repeat, seconds, startNode, values } from '../harness.mjs';
import { MEMBERS, loadNode, members, random } from '../fleet.mjs';
import { REDIS_PROGRAMS, redisNearest, startRedis, wrk } from '../peers.mjs';
import { output } from '../processes.mjs';

export const programs = [...REDIS_PROGRAMS, 'wrk', 'cargo'];
export const examples = ['read_latency'];

const REQUESTS = 20_000;
const CONNECTIONS = 50;
/** Searches that are compared with Redis before anything is measured. */
const COMPARED = 200;
/** Both round positions and take the earth for a slightly different sphere. */
const TOLERANCE = 0.01;

export default async function nearby(record) {
  const timeS = seconds(5);
  const redis = await startRedis('everysec');
  const node = await startNode();
  await loadNode(node);
  for (const radiusM of [1000, 5000]) {
    const places = randomMembers();
    await compareAnswers(redis, node, radiusM, places.slice(0, COMPARED));
    const requests = places.map((place) => `GET ${path(place, radiusM)}`);
    const { peer, ours } = await alternate(
      () => redisNearest(redis, radiusM, { connections: CONNECTIONS, timeS }),
      () => wrk(node, requests, { connections: CONNECTIONS, timeS }),
    );
    for (const [name, unit, field, budget] of [
      ['nearest 10', 'answers/s', 'rate', radiusM === 1000 ? { min: 60_000 } : undefined],
      ['p99', 'ms', 'p99Ms', undefined],
      ['server CPU per answer', 'us', 'cpuUs', undefined],
    ]) {
      const redisRuns = { name: 'Redis GEOSEARCH', runs: values(peer, field) };
      record({ name: `${name}, ${radiusM / 1000} km`, unit, runs: values(ours, field), budget, peer: redisRuns });
    }
  }
  await Promise.all([node.stop(), redis.stop()]);
  await inProcess(record, timeS);
}

async function inProcess(record, timeS) {
  const runs = await repeat(async () =>
    namedValues(await output(example('read_latency'), [String(timeS)], { timeoutS: 4 * timeS + 60 })),
  );
  for (const [label, field] of [['one asset by id', 'get'], ['nearest 10, 5 km', 'nearest']]) {
    const latency = (part, name, budget) =>
      record({ name: `in process, ${label}, ${name}`, unit: 'us', runs: values(runs, `${field}_${part}_us`), budget });
    latency('p50', 'p50');
    latency('p99', 'p99', { max: 50 });
    latency('p999', 'p99.9');
    latency('from_due_p99', 'p99 with scheduling');
  }
}

function randomMembers() {
  const unit = random(7);
  return Array.from({ length: REQUESTS }, () => members()[Math.floor(unit() * MEMBERS)]);
}

const path = ({ lat, lon }, radiusM) =>
  `/api/v1/drivers/nearby?lat=${lat.toFixed(6)}&lng=${lon.toFixed(6)}&radius=${radiusM}&limit=10`;

/** The two must do the same work: they have to find as many. */
async function compareAnswers(redis, node, radiusM, places) {
  const searches = places.map(
    ({ lat, lon }) => `GEOSEARCH drivers:geo FROMLONLAT ${lon.toFixed(6)} ${lat.toFixed(6)} BYRADIUS ${radiusM} m ASC COUNT 10\n`,
  );
  const theirs = (await redis.cli([], searches.join(''))).match(/^d\d+$/gm)?.length ?? 0;
  let ours = 0;
  for (const place of places) ours += (await node.get(path(place, radiusM))).match(/"id":"d\d+"/g)?.length ?? 0;
  if (theirs === 0 || Math.abs(ours / theirs - 1) > TOLERANCE) {
    throw new Error(`${COMPARED} searches of ${radiusM} m found ${ours} assets, Redis found ${theirs}`);
  }
}
