// Keeps figures: one JSON line each in results/DATE-MACHINE.jsonl, and the newest of every scenario in latest.md.

import { appendFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './processes.mjs';

const FOLDER = join(ROOT, 'bench/results');

/**
 * A figure as scenarios give it: `name`, `unit`, `runs` (numbers; the value is their median), and where there are such:
 * `budget` {min} | {max} | {ratio}, `reach` (what we would like, same sense), `peer` {name, runs}, `detail` (anything).
 * {ratio} is the least ratio of our value to the peer's.
 */
export class Results {
  constructor(machine, { keep }) {
    this.machine = machine;
    this.keep = keep;
    this.at = new Date().toISOString();
    this.figures = [];
    this.file = join(FOLDER, `${this.at.slice(0, 10)}-${machine.name}.jsonl`);
    this.append({ machine, at: this.at });
  }

  add(scenario, before, { name, unit, runs, budget, reach, peer, detail }) {
    if (runs.length === 0 || !runs.every(Number.isFinite)) throw new Error(`${name}: no figure came of it (${runs})`);
    const value = round(median(runs));
    const peerValue = peer && round(median(peer.runs));
    const figure = { at: this.at, scenario, name, value, unit, runs: runs.map(round) };
    if (peer) Object.assign(figure, { peer: peer.name, peer_value: peerValue, peer_runs: peer.runs.map(round) });
    if (peer) figure.ratio = round(value / peerValue);
    if (budget) Object.assign(figure, { budget: budgetText(budget), met: isMet(budget, value, figure.ratio) });
    if (reach !== undefined) figure.reach = reach;
    Object.assign(figure, { load_before: before.load, idle_before_pct: before.idlePct });
    if (detail) figure.detail = Object.fromEntries(Object.entries(detail).map(([key, item]) => [key, round(item)]));
    this.figures.push(figure);
    this.append(figure);
    console.log(`${name}: ${number(value)} ${unit}${peer ? `, ${peer.name} ${number(peerValue)}` : ''}`);
  }

  append(line) {
    if (!this.keep) return;
    mkdirSync(FOLDER, { recursive: true });
    appendFileSync(this.file, `${JSON.stringify(line)}\n`);
  }

  /** Prints this invocation's figures; latest.md gets the newest invocation of every scenario on this machine. */
  print(failed) {
    console.log(`\n${describe(this.machine)}\n\n${table(this.figures)}`);
    const missed = this.figures.filter((figure) => figure.met === false).length;
    const judged = this.figures.filter((figure) => figure.met !== undefined).length;
    console.log(`\n${judged - missed} of ${judged} budgets are met${failed.length > 0 ? `; not measured: ${failed.join(', ')}` : ''}`);
    if (this.keep) writeFileSync(join(FOLDER, 'latest.md'), latest(this.machine));
    else console.log('This was a short look: nothing is kept.');
  }
}

export function median(list) {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function isMet(budget, value, ratio) {
  if (budget.ratio !== undefined) return ratio >= budget.ratio;
  return budget.min !== undefined ? value >= budget.min : value <= budget.max;
}

function budgetText({ ratio, min, max }) {
  if (ratio !== undefined) return `≥ ${ratio} × peer`;
  return min !== undefined ? `≥ ${number(min)}` : `≤ ${number(max)}`;
}

/** Four digits are more than such measurements have. */
const round = (value) => (typeof value === 'number' ? Number(value.toPrecision(4)) : value);

const number = (value) => value.toLocaleString('en-US', { maximumSignificantDigits: 4 });

const describe = (machine) =>
  `${machine.cpu}, ${machine.cores} cores, ${machine.memory_gib} GiB, ${machine.os}, kernel ${machine.kernel}; ` +
  `${machine.drover} (${machine.revision}), Redis ${machine.redis}, wrk ${machine.wrk}`;

function table(figures) {
  const rows = figures.map((figure) => [
    figure.scenario,
    figure.name,
    `${number(figure.value)} ${figure.unit}`,
    [figure.budget ?? '', figure.reach === undefined ? '' : ` (reach ${number(figure.reach)})`].join(''),
    figure.met === undefined ? '' : figure.met ? 'yes' : '**no**',
    figure.peer ? `${figure.peer}: ${number(figure.peer_value)}` : '',
    figure.ratio === undefined ? '' : number(figure.ratio),
    `${figure.load_before}`,
  ]);
  const all = [['scenario', 'figure', 'value', 'budget', 'met', 'peer', 'ratio', 'load before'], ...rows];
  const widths = all[0].map((_, column) => Math.max(...all.map((row) => row[column].length)));
  const line = (row) => `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  return [line(all[0]), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...rows.map(line)].join('\n');
}

function latest(machine) {
  const runs = readRuns(machine.name);
  const newest = new Map();
  for (const run of runs) for (const name of new Set(run.figures.map((figure) => figure.scenario))) newest.set(name, run);
  const parts = [...new Set(newest.values())].sort((a, b) => b.at.localeCompare(a.at)).map((run) => {
    const figures = run.figures.filter((figure) => newest.get(figure.scenario) === run);
    return `## ${run.at.slice(0, 16).replace('T', ' ')} UTC\n\n${describe(run.machine)}.\n\n${table(figures)}\n`;
  });
  const head = '# Newest figures\n\nWritten by `bench/run`; the runs behind each median are in the `.jsonl` files. Compare within one row only.';
  return `${head}\n\n${parts.join('\n')}`;
}

/** All invocations kept for this machine, oldest first. */
function readRuns(name) {
  const files = readdirSync(FOLDER).filter((file) => file.slice(11) === `${name}.jsonl`).sort();
  const runs = [];
  for (const line of files.flatMap((file) => readFileSync(join(FOLDER, file), 'utf8').trim().split('\n'))) {
    const entry = JSON.parse(line);
    if (entry.machine) runs.push({ at: entry.at, machine: entry.machine, figures: [] });
    else runs.findLast((run) => run.at === entry.at)?.figures.push(entry);
  }
  return runs;
}
