// The data that Drover and its peers get: 156,000 assets around 45 city centres, the same on every run.

export const MEMBERS = 156_000;
export const CITIES = 45;
const SIGMA_DEG = 0.1;
const SEED = 0x9e3779b9;
const REPORTS_PER_POST = 1000;

/** mulberry32: small, and the same data on every run. */
export function random(seed = SEED) {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), 1 | state);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** City centres on a lattice of 9 x 5 (longitude -120..120, latitude -34..54), far enough apart never to mix. */
export function cityPoint(city, unit) {
  const [column, row] = [city % 9, Math.floor(city / 9)];
  return {
    lat: -34 + 22 * row + 0.9 * column + gauss(unit) * SIGMA_DEG,
    lon: -120 + 30 * column + 1.7 * row + gauss(unit) * SIGMA_DEG,
  };
}

function gauss(unit) {
  return Math.sqrt(-2 * Math.log(Math.max(unit(), 1e-12))) * Math.cos(2 * Math.PI * unit());
}

/** As redis-benchmark spells random members: twelve digits. */
export const memberId = (member) => `d${String(member).padStart(12, '0')}`;

let made;
/** All members: id, lat, lon. */
export function members() {
  const unit = random();
  made ??= Array.from({ length: MEMBERS }, (_, member) => ({ id: memberId(member), ...cityPoint(member % CITIES, unit) }));
  return made;
}

export function reportLine({ id, lat, lon }, timeMs) {
  return `{"kind":"driver","id":"${id}","timestamp":${timeMs},"latitude":${lat.toFixed(6)},"longitude":${lon.toFixed(6)},"speed":32.5,"heading":181.5,"accuracy":5,"battery_pct":71,"status":"active"}\n`;
}

/** Gives a node one report of every member, `timeMs` old or new, and waits until reads show them. */
export async function loadNode(node, timeMs = Date.now()) {
  return sendReports(node, MEMBERS, (at) => reportLine(members()[at], timeMs));
}

/** Sends `count` lines in batches over two connections; all must be taken as new. Waits until reads show them. */
export async function sendReports(node, count, line) {
  let next = 0;
  let position = 0;
  const sender = async () => {
    while (next < count) {
      const [from, to] = [next, Math.min(count, next + REPORTS_PER_POST)];
      next = to;
      let body = '';
      for (let at = from; at < to; at += 1) body += line(at);
      const receipt = await node.post('/api/v1/reports', body);
      if (receipt.accepted !== to - from || receipt.late > 0 || receipt.duplicates > 0) {
        throw new Error(`the node did not take all reports as new: ${JSON.stringify(receipt).slice(0, 300)}`);
      }
      position = Math.max(position, receipt.position);
    }
  };
  await Promise.all([sender(), sender()]);
  await node.get(`/api/v1/drivers/${members()[0].id}/location?at_least=${position}`);
  return position;
}

/** The same members for Redis, as one text of commands for `redis-cli --pipe`. */
export function geoaddText() {
  const text = [];
  for (const { id, lat, lon } of members()) {
    const words = ['GEOADD', 'drivers:geo', lon.toFixed(6), lat.toFixed(6), id];
    text.push(`*${words.length}\r\n`, ...words.map((word) => `$${word.length}\r\n${word}\r\n`));
  }
  return text.join('');
}
