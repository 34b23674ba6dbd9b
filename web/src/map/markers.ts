// The layer of moving markers: its own transparent canvas over the map. A moving fleet then repaints its points
// only; the streets below stay as they are until the map itself moves. (Inside the map's canvas every frame of
// every marker would repaint all streets and names.)

import type { CustomLayerInterface, Map as MapLibre } from 'maplibre-gl';
import { toLatitude, toLongitude, toX, toY, X_UNITS, xStep, Y_UNITS } from '../live/mercator';
import { HAS_PLACE, SHOWN } from '../live/motion';
import type { FleetStore } from '../live/store';
import type { Palette } from '../theme';
import { MarkerPainter, markerSize, type View } from './painter';

export interface Frames {
  /** Marker frames in the last second. */
  fps: number;
  /** Script time per frame, ms. */
  ms: number;
}

export class Markers {
  hovered: number | undefined;
  /** Called for every frame of the browser, before the markers are drawn. */
  onTick: (() => void) | null = null;
  onFrames: ((frames: Frames) => void) | null = null;

  private canvas = document.createElement('canvas');
  private gl: WebGL2RenderingContext;
  private painter: MarkerPainter;
  private view: View | null = null;
  private stale = true;
  private frame = 0;
  private drawn = { count: 0, ms: 0, since: performance.now() };

  constructor(
    private readonly map: MapLibre,
    private readonly store: FleetStore,
    private palette: Palette,
  ) {
    this.canvas.className = 'markers';
    map.getCanvasContainer().appendChild(this.canvas);
    const gl = this.canvas.getContext('webgl2', { alpha: true, antialias: false, depth: false, stencil: false });
    if (!gl) throw new Error('WebGL 2 is not available');
    this.gl = gl;
    this.painter = new MarkerPainter(gl);
    this.painter.setPalette(palette);
    this.canvas.addEventListener('webglcontextlost', (event) => event.preventDefault());
    this.canvas.addEventListener('webglcontextrestored', () => {
      this.painter = new MarkerPainter(gl);
      this.painter.setPalette(this.palette);
      this.stale = true;
    });
    this.frame = requestAnimationFrame(this.tick);
  }

  /** Goes into the map's style; draws nothing there, but learns the camera of every map frame and follows at once. */
  readonly camera: CustomLayerInterface = {
    id: 'markers-camera',
    type: 'custom',
    renderingMode: '2d',
    render: (_gl, { defaultProjectionData }) => {
      const { map } = this;
      const centre = map.getCenter();
      this.view = {
        matrix: defaultProjectionData.mainMatrix as unknown as ArrayLike<number>,
        centreX: toX(centre.lng),
        centreY: toY(centre.lat),
        bearing: (map.getBearing() * Math.PI) / 180,
        zoom: map.getZoom(),
        pixelRatio: map.getPixelRatio(),
      };
      this.fitCanvas();
      this.draw();
    },
  };

  /** Pale while the map shows the past. */
  setDimmed(dimmed: boolean): void {
    this.canvas.dataset.dimmed = String(dimmed);
  }

  setPalette(palette: Palette): void {
    this.palette = palette;
    this.painter.setPalette(palette);
    this.stale = true;
  }

  repaint(): void {
    this.stale = true;
  }

  /** The asset drawn nearest to a point of the map, within reach of a finger. */
  pick(x: number, y: number, reach = 14): number | undefined {
    const { motion } = this.store;
    const { view } = this;
    if (!view) return undefined;
    const now = this.store.now();
    const near = Math.max(reach, markerSize(view.zoom) / 2);
    let best: number | undefined;
    let bestDistance = near * near;
    for (let index = 0; index < motion.count; index++) {
      if (!motion.hasFlag(index, SHOWN | HAS_PLACE)) continue;
      const [px, py] = this.project(...motion.place(index, now));
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < bestDistance) [best, bestDistance] = [index, distance];
    }
    return best;
  }

  /** Where the asset is shown now, as longitude and latitude. */
  place(index: number): [number, number] {
    const [x, y] = this.store.motion.place(index, this.store.now());
    return [toLongitude(x), toLatitude(y)];
  }

  destroy(): void {
    cancelAnimationFrame(this.frame);
    this.painter.destroy();
    this.canvas.remove();
  }

  private project(x: number, y: number): [number, number] {
    const { matrix: m, centreX } = this.view!;
    const mx = (centreX + xStep(centreX, x)) / X_UNITS;
    const my = y / Y_UNITS;
    const w = m[3]! * mx + m[7]! * my + m[15]!;
    const { clientWidth, clientHeight } = this.canvas;
    return [
      (((m[0]! * mx + m[4]! * my + m[12]!) / w + 1) / 2) * clientWidth,
      ((1 - (m[1]! * mx + m[5]! * my + m[13]!) / w) / 2) * clientHeight,
    ];
  }

  private tick = (): void => {
    this.frame = requestAnimationFrame(this.tick);
    this.onTick?.();
    const { motion } = this.store;
    const moving = ((motion.restsAt - this.store.now()) | 0) > 0;
    if (!moving && !this.stale && motion.dirty[1] === 0) return this.count(0);
    this.draw();
    // One frame more than the glide takes, so that the last one shows its end.
    this.stale = moving;
  };

  private draw(): void {
    if (!this.view || this.gl.isContextLost()) return;
    const started = performance.now();
    this.stale = false;
    const key = this.store.selected.get();
    const selected = key === null ? undefined : this.store.find(key);
    this.gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    this.gl.clear(this.gl.COLOR_BUFFER_BIT);
    this.painter.draw(this.store.motion, this.view, this.store.now(), selected, this.hovered);
    this.count(performance.now() - started, 1);
  }

  private count(ms: number, frames = 0): void {
    const { drawn } = this;
    drawn.count += frames;
    drawn.ms += ms;
    const span = performance.now() - drawn.since;
    if (span < 1000) return;
    this.onFrames?.({ fps: (drawn.count * 1000) / span, ms: drawn.count ? drawn.ms / drawn.count : 0 });
    this.drawn = { count: 0, ms: 0, since: performance.now() };
  }

  private fitCanvas(): void {
    const { width, height } = this.map.getCanvas();
    if (this.canvas.width === width && this.canvas.height === height) return;
    this.canvas.width = width;
    this.canvas.height = height;
  }
}
