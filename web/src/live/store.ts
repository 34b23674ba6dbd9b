// The fleet as this page knows it. The socket writes here; everything that is shown reads here. What React
// shows is published in slices, at most a few times a second; what moves lives in `motion` and goes straight to
// the map. Holds no connection and draws nothing.

import { toX, toY } from './mercator';
import { type Freshness, HAS_PLACE, LIVE, Motion, OFFLINE, SHOWN, STALE } from './motion';
import { Slice } from './slice';
import { Trails } from './trails';
import { type Asset, type FreshnessLimits, KINDS, keyOf, kindOf } from './wire';

export type Sort = 'id' | 'updated';

export interface Filter {
  text: string;
  freshness: Freshness | null;
  kind: number | null;
  sort: Sort;
}

export interface Counts {
  total: number;
  matching: number;
  /** By freshness, among those that match text and kind. */
  freshness: [number, number, number];
  /** By kind, among those that match text and freshness. */
  kinds: number[];
}

export const NO_FILTER: Filter = { text: '', freshness: null, kind: null, sort: 'id' };
const NO_COUNTS: Counts = { total: 0, matching: 0, freshness: [0, 0, 0], kinds: KINDS.map(() => 0) };

export class FleetStore {
  readonly motion = new Motion();
  readonly trails = new Trails();

  /** Indices of the assets in the list, in order. */
  readonly rows = new Slice<readonly number[]>([]);
  readonly counts = new Slice<Counts>(NO_COUNTS);
  readonly filter = new Slice<Filter>(NO_FILTER);
  /** `kind/id`, also before the asset is known (deep link). */
  readonly selected = new Slice<string | null>(null);
  readonly selectedAsset = new Slice<Asset | null>(null);
  readonly following = new Slice(false);
  /** Server time in ms, once a second: what ages are counted against. */
  readonly clock = new Slice(0);

  private assets: Asset[] = [];
  private index = new Map<string, number>();
  private receivedAt: number[] = [];
  private searchKeys: string[] = [];
  private sortKeys: string[] = [];
  private byId: number[] = [];
  private limits: FreshnessLimits = { live_s: 60, offline_s: 300 };
  private clockOffset = 0;

  constructor(
    /** ms; wraps into 32 bits in the motion records. */
    private readonly pageClock: () => number = () => performance.now(),
    private readonly wallClock: () => number = () => Date.now(),
  ) {
    this.clock.set(this.serverNow());
  }

  get size(): number {
    return this.assets.length;
  }

  now(): number {
    return Math.round(this.pageClock()) >>> 0;
  }

  serverNow(): number {
    return this.wallClock() + this.clockOffset;
  }

  setServer(serverTime: string, limits: FreshnessLimits): void {
    this.clockOffset = Date.parse(serverTime) - this.wallClock();
    this.limits = limits;
  }

  asset(index: number): Asset {
    return this.assets[index]!;
  }

  find(key: string): number | undefined {
    return this.index.get(key);
  }

  clear(): void {
    this.motion.clear();
    this.trails.clear();
    this.assets = [];
    this.index.clear();
    this.receivedAt = [];
    this.searchKeys = [];
    this.sortKeys = [];
    this.byId = [];
    this.selectedAsset.set(null);
    this.refresh();
  }

  /** Takes the current state of assets (a snapshot page): they are put where they are. */
  load(assets: Asset[]): void {
    for (const asset of assets) this.apply(asset, false);
  }

  /** Takes what has just happened: assets glide there and leave a trail. */
  change(assets: Asset[]): void {
    for (const asset of assets) this.apply(asset, true);
  }

  /** Recounts freshness and filters, and publishes rows and counts. Cheap enough for once a second. */
  refresh(): void {
    this.clock.set(this.serverNow());
    this.sortById();
    const counts: Counts = { total: this.size, matching: 0, freshness: [0, 0, 0], kinds: KINDS.map(() => 0) };
    const filter = this.filter.get();
    const text = filter.text.trim().toLowerCase();
    const rows: number[] = [];
    for (const index of this.byId) {
      const freshness = this.judge(index);
      if (this.tally(index, freshness, filter, text, counts)) rows.push(index);
    }
    if (filter.sort === 'updated') rows.sort((a, b) => this.receivedAt[b]! - this.receivedAt[a]! || a - b);
    counts.matching = rows.length;
    this.counts.set(counts);
    if (!sameRows(rows, this.rows.get())) this.rows.set(rows);
  }

  setFilter(change: Partial<Filter>): void {
    this.filter.set({ ...this.filter.get(), ...change });
    this.refresh();
  }

  select(key: string | null): void {
    if (key === this.selected.get()) return;
    this.following.set(false);
    this.selected.set(key);
    const index = key === null ? undefined : this.index.get(key);
    this.selectedAsset.set(index === undefined ? null : this.assets[index]!);
  }

  /** Freshness follows from the age alone; the counts, the list and the map all use this one. */
  freshnessOf(index: number): Freshness {
    const age = this.serverNow() - this.receivedAt[index]!;
    if (age <= this.limits.live_s * 1000) return LIVE;
    return age <= this.limits.offline_s * 1000 ? STALE : OFFLINE;
  }

  private apply(asset: Asset, happening: boolean): void {
    const key = keyOf(asset);
    const known = this.index.get(key);
    if (known !== undefined && asset.position <= this.assets[known]!.position) return;
    const index = known ?? this.admit(key, asset);
    this.assets[index] = asset;
    this.receivedAt[index] = Date.parse(asset.received_at);
    this.motion.setFreshness(index, this.freshnessOf(index));
    if (asset.latitude !== undefined && asset.longitude !== undefined) {
      this.move(index, toX(asset.longitude), toY(asset.latitude), asset.heading, happening);
    }
    if (key === this.selected.get()) this.selectedAsset.set(asset);
  }

  private move(index: number, x: number, y: number, heading: number | undefined, happening: boolean): void {
    const now = this.now();
    if (!happening) return this.motion.put(index, x, y, heading, now);
    if (!this.trails.has(index) && this.motion.hasFlag(index, HAS_PLACE)) {
      this.trails.record(index, ...this.motion.place(index, now));
    }
    this.motion.glide(index, x, y, heading, now);
    this.trails.record(index, x, y);
  }

  private admit(key: string, asset: Asset): number {
    const index = this.motion.add(KINDS.indexOf(kindOf(asset.kind)));
    this.index.set(key, index);
    this.searchKeys[index] = key.toLowerCase();
    this.sortKeys[index] = naturalKey(asset.id);
    this.motion.setFlag(index, SHOWN, matches(this.filter.get(), this.searchKeys[index], index, this.motion));
    return index;
  }

  private judge(index: number): Freshness {
    const freshness = this.freshnessOf(index);
    this.motion.setFreshness(index, freshness);
    return freshness;
  }

  private tally(index: number, freshness: Freshness, filter: Filter, text: string, counts: Counts): boolean {
    const kind = this.motion.kind(index);
    const byText = text === '' || this.searchKeys[index]!.includes(text);
    const byKind = filter.kind === null || filter.kind === kind;
    const byFreshness = filter.freshness === null || filter.freshness === freshness;
    if (byText && byKind) counts.freshness[freshness]++;
    if (byText && byFreshness) counts.kinds[kind]!++;
    const shown = byText && byKind && byFreshness;
    this.motion.setFlag(index, SHOWN, shown);
    return shown;
  }

  private sortById(): void {
    if (this.byId.length === this.size) return;
    for (let index = this.byId.length; index < this.size; index++) this.byId.push(index);
    const keys = this.sortKeys;
    this.byId.sort((a, b) => (keys[a]! < keys[b]! ? -1 : keys[a]! > keys[b]! ? 1 : a - b));
  }
}

function matches(filter: Filter, searchKey: string, index: number, motion: Motion): boolean {
  if (filter.kind !== null && filter.kind !== motion.kind(index)) return false;
  if (filter.freshness !== null && filter.freshness !== LIVE) return false;
  return searchKey.includes(filter.text.trim().toLowerCase());
}

/** Sorts `van-9` before `van-10` with plain string comparison (a collator takes ten times as long). */
function naturalKey(id: string): string {
  return id.toLowerCase().replace(/\d+/g, (digits) => digits.padStart(12, '0'));
}

function sameRows(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((index, at) => index === b[at]);
}
