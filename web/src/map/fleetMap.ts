// The map of the fleet without React: base map, trails, markers, camera. Lives as long as the page.

import 'maplibre-gl/dist/maplibre-gl.css';
import {
  AttributionControl,
  LngLatBounds,
  Map as MapLibre,
  type PaddingOptions,
  ScaleControl,
  setWorkerUrl,
} from 'maplibre-gl';
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?url';
import { type Bounds, boundsOf } from '../history/drawing';
import { momentNear } from '../history/nearest';
import type { HistoryStore, ShownDay } from '../history/store';
import { indexAt } from '../history/track';
import type { ViewPlace } from '../link';
import { toLatitude, X_UNITS, xStep } from '../live/mercator';
import { HAS_PLACE, SHOWN } from '../live/motion';
import { Slice } from '../live/slice';
import type { FleetStore } from '../live/store';
import { keyOf } from '../live/wire';
import { PALETTES, type Scheme } from '../theme';
import { basemap } from './basemap';
import { DayTrailLayer } from './dayTrail';
import { type Frames, Markers } from './markers';
import { ReplayMarker } from './replayMarker';
import { openStreets } from './streets';
import { TrailLayer } from './trail';
import { loadWorld, showWorld, type World } from './world';

setWorkerUrl(workerUrl);

const STREETS_FILE = new URL('map/porto.pmtiles', document.baseURI).href;
const WORLD_FILE = new URL('map/world.json', document.baseURI).href;
const CLOSE_ZOOM = 15;
const TELL_APART_ZOOM = 11;
const FIT_PADDING = 56;
const FIT_MS = 500;
const EDGE_PX = 40;
/** How near to a trail a click means it. */
const TRAIL_REACH_PX = 14;
/** About ten centimetres: nearer than this the camera rests. */
const FOLLOW_DEGREES = 1e-6;

export interface Hover {
  key: string;
  x: number;
  y: number;
}

export class FleetMap {
  readonly frames = new Slice<Frames>({ fps: 0, ms: 0 });
  readonly hover = new Slice<Hover | null>(null);
  readonly trailPoints = new Slice(0);
  /** Streets and names are on the screen for the first time. */
  readonly drawn = new Slice(false);
  onView: ((view: ViewPlace) => void) | null = null;

  private map: MapLibre;
  private markers: Markers;
  private trail: TrailLayer;
  private dayTrail: DayTrailLayer;
  private replayMarker: ReplayMarker;
  private world: World | null = null;
  private padding: PaddingOptions = { left: 0, right: 0, top: 0, bottom: 0 };
  private unsubscribe: (() => void)[];
  private lastPick = 0;
  /** What the map is moving to show. */
  private goal: Bounds | null = null;
  /** The day that was brought into view last. */
  private fitted: string | null = null;
  /** The address says what to see of its day: that does not move the map. */
  private keepView: boolean;

  constructor(
    container: HTMLElement,
    private readonly store: FleetStore,
    private readonly history: HistoryStore,
    private scheme: Scheme,
    view: ViewPlace | null,
  ) {
    this.keepView = view !== null;
    this.map = new MapLibre({
      container,
      style: basemap(scheme, openStreets(STREETS_FILE)),
      center: view ? [view.longitude, view.latitude] : [5, 25],
      zoom: view?.zoom ?? 1.6,
      minZoom: 0.8,
      maxZoom: 19.5,
      attributionControl: false,
      maxPitch: 60,
      fadeDuration: 120,
      canvasContextAttributes: { antialias: false },
    });
    const { map } = this;
    map.addControl(new AttributionControl({ compact: true }), 'bottom-right');
    map.addControl(new ScaleControl({ maxWidth: 90 }), 'bottom-right');
    map.keyboard.disableRotation();
    this.markers = new Markers(map, store, PALETTES[scheme]);
    this.trail = new TrailLayer(map, store, this.trailPoints.set);
    this.dayTrail = new DayTrailLayer(map);
    this.replayMarker = new ReplayMarker(map, history.replay);
    this.markers.onTick = () => this.tick();
    this.markers.onFrames = (frames) => this.frames.set(frames);
    map.on('style.load', () => this.completeStyle());
    map.once('idle', () => this.drawn.set(true));
    map.on('moveend', () => this.publishView());
    map.on('dragstart', () => {
      store.following.set(false);
      history.replay.following.set(false);
    });
    map.on('click', ({ point }) => this.click(point.x, point.y));
    map.on('mousemove', ({ point }) => this.pointAt(point.x, point.y));
    map.on('mouseout', () => this.pointAt(Number.NaN, Number.NaN));
    this.unsubscribe = [store.selected, store.rows, store.following].map((slice) =>
      slice.subscribe(() => this.markers.repaint()),
    );
    this.unsubscribe.push(
      store.following.subscribe(() => this.approach()),
      history.view.subscribe(() => this.showDay()),
      history.replay.on.subscribe(() => this.dim()),
    );
    this.showDay();
    this.dim();
    void loadWorld(WORLD_FILE).then((world) => {
      this.world = world;
      if (map.getSource('world')) showWorld(map, world);
    });
  }

  setScheme(scheme: Scheme): void {
    this.scheme = scheme;
    this.map.setStyle(basemap(scheme, openStreets(STREETS_FILE)), { diff: false });
    this.markers.setPalette(PALETTES[scheme]);
  }

  /** The part of the map that panels cover. */
  setPadding(padding: PaddingOptions): void {
    if (JSON.stringify(padding) === JSON.stringify(this.padding)) return;
    this.padding = padding;
    const { goal } = this;
    if (!goal) return void this.map.easeTo({ padding, duration: 200 });
    // On the way to somewhere: goes there, not to where it happens to be.
    this.fitBounds(goal);
  }

  jump(view: ViewPlace): void {
    // Each move of the camera ends the one before, so each says what is covered: else the first one after the panels
    // changed would leave it as it was.
    this.map.jumpTo({ center: [view.longitude, view.latitude], zoom: view.zoom, padding: this.padding });
  }

  zoomBy(step: number): void {
    this.map.easeTo({ zoom: this.map.getZoom() + step, padding: this.padding, duration: 220 });
  }

  /** Brings the asset into view; nearer only if it is far away. */
  show(index: number): void {
    if (!this.store.motion.hasFlag(index, HAS_PLACE)) return;
    const zoom = Math.max(this.map.getZoom(), CLOSE_ZOOM);
    this.map.easeTo({ center: this.markers.place(index), zoom, padding: this.padding, duration: 500 });
  }

  /** Moves only if the asset is out of sight or too small to tell apart. */
  reveal(index: number): void {
    if (!this.store.motion.hasFlag(index, HAS_PLACE)) return;
    const { left = 0, right = 0, top = 0, bottom = 0 } = this.padding;
    const { clientWidth, clientHeight } = this.map.getContainer();
    const { x, y } = this.map.project(this.markers.place(index));
    const inside =
      x > left + EDGE_PX &&
      x < clientWidth - right - EDGE_PX &&
      y > top + EDGE_PX &&
      y < clientHeight - bottom - EDGE_PX;
    if (!inside || this.map.getZoom() < TELL_APART_ZOOM) this.show(index);
  }

  /** Shows the whole trail of the day, or what of it lies between two times. */
  fitDay(start = Number.NEGATIVE_INFINITY, end = Number.POSITIVE_INFINITY): void {
    const view = this.history.view.get();
    if (view.phase !== 'ready') return;
    const { track } = view.shown;
    const first = Math.max(indexAt(track, start - 1) + 1, 0);
    const last = Math.min(Math.max(indexAt(track, end), first), track.length - 1);
    this.history.replay.following.set(false);
    this.fitBounds(boundsOf(track, Math.min(first, last), last));
  }

  /** Shows every asset that the filter lets through. */
  fit(): boolean {
    const { motion } = this.store;
    const now = this.store.now();
    let first: number | undefined;
    let [west, east, north, south] = [0, 0, Number.POSITIVE_INFINITY, 0];
    for (let index = 0; index < motion.count; index++) {
      if (!motion.hasFlag(index, HAS_PLACE | SHOWN)) continue;
      const [x, y] = motion.place(index, now);
      first ??= x;
      const step = xStep(first, x);
      [west, east] = [Math.min(west, step), Math.max(east, step)];
      [north, south] = [Math.min(north, y), Math.max(south, y)];
    }
    if (first === undefined) return false;
    this.store.following.set(false);
    const longitude = (x: number) => (x / X_UNITS) * 360 - 180;
    this.fitBounds([longitude(first + west), toLatitude(south), longitude(first + east), toLatitude(north)]);
    return true;
  }

  private fitBounds(bounds: Bounds): void {
    const box = new LngLatBounds(bounds);
    this.map.setPadding(this.padding);
    this.map.fitBounds(box, { padding: FIT_PADDING, maxZoom: CLOSE_ZOOM, duration: FIT_MS });
    this.goal = bounds;
    this.map.once('moveend', () => {
      if (this.goal === bounds) this.goal = null;
    });
  }

  destroy(): void {
    this.replayMarker.remove();
    for (const stop of this.unsubscribe) stop();
    this.markers.destroy();
    this.map.remove();
  }

  private tick(): void {
    this.trail.update();
    this.replayMarker.update();
    if (this.history.replay.on.get()) return;
    if (!this.store.following.get() || this.map.isMoving()) return;
    const key = this.store.selected.get();
    const index = key === null ? undefined : this.store.find(key);
    if (index === undefined || !this.store.motion.hasFlag(index, HAS_PLACE)) return;
    const [longitude, latitude] = this.markers.place(index);
    const { lng, lat } = this.map.getCenter();
    const away = Math.max(Math.abs(longitude - lng), Math.abs(latitude - lat));
    if (away > FOLLOW_DEGREES) this.map.jumpTo({ center: [longitude, latitude] });
  }

  /** Following starts with a glide to the asset, not with a jump. */
  private approach(): void {
    const key = this.store.selected.get();
    const index = key === null ? undefined : this.store.find(key);
    if (index !== undefined && this.store.following.get()) this.show(index);
  }

  /** A new style knows nothing of what was added to the one before. */
  private completeStyle(): void {
    this.map.addLayer(this.markers.camera);
    this.trail.forget();
    this.dayTrail.complete(this.scheme);
    if (this.world) showWorld(this.map, this.world);
  }

  /** A day is drawn as long as it is shown, and brought into view when it is new. */
  private showDay(): void {
    const view = this.history.view.get();
    const shown = view.phase === 'ready' ? view.shown : null;
    const name = shown && `${shown.key} ${shown.day}`;
    this.trail.hidden = view.phase !== 'closed';
    if (view.phase === 'closed') this.keepView = false;
    this.dayTrail.show(shown);
    if (name !== null && name !== this.fitted) {
      if (!this.keepView) this.fitDay();
      this.keepView = false;
    }
    this.fitted = name;
  }

  /** What is live stays in sight while the past is shown, but pale. */
  private dim(): void {
    const replaying = this.history.replay.on.get();
    this.markers.setDimmed(replaying);
    if (replaying) this.store.following.set(false);
  }

  /** On a day's trail: the moment there. On a marker: that asset. Elsewhere: nothing selected, or the day stays. */
  private click(x: number, y: number): void {
    const index = this.markers.pick(x, y);
    const view = this.history.view.get();
    if (index === undefined && view.phase !== 'closed') {
      if (view.phase === 'ready') this.seekAt(view.shown, x, y);
      return;
    }
    this.store.select(index === undefined ? null : keyOf(this.store.asset(index)));
  }

  private seekAt({ track, gaps }: ShownDay, x: number, y: number): void {
    const { lng, lat } = this.map.unproject([x, y]);
    const across = this.map.unproject([x + TRAIL_REACH_PX, y]);
    const up = this.map.unproject([x, y - TRAIL_REACH_PX]);
    const reach = {
      longitude: lng,
      latitude: lat,
      east: Math.hypot(across.lng - lng, up.lng - lng),
      north: Math.hypot(across.lat - lat, up.lat - lat),
    };
    const time = momentNear(track, gaps, reach);
    if (time !== null) this.history.replay.seek(time);
  }

  private pointAt(x: number, y: number): void {
    const now = performance.now();
    if (now - this.lastPick < 40 && !Number.isNaN(x)) return;
    this.lastPick = now;
    const index = Number.isNaN(x) || this.map.isMoving() ? undefined : this.markers.pick(x, y, 9);
    if (index !== this.markers.hovered) {
      this.markers.hovered = index;
      this.markers.repaint();
      this.map.getCanvas().style.cursor = index === undefined ? '' : 'pointer';
    }
    this.hover.set(index === undefined ? null : { key: keyOf(this.store.asset(index)), x, y });
  }

  private publishView(): void {
    const { lng, lat } = this.map.getCenter();
    this.onView?.({ latitude: lat, longitude: lng, zoom: this.map.getZoom() });
  }
}
