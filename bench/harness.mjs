// What the scenarios share: the order of runs, the settings of an invocation, the node.
// Processes are in processes.mjs, peers in peers.mjs, data in fleet.mjs, keeping of figures in results.mjs.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describeMachine, load1, quiet } from './machine.mjs';
import { BUILT, ROOT, cleanUp, cpuSeconds, delay, output, requirePrograms, start, temporaryFolder } from './processes.mjs';
import { Results } from './results.mjs';

export const SCENARIOS = ['log', 'index', 'acks', 'http', 'batches', 'paced', 'mqtt', 'nearby', 'memory', 'history', 'imports', 'lanes', 'identities'];

/** A first look, not a measurement: one short run each, nothing is kept. */
export const SHORT = process.env.SHORT === '1';
export const REPEAT = number('REPEAT', SHORT ? 1 : 3);
/** Seconds of one run; a scenario names its own default. */
export const seconds = (usual) => number('SECONDS', SHORT ? 1 : usual);

const BINARY = join(BUILT, 'drover');

export async function main(names) {
  const unknown = names.filter((name) => !SCENARIOS.includes(name));
  if (names.length === 0 || unknown.length > 0) {
    if (unknown.length > 0) console.error(`bench: no scenario is called ${unknown.join(', ')}`);
    console.error(`usage: bench/run SCENARIO…   (${SCENARIOS.join(', ')})`);
    process.exit(2);
  }
  const failed = [];
  try {
    const scenarios = await Promise.all(names.map((name) => import(`./${name}/run.mjs`)));
    requirePrograms(scenarios.flatMap((scenario) => scenario.programs ?? []));
    if (!existsSync(BINARY)) throw new Error(`there is no ${BINARY}; run \`make build\` first`);
    const results = new Results(await describeMachine(BINARY), { keep: !SHORT });
    for (const [at, scenario] of scenarios.entries()) {
      if (!(await measure(names[at], scenario, results))) failed.push(names[at]);
    }
    results.print(failed);
  } catch (error) {
    console.error(`bench: ${error.message}`);
    failed.push('all');
  } finally {
    await cleanUp();
  }
  process.exit(failed.length > 0 ? 1 : 0);
}

/** False when it could not be measured; the others are measured nevertheless. */
async function measure(name, scenario, results) {
  console.log(`\n== ${name}`);
  try {
    for (const built of scenario.examples ?? []) await buildExample(built);
    const before = { load: load1(), ...(await quiet(SHORT)) };
    await scenario.default((figure) => results.add(name, before, figure));
    return true;
  } catch (error) {
    console.error(`bench: ${name} could not be measured: ${error.message}`);
    return false;
  } finally {
    await cleanUp();
  }
}

/** Of the whole workspace, so that it has the features, and hence the dependencies, that the binary has. */
async function buildExample(name) {
  if (process.env.NO_BUILD === '1' && existsSync(example(name))) return;
  await output('cargo', ['build', '--release', '--locked', '--workspace', '--example', name], { cwd: ROOT, timeoutS: 3600 });
}

export const example = (name) => join(BUILT, 'examples', name);

/** The peer before, between and after our runs, so that a change of the machine shows in both. */
export async function alternate(peer, ours) {
  const runs = { peer: [], ours: [] };
  const turn = async (side, run) => {
    await quiet(SHORT);
    runs[side].push(await run());
  };
  for (let round = 0; round < REPEAT; round += 1) {
    await turn('peer', peer);
    await turn('ours', ours);
  }
  if (!SHORT) await turn('peer', peer);
  return runs;
}

export async function repeat(run) {
  const runs = [];
  for (let round = 0; round < REPEAT; round += 1) {
    await quiet(SHORT);
    runs.push(await run());
  }
  return runs;
}

/**
 * A node on a port and, unless `data` is given, in a folder of its own. Assets never go offline, so that a long
 * scenario searches as many at its end as at its start. `startS` is the time from exec to the ready line.
 */
export async function startNode({ data = temporaryFolder('node'), dev = true, settings = {} } = {}) {
  const env = { DROVER_LIVE_S: '86400', DROVER_OFFLINE_S: '86400', ...settings };
  const node = await start(BINARY, ['serve', ...(dev ? ['--dev'] : []), '--data', data, '--http', '127.0.0.1:0', '--mqtt', '127.0.0.1:0'], {
    env,
    ready: /^ready http=(\S+) mqtt=(\S+)/m,
    timeoutS: 120,
  });
  node.data = data;
  node.url = `http://${node.match[1]}`;
  node.mqtt = node.match[2];
  node.headers = {};
  node.get = async (path) => (await answered(await fetch(node.url + path, { headers: node.headers }))).text();
  node.json = async (path) => JSON.parse(await node.get(path));
  node.post = async (path, body) => (await answered(await fetch(node.url + path, { method: 'POST', body }))).json();
  node.metric = async (name) => {
    const line = (await node.get('/metrics')).split('\n').find((text) => text.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1) ?? 0);
  };
  return node;
}

async function answered(response) {
  if (!response.ok) throw new Error(`the node answered ${response.status}: ${(await response.text()).slice(0, 300)}`);
  return response;
}

/** `drover simulate` with these options, checked: whatever is not acknowledged makes the run worthless. */
export async function simulate(node, options, timeS) {
  const cpu = cpuSeconds(node.pid);
  const args = ['simulate', '--url', node.url, '--json', '--duration', String(timeS), ...options.map(String)];
  const run = JSON.parse(await output(BINARY, args, { timeoutS: timeS + 60 }));
  const refused = Object.values(run.rejected).reduce((sum, count) => sum + count, 0);
  if (run.acknowledged === 0 || run.errors + run.unanswered + refused + run.duplicates + run.late > 0) {
    throw new Error(`the load run was not clean: ${JSON.stringify(run)}`);
  }
  return { ...run, cpuUs: ((cpuSeconds(node.pid) - cpu) * 1e6) / run.acknowledged };
}

/** The same, for a load that goes on while something is looked at. */
export const startSimulate = (node, options) =>
  start(BINARY, ['simulate', '--url', node.url, '--json', ...options.map(String)], {});

export async function waitFor(what, timeoutS, look) {
  const deadline = Date.now() + timeoutS * 1000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`${what} did not happen within ${timeoutS} s`);
    await delay(50);
  }
}

export const values = (runs, pick) => runs.map((run) => (typeof pick === 'string' ? run[pick] : pick(run)));

/** `name=value` lines as an object of numbers. */
export function namedValues(text) {
  const pairs = text.matchAll(/^(\w+)=([\d.]+)$/gm);
  return Object.fromEntries([...pairs].map(([, name, value]) => [name, Number(value)]));
}

export function number(name, usual) {
  const value = Number(process.env[name] ?? usual);
  if (!(value > 0)) throw new Error(`${name} is ${process.env[name]}; a positive number is expected`);
  return value;
}
