// The layer of the selected asset's trail. Ends where the marker is shown, not where its newest fix is.

import type { GeoJSONSource, Map as MapLibre } from 'maplibre-gl';
import { toLatitude, X_UNITS, xStep } from '../live/mercator';
import type { FleetStore } from '../live/store';

const UPDATE_MS = 200;

interface Shown {
  asset: number | undefined;
  at: number;
  points: number;
  end: string;
}

const NOTHING_SHOWN: Shown = { asset: undefined, at: 0, points: 0, end: '' };

export class TrailLayer {
  /** While a day of history is drawn, which may be today. */
  hidden = false;
  private shown: Shown = NOTHING_SHOWN;

  constructor(
    private readonly map: MapLibre,
    private readonly store: FleetStore,
    private readonly onLength: (points: number) => void,
  ) {}

  /** Called every frame; redraws a few times a second while the trail grows. */
  update(now = performance.now()): void {
    const key = this.hidden ? null : this.store.selected.get();
    const asset = key === null ? undefined : this.store.find(key);
    const changed = asset !== this.shown.asset;
    if (!changed && (asset === undefined || now - this.shown.at < UPDATE_MS)) return;
    const source = this.map.getSource<GeoJSONSource>('trail');
    if (!source) return;
    const line = asset === undefined ? [] : this.line(asset);
    const end = String(line.at(-1));
    if (!changed && end === this.shown.end && line.length === this.shown.points) {
      this.shown = { ...this.shown, at: now };
      return;
    }
    source.setData({ type: 'Feature', properties: {}, geometry: { type: 'LineString', coordinates: line } });
    if (changed || line.length !== this.shown.points) this.onLength(line.length);
    this.shown = { asset, at: now, points: line.length, end };
  }

  /** After a change of style the source is empty again. */
  forget(): void {
    this.shown = NOTHING_SHOWN;
  }

  /** Oldest first. Longitudes run on past 180° where the trail does, so that no line crosses the whole map. */
  private line(asset: number): [number, number][] {
    const points = this.store.trails.read(asset);
    if (points.length < 2) return [];
    // The newest point is where the marker glides to; the line ends where the marker is.
    points[0] = this.store.motion.place(asset, this.store.now());
    const line: [number, number][] = [];
    let at = points.at(-1)![0];
    for (let point = points.length - 1; point >= 0; point--) {
      const [x, y] = points[point]!;
      at += xStep(at >>> 0, x);
      line.push([(at / X_UNITS) * 360 - 180, toLatitude(y)]);
    }
    return line;
  }
}
