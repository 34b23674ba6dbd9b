// Workload: single reports by HTTP POST in a closed loop (wrk, two threads), 10,000 drivers without timestamps, 64 and
//   1,000 connections, each acknowledged after fdatasync.
// Peer: an axum handler that reads the body and answers 202, with the same requests: what HTTP alone costs here.
// Budget: at least 70 % of the empty handler's requests.
// Latency: from request to answer as wrk sees it; in a closed loop mostly waiting in line.

import { alternate, example, seconds, startNode, values } from '../harness.mjs';
import { CITIES, cityPoint, memberId, random } from '../fleet.mjs';
import { wrk } from '../peers.mjs';
import { start } from '../processes.mjs';

export const programs = ['wrk', 'cargo'];
export const examples = ['empty_handler'];

const DRIVERS = 10_000;
const PLACES_EACH = 4;

export default async function http(record) {
  const timeS = seconds(5);
  const empty = await start(example('empty_handler'), [], { ready: /^ready http=(\S+)/m });
  empty.url = `http://${empty.match[1]}`;
  const node = await startNode();
  const requests = reports();
  for (const connections of [64, 1000]) {
    const { peer, ours } = await alternate(
      () => wrk(empty, requests, { connections, timeS }),
      () => wrk(node, requests, { connections, timeS }),
    );
    for (const [name, unit, field, budget] of [
      ['acknowledged', 'requests/s', 'rate', { ratio: 0.7 }],
      ['p99', 'ms', 'p99Ms', undefined],
      ['server CPU per request', 'us', 'cpuUs', undefined],
    ]) {
      record({
        name: `${name}, ${connections} connections`,
        unit,
        runs: values(ours, field),
        budget,
        peer: { name: 'empty handler', runs: values(peer, field) },
      });
    }
  }
}

/** Every driver from several places, so that the index has to move it. */
function reports() {
  const unit = random();
  return Array.from({ length: DRIVERS * PLACES_EACH }, (_, at) => {
    const driver = at % DRIVERS;
    const { lat, lon } = cityPoint(driver % CITIES, unit);
    const place = `"latitude":${lat.toFixed(6)},"longitude":${lon.toFixed(6)}`;
    return `POST /api/v1/drivers/${memberId(driver)}/location {${place},"speed":32.5,"heading":181.5,"accuracy":5,"battery_pct":71,"status":"active"}`;
  });
}
