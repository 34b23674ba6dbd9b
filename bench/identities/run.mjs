// Workload: what asking for credentials costs. Single reports in a closed loop over 1,000 connections, each device with a token
//   of its own; 5,200 reports/s for 60 s from 9,500 devices over MQTT, while 9,500 sessions of dispatchers each follow one
//   driver over WebSocket; then 10,000 of either alone.
// Peer: the same node with --dev, which asks for nothing.
// Budget: 20 us of the server's CPU per report more than --dev; all of 5,200/s sent; 10,000 of either connected.
// Latency: as in `paced`. Memory is resident memory in KiB per connection, above the node after its start with the same
//   records, tokens and logins. The load runs in another process on the same two cores.

import { SHORT, alternate, repeat, seconds, simulate, startNode, startSimulate, values, waitFor } from '../harness.mjs';
import { people } from '../people.mjs';
import { cpuSeconds, delay, rssMb } from '../processes.mjs';

/** So many that none sends faster than the 100 reports a second that admission takes of one asset. */
const CONNECTIONS = 1000;
const RATE_PER_S = 5200;
const CROWD = SHORT ? 500 : 9500;
const ALONE = SHORT ? 600 : 10_000;
const SETTLE_MS = 5000;

export default async function identities(record) {
  const known = await people({ devices: ALONE, sessions: ALONE });
  for (const via of ['http', 'websocket', 'mqtt']) await cost(record, known, via);
  await crowd(record, known);
  for (const via of ['mqtt', 'http', 'websocket']) await devices(record, known, via);
  await sessions(record, known);
}

const door = (node, via) => ['--via', via, ...(via === 'mqtt' ? ['--mqtt', node.mqtt] : [])];

/** The peer is the same program on the same load, asked for nothing. */
async function cost(record, known, via) {
  const timeS = seconds(5);
  const open = await startNode();
  const secured = await known.start();
  const load = (node) => [...door(node, via), '--closed-loop', '--drivers', CONNECTIONS, '--connections', CONNECTIONS];
  const { peer, ours } = await alternate(
    () => simulate(open, load(open), timeS),
    () => simulate(secured, [...load(secured), '--device-tokens', known.deviceTokens], timeS),
  );
  const compared = { name: '--dev', runs: values(peer, 'cpuUs') };
  record({ name: `${via}, ${CONNECTIONS} devices: server CPU per report`, unit: 'us', runs: values(ours, 'cpuUs'), peer: compared });
  const rates = { name: '--dev', runs: values(peer, 'rate_per_s') };
  record({ name: `${via}, ${CONNECTIONS} devices: acknowledged`, unit: 'reports/s', runs: values(ours, 'rate_per_s'), peer: rates });
  const more = ours.map((run, at) => run.cpuUs - (peer[at].cpuUs + peer[Math.min(at + 1, peer.length - 1)].cpuUs) / 2);
  record({ name: `${via}, ${CONNECTIONS} devices: CPU per report above --dev`, unit: 'us', runs: more, budget: { max: 20 } });
  await open.stop();
  await secured.stop();
}

async function crowd(record, known) {
  const timeS = seconds(60);
  const runs = await repeat(async () => {
    const node = await known.start();
    await known.renew(node);
    await delay(SETTLE_MS);
    const before = rssMb(node.pid);
    const load = [...door(node, 'mqtt'), '--drivers', CROWD, '--connections', CROWD, '--interval', CROWD / RATE_PER_S];
    const watch = ['--watchers', CROWD, '--watch-one', '--watch-tokens', known.watchTokens];
    let most = before;
    const look = setInterval(() => (most = Math.max(most, rssMb(node.pid))), 1000);
    const run = await simulate(node, [...load, '--device-tokens', known.deviceTokens, ...watch], timeS);
    clearInterval(look);
    await node.stop();
    if (run.watch.errors > 0) throw new Error(`sessions lost their connections ${run.watch.errors} times`);
    return { ...run, before, most };
  });
  const name = (what) => `${CROWD} devices and ${CROWD} sessions: ${what}`;
  const due = (run) => (100 * run.acknowledged) / (run.sent + run.unsent);
  record({ name: name('sent of what was due'), unit: '%', runs: values(runs, due), budget: { min: 99.9 } });
  record({ name: name('acknowledged'), unit: 'reports/s', runs: values(runs, 'rate_per_s') });
  for (const [what, pick] of [
    ['ack p50', (run) => run.latency.p50_ms],
    ['ack p99', (run) => run.latency.p99_ms],
    ['own lag p99', (run) => run.lag.p99_ms],
    ['device to session p50', (run) => run.watch.latency.p50_ms],
    ['device to session p99', (run) => run.watch.latency.p99_ms],
  ]) {
    record({ name: name(what), unit: 'ms', runs: values(runs, pick) });
  }
  record({ name: name('updates seen'), unit: 'updates/s', runs: values(runs, (run) => run.watch.updates / run.seconds) });
  record({ name: name('server CPU per report'), unit: 'us', runs: values(runs, 'cpuUs') });
  record({ name: name('memory before'), unit: 'MB', runs: values(runs, 'before') });
  record({ name: name('most memory'), unit: 'MB', runs: values(runs, 'most') });
}

/** Connected and reporting once in ten seconds each. */
async function devices(record, known, via) {
  const node = await known.start();
  await delay(SETTLE_MS);
  const before = rssMb(node.pid);
  const timeS = Math.max(seconds(20), 10);
  const load = [...door(node, via), '--drivers', ALONE, '--connections', ALONE, '--interval', 10];
  const run = simulate(node, [...load, '--device-tokens', known.deviceTokens], timeS);
  await delay(timeS * 1000 * 0.9);
  const during = rssMb(node.pid);
  const { acknowledged, sent, unsent } = await run;
  await node.stop();
  const name = (what) => `${ALONE} devices over ${via}: ${what}`;
  record({ name: name('sent of what was due'), unit: '%', runs: [(100 * acknowledged) / (sent + unsent)], budget: { min: 99.9 } });
  record({ name: name('memory for each'), unit: 'KiB', runs: [perConnection(during - before)] });
}

/** Sessions that follow one driver each, while little happens. */
async function sessions(record, known) {
  const node = await known.start();
  await known.renew(node);
  await delay(SETTLE_MS);
  const before = rssMb(node.pid);
  // One device reports once a minute: the load needs one. It is ended as soon as the node was looked at.
  const options = [...door(node, 'websocket'), '--drivers', 1, '--connections', 1, '--interval', 60, '--duration', 120];
  const watch = ['--watchers', ALONE, '--watch-one', '--watch-tokens', known.watchTokens, '--device-tokens', known.deviceTokens];
  const begin = process.hrtime.bigint();
  const cpu = cpuSeconds(node.pid);
  const crowd = await startSimulate(node, [...options, ...watch]);
  const connected = async () => (await node.metric('drover_watchers')) >= ALONE;
  await waitFor(`${ALONE} sessions (open files: ulimit -Hn)`, 90, connected);
  const openedS = Number(process.hrtime.bigint() - begin) / 1e9;
  const cpuEachUs = ((cpuSeconds(node.pid) - cpu) * 1e6) / ALONE;
  await delay(SETTLE_MS);
  const during = rssMb(node.pid);
  if (!(await connected())) throw new Error(`sessions went away: ${crowd.stderr}`);
  await crowd.stop('SIGKILL');
  await node.stop();
  const name = (what) => `${ALONE} sessions: ${what}`;
  record({ name: name('opened one after the other in'), unit: 's', runs: [openedS] });
  record({ name: name('server CPU to open one'), unit: 'us', runs: [cpuEachUs] });
  record({ name: name('memory for each'), unit: 'KiB', runs: [perConnection(during - before)] });
}

const perConnection = (mb) => (mb * 1e6) / 1024 / ALONE;
