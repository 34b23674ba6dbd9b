// Child processes of the bench: started with a time limit, ended by pid however the bench ends, and looked at in /proc.
// Temporary folders go with them.

import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
/** Where data goes: beside the build by default, because /tmp may be memory. */
const DATA = process.env.BENCH_DATA ?? join(ROOT, 'target/bench');
/** Where cargo puts what it builds. */
export const BUILT = resolve(ROOT, process.env.CARGO_TARGET_DIR ?? 'target', 'release');

const STOP_PATIENCE_S = 20;
/** Ticks of /proc/PID/stat per second (USER_HZ is 100 on every Linux architecture that Drover runs on). */
const TICKS_PER_S = 100;
const MESSAGES_KEPT = 4000;

const PACKAGES = {
  'redis-server': 'redis-server',
  'redis-cli': 'redis-tools',
  'redis-benchmark': 'redis-tools',
  wrk: 'wrk',
  dd: 'coreutils',
  cargo: 'cargo',
  mosquitto: 'mosquitto',
  python3: 'python3-venv',
  postgres: 'postgresql',
  psql: 'postgresql-client',
  split: 'coreutils',
};

const running = new Set();
const folders = new Set();

export const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Fails with what to install when a program is missing: a figure without its peer is worth nothing. */
export function requirePrograms(names) {
  const missing = [...new Set(names)].filter((name) => spawnSync('sh', ['-c', 'command -v "$0"', name]).status !== 0);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((name) => PACKAGES[name]))].join(' ');
  throw new Error(`missing: ${missing.join(', ')}. On Debian or Ubuntu: sudo apt-get install ${packages}`);
}

export function temporaryFolder(name) {
  mkdirSync(DATA, { recursive: true });
  const type = spawnSync('stat', ['-f', '-c', '%T', DATA], { encoding: 'utf8' }).stdout.trim();
  if (type === 'tmpfs' || type === 'ramfs') throw new Error(`${DATA} is in memory (${type}); set BENCH_DATA to a folder on a disk`);
  const folder = mkdtempSync(join(DATA, `${name}-`));
  folders.add(folder);
  return folder;
}

export function removeFolder(folder) {
  rmSync(folder, { recursive: true, force: true });
  folders.delete(folder);
}

/** Through a shell that lifts the limit of open files and then becomes the program: the pid is the program's. */
function open(program, args, { env = {}, cwd, stdin = 'ignore' }) {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('DROVER_'));
  const child = spawn('sh', ['-c', 'ulimit -n "$(ulimit -Hn)"; exec "$0" "$@"', program, ...args], {
    cwd,
    env: { ...Object.fromEntries(own), ...env },
    stdio: [stdin, 'pipe', 'pipe'],
  });
  const opened = { child, pid: child.pid, program, stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (opened.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (opened.stderr = (opened.stderr + text).slice(-MESSAGES_KEPT)));
  opened.ended = new Promise((resolve) => {
    child.on('error', (error) => resolve({ code: null, error }));
    child.on('close', (code, signal) => resolve({ code, signal }));
  }).then((end) => {
    running.delete(opened);
    return end;
  });
  opened.stop = (signal = 'SIGTERM') => stop(opened, signal);
  running.add(opened);
  return opened;
}

/** Starts a server and waits for the line that says that it serves. */
export async function start(program, args, { ready, timeoutS = 30, ...options }) {
  const begin = process.hrtime.bigint();
  const opened = open(program, args, options);
  if (!ready) return opened;
  const said = new Promise((resolve) => {
    const look = () => {
      opened.match = opened.match ?? opened.stdout.match(ready) ?? opened.stderr.match(ready);
      if (opened.match) resolve('ready');
    };
    opened.child.stdout.on('data', look);
    opened.child.stderr.on('data', look);
    opened.ended.then(() => resolve('ended'));
  });
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(() => resolve('late'), timeoutS * 1000)));
  const outcome = await Promise.race([said, late]);
  clearTimeout(timer);
  if (outcome !== 'ready') {
    await opened.stop('SIGKILL');
    throw new Error(`${program} did not become ready (${outcome}): ${opened.stderr || opened.stdout}`);
  }
  opened.startS = Number(process.hrtime.bigint() - begin) / 1e9;
  return opened;
}

/** Runs a program to its end and gives what it printed. */
export async function output(program, args, { input, timeoutS = 60, ...options } = {}) {
  const opened = open(program, args, { ...options, stdin: input === undefined ? 'ignore' : 'pipe' });
  if (input !== undefined) {
    opened.child.stdin.on('error', () => {}); // Ended early: its exit code tells.
    opened.child.stdin.end(input);
  }
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    opened.child.kill('SIGKILL');
  }, timeoutS * 1000);
  const end = await opened.ended;
  clearTimeout(timer);
  if (late) throw new Error(`${program} took longer than ${timeoutS} s and was ended`);
  if (end.code !== 0) throw new Error(`${program} failed (${end.error ?? end.signal ?? end.code}): ${opened.stderr || opened.stdout}`);
  return opened.stdout;
}

async function stop(opened, signal) {
  if (!running.has(opened)) return opened.ended;
  opened.child.kill(signal);
  const timer = setTimeout(() => opened.child.kill('SIGKILL'), STOP_PATIENCE_S * 1000);
  const end = await opened.ended;
  clearTimeout(timer);
  return end;
}

/** Ends what still runs and removes what was written. */
export async function cleanUp() {
  await Promise.all([...running].map((opened) => opened.stop('SIGKILL')));
  [...folders].forEach(removeFolder);
}

/** Ctrl-C and the like: children first, then the bench. A second signal does not wait for them. */
let leaving = false;
async function leave(code) {
  if (leaving) process.exit(code);
  leaving = true;
  await cleanUp().catch(() => {}); // What is left lies in target/ and is harmless.
  process.exit(code);
}
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]]) process.on(signal, () => leave(code));
process.on('uncaughtException', (error) => {
  console.error(error);
  leave(1);
});

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** CPU seconds of a process, user and system, all threads. */
export function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').pop().split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
}

/** Resident memory, MB (10^6 bytes). */
export function rssMb(pid) {
  const kib = readFileSync(`/proc/${pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+) kB/m);
  return (Number(kib[1]) * 1024) / 1e6;
}
