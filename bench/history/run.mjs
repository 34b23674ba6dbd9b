// Workload: a day of 1,736 drivers who report every 5 s for 8 h, 9,999,360 reports (example `past`): from a full log to
//   the lake, merged; then in process: routes of one driver's hour (720 rows), the map at a moment, and in SQL the
//   average speed by driver and hour of the whole day.
// Peer: DuckDB on the same rows, in a file of its own sorted like the lake; and on the lake in place.
// Budget: 400,000 rows/s log to lake; 12 bytes a row (ours has 17 columns, DuckDB's copy the 9 that people would keep);
//   route p50 1.3 ms, p99 5 ms; average 180 ms.
// Latency: of one read at a time on an idle machine, fully fetched. `DRIVERS=17360` measures 100 million rows (10 GB).

import { join } from 'node:path';
import { alternate, example, namedValues, number, repeat, values } from '../harness.mjs';
import { ROOT, output, temporaryFolder } from '../processes.mjs';

export const programs = ['cargo', 'python3'];
export const examples = ['past'];

const DRIVERS = number('DRIVERS', 1736);
const PATIENCE_S = 1800;

export default async function history(record) {
  const folder = temporaryFolder('history');
  const past = async (mode, ...more) =>
    namedValues(await output(example('past'), [mode, `folder=${folder}`, ...more], { timeoutS: PATIENCE_S }));
  const python = (await output(join(ROOT, 'scripts/test-python'), [], { timeoutS: PATIENCE_S })).trim();
  const script = join(ROOT, 'bench/history/peer.py');
  const duckdb = async (mode) =>
    namedValues(await output(python, [script, mode, join(folder, 'lake'), join(folder, 'own.duckdb')], { timeoutS: PATIENCE_S }));

  const loads = await repeat(() => past('load', `drivers=${DRIVERS}`));
  const copy = await duckdb('copy');
  const rows = `${Math.round(copy.rows / 1e6)} M rows`;
  const loaded = (name, unit, field, more) => record({ name: `${rows}: ${name}`, unit, runs: values(loads, field), ...more });
  loaded('log to lake', 'rows/s', 'log_to_lake_rows_per_s', { budget: { min: 400_000 } });
  loaded('log to lake, peak memory', 'MiB', 'log_to_lake_peak_mib');
  loaded('merging alone, peak memory', 'MiB', 'merge_peak_mib');
  loaded('on disk', 'bytes/row', 'bytes_per_row', {
    budget: { max: 12 },
    peer: { name: 'DuckDB file', runs: [copy.bytes_per_row] },
  });

  const { peer, ours } = await alternate(
    () => duckdb('reads'),
    () => past('reads'),
  );
  const read = (name, field, budget) => {
    record({
      name: `${rows}: ${name}`,
      unit: 'ms',
      runs: values(ours, field),
      budget: budget && { max: budget },
      peer: { name: 'DuckDB file', runs: values(peer, `file_${field}`) },
    });
  };
  const isDay = DRIVERS === 1736;
  read('route of an hour p50', 'route_p50_ms', isDay ? 1.3 : undefined);
  read('route of an hour p99', 'route_p99_ms', isDay ? 5 : 20);
  read('average by driver and hour p50', 'average_p50_ms', isDay ? 180 : undefined);
  record({ name: `${rows}: map at a moment p50`, unit: 'ms', runs: values(ours, 'map_p50_ms') });
  record({ name: `${rows}: DuckDB on the lake, average`, unit: 'ms', runs: values(peer, 'lake_average_p50_ms') });
  record({ name: `${rows}: DuckDB on the lake, route p50`, unit: 'ms', runs: values(peer, 'lake_route_p50_ms') });
}
