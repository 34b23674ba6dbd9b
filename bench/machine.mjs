// What the machine is, without its name, and how busy it is.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { ROOT, delay } from './processes.mjs';

const QUIET_IDLE_PCT = 70;
const QUIET_PATIENCE_MS = 5000;
const SAMPLE_MS = 500;

/** The first line that a program prints; empty if it is not installed. */
const firstLine = (program, args) => (spawnSync(program, args, { encoding: 'utf8', cwd: ROOT }).stdout ?? '').split('\n')[0].trim();

export async function describeMachine(binary) {
  const os = readFileSync('/etc/os-release', 'utf8').match(/^PRETTY_NAME="?([^"\n]*)/m)?.[1] ?? 'Linux';
  const cpu = cpus()[0].model.trim();
  const memoryGib = Math.round(totalmem() / 2 ** 30);
  const revision = firstLine('git', ['rev-parse', '--short=12', 'HEAD']);
  const changed = firstLine('git', ['status', '--porcelain', '--', 'crates', 'Cargo.toml', 'Cargo.lock']) !== '';
  return {
    name: `${cpu} ${cpus().length}c ${memoryGib}g`.toLowerCase().replace(/[^a-z0-9]+/g, '-'),
    cpu,
    cores: cpus().length,
    memory_gib: memoryGib,
    kernel: release(),
    os,
    revision: revision + (changed ? '+changes' : ''),
    drover: firstLine(binary, ['--version']),
    redis: firstLine('redis-server', ['--version']).match(/v=(\S+)/)?.[1] ?? null,
    wrk: firstLine('wrk', ['--version']).match(/wrk (\S+)/)?.[1] ?? null,
    node: process.version,
  };
}

export const load1 = () => Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]);

/** Waits a few seconds at most for a moment in which others leave the machine alone; says what was seen. */
export async function quiet(short = false) {
  const deadline = Date.now() + (short ? 0 : QUIET_PATIENCE_MS);
  for (;;) {
    const before = ticks();
    await delay(SAMPLE_MS);
    const after = ticks();
    const idlePct = Math.round((100 * (after.idle - before.idle)) / Math.max(1, after.all - before.all));
    if (idlePct >= QUIET_IDLE_PCT || Date.now() >= deadline) return { idlePct };
  }
}

function ticks() {
  const fields = readFileSync('/proc/stat', 'utf8').split('\n')[0].trim().split(/\s+/).slice(1, 9).map(Number);
  return { idle: fields[3], all: fields.reduce((sum, field) => sum + field, 0) };
}
