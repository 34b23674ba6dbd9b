// Workload: a CSV of a delivery fleet's day, 10 million rows of 50,000 vehicles in the order of time (example
//   `fleet_file`): vehicle_id, timestamp, latitude, longitude, speed_kmh, heading, engine_status; about 70 bytes a row.
//   `drover import` into a running, empty node, until SQL counts every row; and reading and checking alone, on one
//   thread (example `read_rate`).
// Peers: DuckDB from the same CSV to Parquet sorted by vehicle and time (no checks, no duplicates, nothing synced);
//   PostgreSQL COPY of the same rows on 4 connections into a table with the key (vehicle, time), synced.
// Budget: 1,000,000 rows/s and core to read and check; 500,000 rows/s to durable and queryable; 256 MiB.
// `ROWS=100000000` imports 100 million rows (7 GB of CSV, 30 GB of disk meanwhile).

import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { example, number, repeat, startNode, values } from '../harness.mjs';
import { BUILT, ROOT, output, removeFolder, temporaryFolder } from '../processes.mjs';

export const programs = ['cargo', 'python3', 'postgres', 'psql', 'split'];
export const examples = ['fleet_file', 'read_rate'];

const ROWS = number('ROWS', 10_000_000);
const PATIENCE_S = 3600;

export default async function imports(record) {
  const folder = temporaryFolder('imports');
  const file = join(folder, 'fleet.csv');
  await output(example('fleet_file'), [`rows=${ROWS}`, 'vehicles=50000', `out=${file}`], { timeoutS: PATIENCE_S });
  const python = (await output(join(ROOT, 'scripts/test-python'), [], { timeoutS: PATIENCE_S })).trim();
  const rows = `${Math.round(ROWS / 1e6)} M rows`;

  const checked = await repeat(() => readAndCheck(file));
  record({ name: `${rows}: read and check, one thread`, unit: 'rows/s', runs: checked, budget: { min: 1_000_000 } });

  const ours = await repeat(() => ourImport(file));
  const duckdb = await repeat(() => toParquet(python, file, join(folder, 'fleet.parquet')));
  const postgres = [await intoPostgres(folder, file)];
  const rate = { name: `${rows}: file to durable and queryable`, unit: 'rows/s', runs: values(ours, 'rate') };
  record({ ...rate, budget: { min: 500_000 }, peer: { name: 'PostgreSQL COPY, 4 connections', runs: postgres } });
  record({ ...rate, name: `${rows}: the same`, peer: { name: 'DuckDB, CSV to sorted Parquet', runs: duckdb } });
  record({ name: `${rows}: peak memory`, unit: 'MiB', runs: values(ours, 'peakMib'), budget: { max: 256 } });
  record({ name: `${rows}: the same file again, all duplicates`, unit: 'rows/s', runs: values(ours, 'againRate') });
}

async function readAndCheck(file) {
  const said = await output(example('read_rate'), [file], { timeoutS: PATIENCE_S });
  return Number(/(\d+) rows\/s/.exec(said)[1]);
}

async function ourImport(file) {
  const node = await startNode();
  const started = Date.now();
  const job = await importInto(node, file);
  const peakMib = peak(node.pid);
  const answer = await node.post('/api/v1/sql', JSON.stringify({ sql: 'SELECT count(*) FROM reports' }));
  const seconds = (Date.now() - started) / 1000;
  if (answer.rows[0][0] !== ROWS || job.accepted !== ROWS) throw new Error(`not every row: ${JSON.stringify([job, answer])}`);
  const again = await importInto(node, file);
  if (again.duplicates !== ROWS) throw new Error(`not every row is a duplicate: ${JSON.stringify(again)}`);
  await node.stop();
  removeFolder(node.data);
  return { rate: Math.round(ROWS / seconds), peakMib, againRate: again.rows_per_second };
}

async function importInto(node, file) {
  return JSON.parse(await output(join(BUILT, 'drover'), ['import', file, '--url', node.url, '--json'], { timeoutS: PATIENCE_S }));
}

const peak = (pid) => Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024);

async function toParquet(python, file, parquet) {
  const sql = `COPY (SELECT * FROM read_csv('${file}') ORDER BY vehicle_id, timestamp) TO '${parquet}' (COMPRESSION zstd)`;
  const script = 'import duckdb, sys, time; t = time.time(); duckdb.sql(sys.argv[1]); print(time.time() - t)';
  const said = await output(python, ['-c', script, sql], { timeoutS: PATIENCE_S });
  const seconds = Number(said.trim().split(/\s+/).at(-1));
  rmSync(parquet);
  return Math.round(ROWS / seconds);
}

async function intoPostgres(folder, file) {
  const said = await output(join(ROOT, 'bench/imports/postgres'), [join(folder, 'pg'), file], { timeoutS: PATIENCE_S });
  return Math.round(ROWS / Number(said.trim().split('\n').at(-1)));
}
