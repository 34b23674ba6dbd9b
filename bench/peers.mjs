// The programs that Drover is measured against or with: Redis, Mosquitto and wrk.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MEMBERS, geoaddText } from './fleet.mjs';
import { ROOT, cpuSeconds, freePort, output, start, temporaryFolder } from './processes.mjs';

export const REDIS_PROGRAMS = ['redis-server', 'redis-cli', 'redis-benchmark'];
const PROBE_REQUESTS = 5000;

/** Redis with this fsync policy (`always`, `everysec`) in a folder of its own; with the 156,000 members if `loaded`. */
export async function startRedis(fsync, { loaded = true } = {}) {
  const port = await freePort();
  const args = ['--port', port, '--bind', '127.0.0.1', '--dir', temporaryFolder('redis'), '--save', '', '--daemonize', 'no'];
  args.push('--appendonly', 'yes', '--appendfsync', fsync, '--auto-aof-rewrite-percentage', '0', '--logfile', '');
  const redis = await start('redis-server', args.map(String), { ready: /Ready to accept connections/ });
  redis.port = port;
  redis.cli = (args, input) => output('redis-cli', ['-p', String(port), ...args], { input });
  redis.info = async (section, field) => Number((await redis.cli(['info', section])).match(new RegExp(`^${field}:(\\d+)`, 'm'))[1]);
  if (loaded) await loadRedis(redis);
  return redis;
}

export async function loadRedis(redis) {
  const said = await redis.cli(['--pipe'], geoaddText());
  const members = Number(await redis.cli(['zcard', 'drivers:geo']));
  if (!/errors: 0/.test(said) || members !== MEMBERS) throw new Error(`Redis holds ${members} of ${MEMBERS} members: ${said}`);
}

/**
 * A command in a closed loop for about `timeS`; `__rand_int__` is a random member's number. Gives operations per second,
 * latency and the server's processor time per operation.
 */
async function redisBenchmark(redis, { connections, pipeline = 1, timeS }, command) {
  const bench = async (requests) => {
    const cpu = cpuSeconds(redis.pid);
    const load = ['-p', redis.port, '-c', connections, '-P', pipeline, '-n', requests, '-r', MEMBERS, '--csv', '--precision', 3];
    const text = await output('redis-benchmark', [...load, ...command].map(String), { timeoutS: 10 * timeS + 60 });
    // The first field is the command and may hold commas; each field is quoted.
    const [rate, , , p50, , p99] = text.trim().split('\n').pop().slice(1, -1).split('","').slice(-7).map(Number);
    if (!(rate > 0)) throw new Error(`redis-benchmark said: ${text}`);
    return { requests, rate, p50Ms: p50, p99Ms: p99, cpuUs: ((cpuSeconds(redis.pid) - cpu) * 1e6) / requests };
  };
  const { rate } = await bench(PROBE_REQUESTS);
  return bench(Math.max(PROBE_REQUESTS, Math.round(rate * timeS)));
}

/**
 * Moves of random members. The coordinates are random too (`…e-3` shifts the twelve digits into range): with a constant
 * place nothing changes after the first round, and Redis neither logs nor syncs what changes nothing.
 */
export async function redisMoves(redis, load) {
  const size = await redis.info('persistence', 'aof_current_size');
  const run = await redisBenchmark(redis, load, ['GEOADD', 'drivers:geo', '__rand_int__e-3', '__rand_int__e-4', 'd__rand_int__']);
  const written = ((await redis.info('persistence', 'aof_current_size')) - size) / run.requests;
  if (written < 50) throw new Error(`Redis wrote ${written.toFixed(1)} bytes per move: the load does not change anything`);
  return run;
}

/** The ten nearest within a radius of a random member. */
export const redisNearest = (redis, radiusM, load) =>
  redisBenchmark(redis, load, ['GEOSEARCH', 'drivers:geo', 'FROMMEMBER', 'd__rand_int__', 'BYRADIUS', radiusM, 'm', 'ASC', 'COUNT', 10]);

/**
 * wrk over lines `METHOD path [body]` that are sent in turn, from two threads. Every answer must be a good one.
 * Latency is from request to answer, in a closed loop: mostly waiting for the others.
 */
export async function wrk(server, requests, { connections, timeS }) {
  const file = join(temporaryFolder('wrk'), 'requests');
  writeFileSync(file, requests.join('\n'));
  const cpu = cpuSeconds(server.pid);
  const args = ['-t2', `-c${connections}`, `-d${Math.max(1, Math.round(timeS))}s`, '--timeout', '10s', '-s', join(ROOT, 'bench/wrk.lua'), server.url];
  const text = await output('wrk', args, { env: { BENCH_REQUESTS: file }, timeoutS: timeS + 60 });
  const run = JSON.parse(text.match(/^RESULT (.*)$/m)[1]);
  if (run.errors > 0) throw new Error(`wrk met ${run.errors} errors:\n${text}`);
  const rate = (run.requests * 1e6) / run.duration_us;
  return { rate, p50Ms: run.p50_us / 1000, p99Ms: run.p99_us / 1000, cpuUs: ((cpuSeconds(server.pid) - cpu) * 1e6) / run.requests };
}

export const MOSQUITTO_PROGRAMS = ['mosquitto'];

/** Mosquitto without persistence and with long queues, as a broker that only passes on. */
export async function startMosquitto() {
  const port = await freePort();
  const file = join(temporaryFolder('mosquitto'), 'mosquitto.conf');
  const lines = [`listener ${port} 127.0.0.1`, 'allow_anonymous true', 'persistence false', 'user root', 'set_tcp_nodelay true'];
  writeFileSync(file, [...lines, 'max_queued_messages 0', 'max_inflight_messages 1000', 'log_type information', 'log_dest stderr', ''].join('\n'));
  const mosquitto = await start('mosquitto', ['-c', file], { ready: /running/ });
  mosquitto.mqtt = `127.0.0.1:${port}`;
  return mosquitto;
}
