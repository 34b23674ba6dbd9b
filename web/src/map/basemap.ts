// The base map's style, light and dark: the world's outline everywhere, streets where the tile file has them.
// Everything comes from the node itself; letters are drawn in the browser from the page's own font.

import type { FeatureCollection } from 'geojson';
import type { FilterSpecification, LayerSpecification, StyleSpecification } from 'maplibre-gl';
import type { Scheme } from '../theme';

interface Paper {
  water: string;
  land: string;
  border: string;
  country: string;
  casing: string;
  street: string;
  main: string;
  motorway: string;
  path: string;
  rail: string;
  name: string;
  nameHalo: string;
  trail: string;
}

const PAPERS: Record<Scheme, Paper> = {
  light: {
    water: '#cfdde3',
    land: '#e8ebe6',
    border: '#c3cbc8',
    country: '#8a9699',
    casing: '#d0d6d2',
    street: '#ffffff',
    main: '#ffffff',
    motorway: '#f8e2b4',
    path: '#d6dad3',
    rail: '#d3d3d6',
    name: '#66717a',
    nameHalo: '#f5f6f4',
    trail: '#0b6bcb',
  },
  dark: {
    water: '#0c1117',
    land: '#171c22',
    border: '#2f3943',
    country: '#66727f',
    casing: '#12161b',
    street: '#262d36',
    main: '#323b46',
    motorway: '#4a4436',
    path: '#20262d',
    rail: '#252b33',
    name: '#8794a1',
    nameHalo: '#12171c',
    trail: '#58b0ff',
  },
};

const STREETS = 'streets';
const MEDIUM = ['Drover Sans Medium'];
const BOLD = ['Drover Sans Semibold'];

type Filter = FilterSpecification;

function classes(...names: string[]): Filter {
  return ['in', ['get', 'class'], ['literal', names]];
}

/** Line width in pixels at zooms 6, 11, 14 and 18; between them it grows evenly to the eye. */
function width(z6: number, z11: number, z14: number, z18: number) {
  return ['interpolate', ['exponential', 1.5], ['zoom'], 6, z6, 11, z11, 14, z14, 18, z18] as const;
}

function road(
  id: string,
  filter: Filter,
  minzoom: number,
  colour: string,
  lineWidth: ReturnType<typeof width>,
): LayerSpecification {
  return {
    id,
    type: 'line',
    source: STREETS,
    'source-layer': 'transportation',
    minzoom,
    filter,
    layout: { 'line-cap': 'round', 'line-join': 'round' },
    paint: { 'line-color': colour, 'line-width': lineWidth as never },
  };
}

function roads(paper: Paper): LayerSpecification[] {
  const minor = classes('minor', 'service');
  const middle = classes('tertiary', 'secondary');
  const main = classes('primary', 'trunk');
  const motorway = classes('motorway');
  return [
    road('path', classes('path', 'track'), 14.5, paper.path, width(0, 0, 0.6, 2.5)),
    road('rail', classes('rail', 'transit'), 12, paper.rail, width(0, 0.5, 1, 2)),
    road('minor-casing', minor, 13, paper.casing, width(0, 0, 2.6, 17)),
    road('middle-casing', middle, 11, paper.casing, width(0, 1.8, 5.2, 23)),
    road('main-casing', main, 9, paper.casing, width(0, 3, 7.2, 28)),
    road('motorway-casing', motorway, 7, paper.casing, width(1, 3.6, 8.2, 30)),
    road('minor', minor, 13, paper.street, width(0, 0, 1.6, 14)),
    road('middle', middle, 10, paper.street, width(0, 1, 3.8, 20)),
    road('main', main, 8, paper.main, width(0.4, 1.9, 5.4, 24)),
    road('motorway', motorway, 6, paper.motorway, width(0.6, 2.2, 6, 26)),
  ];
}

function roadName(id: string, filter: Filter, minzoom: number, paper: Paper, size: number): LayerSpecification {
  return {
    id,
    type: 'symbol',
    source: STREETS,
    'source-layer': 'transportation_name',
    minzoom,
    filter,
    layout: {
      'symbol-placement': 'line',
      'symbol-spacing': 320,
      'text-field': ['coalesce', ['get', 'name:latin'], ['get', 'ref'], ''],
      'text-font': MEDIUM,
      'text-size': ['interpolate', ['linear'], ['zoom'], 12, size, 18, size + 3],
      'text-padding': 8,
      'text-max-angle': 30,
    },
    paint: { 'text-color': paper.name, 'text-halo-color': paper.nameHalo, 'text-halo-width': 1.4 },
  };
}

/** The trail of the selected asset; `trail.ts` fills the source. */
function trail(paper: Paper, scheme: Scheme): LayerSpecification[] {
  const casing = scheme === 'light' ? '#ffffff' : '#0d1218';
  const layout = { 'line-cap': 'round', 'line-join': 'round' } as const;
  return [
    {
      id: 'trail-casing',
      type: 'line',
      source: 'trail',
      layout,
      paint: { 'line-color': casing, 'line-width': 7, 'line-opacity': 0.85 },
    },
    {
      id: 'trail',
      type: 'line',
      source: 'trail',
      layout,
      paint: {
        'line-width': 3.6,
        'line-gradient': ['interpolate', ['linear'], ['line-progress'], 0, `${paper.trail}55`, 0.6, paper.trail],
      },
    },
  ];
}

const NOTHING: FeatureCollection = { type: 'FeatureCollection', features: [] };

export function basemap(scheme: Scheme, streetsUrl: string): StyleSpecification {
  const paper = PAPERS[scheme];
  return {
    version: 8,
    sources: {
      world: { type: 'geojson', data: NOTHING, attribution: 'Natural Earth' },
      borders: { type: 'geojson', data: NOTHING },
      labels: { type: 'geojson', data: NOTHING },
      trail: { type: 'geojson', data: NOTHING, lineMetrics: true, tolerance: 0.1 },
      [STREETS]: {
        type: 'vector',
        url: streetsUrl,
        attribution:
          '© <a href="https://www.openstreetmap.org/copyright" target="_blank">OpenStreetMap contributors</a> (ODbL)',
      },
    },
    layers: [
      {
        id: 'water',
        type: 'background',
        // The outline is too coarse for a city: near the ground the paper is land.
        paint: { 'background-color': ['interpolate', ['linear'], ['zoom'], 8, paper.water, 9.5, paper.land] },
      },
      { id: 'land', type: 'fill', source: 'world', maxzoom: 10, paint: { 'fill-color': paper.land } },
      {
        id: 'borders',
        type: 'line',
        source: 'borders',
        maxzoom: 10,
        paint: { 'line-color': paper.border, 'line-width': ['interpolate', ['linear'], ['zoom'], 1, 0.5, 8, 1.4] },
      },
      ...roads(paper),
      ...trail(paper, scheme),
      roadName('minor-name', classes('minor', 'service', 'tertiary'), 14.5, paper, 11),
      roadName('main-name', classes('secondary', 'primary', 'trunk'), 12.5, paper, 11.5),
      roadName('motorway-name', classes('motorway'), 11, paper, 11),
      {
        id: 'place-name',
        type: 'symbol',
        source: STREETS,
        'source-layer': 'place',
        minzoom: 9,
        layout: {
          'text-field': ['get', 'name:latin'],
          'text-font': BOLD,
          'text-size': 13,
          'text-letter-spacing': 0.02,
        },
        paint: { 'text-color': paper.name, 'text-halo-color': paper.nameHalo, 'text-halo-width': 1.6 },
      },
      {
        id: 'country-name',
        type: 'symbol',
        source: 'labels',
        maxzoom: 7,
        layout: {
          'text-field': ['get', 'name'],
          'text-font': MEDIUM,
          'text-size': ['interpolate', ['linear'], ['zoom'], 1, 10, 6, 16],
          'text-letter-spacing': 0.06,
          'text-max-width': 7,
          'symbol-sort-key': ['get', 'rank'],
          'text-padding': 6,
        },
        paint: { 'text-color': paper.country, 'text-halo-color': paper.land, 'text-halo-width': 1.2 },
      },
    ],
  };
}
