// The layer of a day's trail: the way by speed, dashes over gaps, arrows, stops, both ends. The sources are filled
// once per day and style; a replay leaves them alone.

import type { Feature, FeatureCollection } from 'geojson';
import type { GeoJSONSource, LayerSpecification, Map as MapLibre } from 'maplibre-gl';
import { duration, SPEED_STEPS, shortClock } from '../format';
import { drawDay } from '../history/drawing';
import type { ShownDay } from '../history/store';
import { spanOf } from '../history/track';
import { strings } from '../strings';
import { PALETTES, type Palette, type Scheme } from '../theme';

const LINES = 'day-lines';
const MARKS = 'day-marks';
const ARROW = 'day-arrow';
const ARROW_PX = 16;
/** Drawn so many times finer, for dense screens. */
const ARROW_RATIO = 2;
/** The way lies under the names of streets. */
const FIRST_NAME = 'minor-name';
const NOTHING: FeatureCollection = { type: 'FeatureCollection', features: [] };

export class DayTrailLayer {
  private lines = NOTHING;
  private marks = NOTHING;

  constructor(private readonly map: MapLibre) {}

  /** On return the map draws this day, or none. */
  show(shown: ShownDay | null): void {
    const drawing = shown && drawDay(shown.track, shown.gaps, shown.trips?.stops ?? [], SPEED_STEPS);
    this.lines = drawing?.lines ?? NOTHING;
    this.marks = drawing && shown ? labelled(drawing.marks, shown) : NOTHING;
    this.fill();
  }

  /** A new style knows nothing of what was added to the one before. */
  complete(scheme: Scheme): void {
    const { map } = this;
    const palette = PALETTES[scheme];
    map.addSource(LINES, { type: 'geojson', data: NOTHING });
    map.addSource(MARKS, { type: 'geojson', data: NOTHING });
    map.addImage(ARROW, arrow(palette), { pixelRatio: ARROW_RATIO });
    for (const layer of wayLayers(palette)) map.addLayer(layer, FIRST_NAME);
    for (const layer of markLayers(palette)) map.addLayer(layer);
    this.fill();
  }

  private fill(): void {
    this.map.getSource<GeoJSONSource>(LINES)?.setData(this.lines);
    this.map.getSource<GeoJSONSource>(MARKS)?.setData(this.marks);
  }
}

function labelled(marks: FeatureCollection, { track }: ShownDay): FeatureCollection {
  const { start, end } = spanOf(track);
  const label = ({ properties }: Feature) => {
    if (properties?.part === 'stop') return duration(properties.seconds);
    return properties?.part === 'start'
      ? strings.history.start(shortClock(start))
      : strings.history.end(shortClock(end));
  };
  const features = marks.features.map((mark) => ({ ...mark, properties: { ...mark.properties, label: label(mark) } }));
  return { type: 'FeatureCollection', features };
}

const ROUND = { 'line-cap': 'round', 'line-join': 'round' } as const;
const WIDTH = ['interpolate', ['linear'], ['zoom'], 8, 2.4, 14, 4.4, 18, 7] as never;
const CASING_WIDTH = ['interpolate', ['linear'], ['zoom'], 8, 5, 14, 8, 18, 11] as never;

function isPart(part: string) {
  return ['==', ['get', 'part'], part] as never;
}

function wayLayers({ halo, muted, speeds }: Palette): LayerSpecification[] {
  const bySpeed = ['match', ['get', 'step'], ...speeds.slice(1).flatMap((colour, at) => [at + 1, colour]), speeds[0]];
  return [
    {
      id: 'day-gap',
      type: 'line',
      source: LINES,
      filter: isPart('gap'),
      paint: { 'line-color': muted, 'line-width': 2, 'line-dasharray': [1.5, 2.5] },
    },
    {
      id: 'day-casing',
      type: 'line',
      source: LINES,
      filter: isPart('way'),
      layout: ROUND,
      paint: { 'line-color': halo, 'line-width': CASING_WIDTH, 'line-opacity': 0.9 },
    },
    {
      // Under the colours: far out, runs shorter than a pixel are not in the tiles.
      id: 'day-way',
      type: 'line',
      source: LINES,
      filter: isPart('way'),
      layout: ROUND,
      paint: { 'line-color': speeds[1], 'line-width': WIDTH },
    },
    {
      id: 'day-speed',
      type: 'line',
      source: LINES,
      filter: isPart('speed'),
      layout: ROUND,
      paint: { 'line-color': bySpeed as never, 'line-width': WIDTH },
    },
    {
      id: 'day-arrows',
      type: 'symbol',
      source: LINES,
      minzoom: 11,
      filter: isPart('way'),
      layout: {
        'symbol-placement': 'line',
        'symbol-spacing': 90,
        'icon-image': ARROW,
        'icon-size': ['interpolate', ['linear'], ['zoom'], 11, 0.7, 16, 1.1],
        'icon-padding': 0,
        'icon-allow-overlap': true,
        'icon-ignore-placement': true,
      },
    },
  ];
}

function markLayers({ halo, text, muted, surface, accent }: Palette): LayerSpecification[] {
  const labels = { 'text-field': ['get', 'label'], 'text-anchor': 'top', 'text-offset': [0, 0.8] } as const;
  const isEnd = ['in', ['get', 'part'], ['literal', ['start', 'end']]] as never;
  return [
    {
      id: 'day-stops',
      type: 'circle',
      source: MARKS,
      filter: isPart('stop'),
      paint: {
        // Longer stops are bigger: 5 px for minutes, 11 px for a night.
        'circle-radius': ['interpolate', ['linear'], ['ln', ['max', ['get', 'seconds'], 1]], 5, 5, 10.5, 11],
        'circle-color': surface,
        'circle-stroke-color': muted,
        'circle-stroke-width': 2.5,
        'circle-opacity': 0.95,
      },
    },
    {
      id: 'day-ends',
      type: 'circle',
      source: MARKS,
      filter: isEnd,
      paint: {
        'circle-radius': 6.5,
        'circle-color': ['match', ['get', 'part'], 'start', surface, accent],
        'circle-stroke-color': accent,
        'circle-stroke-width': 3,
      },
    },
    {
      id: 'day-labels',
      type: 'symbol',
      source: MARKS,
      layout: {
        ...labels,
        'text-font': ['Drover Sans Semibold'],
        'text-size': 11.5,
        'text-optional': true,
        'symbol-sort-key': ['match', ['get', 'part'], 'stop', ['-', 1e6, ['get', 'seconds']], 0],
      } as never,
      paint: { 'text-color': text, 'text-halo-color': halo, 'text-halo-width': 1.8 },
    },
  ];
}

/** Points to the right, the way that lines run. */
function arrow({ halo, text }: Palette): ImageData {
  const side = ARROW_PX * ARROW_RATIO;
  const canvas = Object.assign(document.createElement('canvas'), { width: side, height: side });
  const pen = canvas.getContext('2d')!;
  const form = new Path2D('M9 7 L25 16 L9 25 L13 16 Z');
  pen.lineWidth = 5;
  pen.lineJoin = 'round';
  pen.strokeStyle = halo;
  pen.stroke(form);
  pen.fillStyle = text;
  pen.fill(form);
  return pen.getImageData(0, 0, side, side);
}
