// The outline of the world (Natural Earth, 1:50m) from one TopoJSON file, fetched after the page is up.

import type { FeatureCollection, MultiPolygon, Polygon, Position } from 'geojson';
import type { GeoJSONSource, Map as MapLibre } from 'maplibre-gl';
import { feature, mesh } from 'topojson-client';
import type { GeometryCollection, Topology } from 'topojson-specification';

type Countries = Topology<{ countries: GeometryCollection<{ name: string }> }>;

export interface World {
  land: FeatureCollection;
  borders: FeatureCollection;
  labels: FeatureCollection;
}

export async function loadWorld(url: string): Promise<World> {
  const topology = (await (await fetch(url)).json()) as Countries;
  const { countries } = topology.objects;
  const land = feature(topology, countries) as FeatureCollection<Polygon | MultiPolygon, { name: string }>;
  for (const { geometry } of land.features) {
    const parts = geometry.type === 'Polygon' ? [geometry.coordinates] : geometry.coordinates;
    for (const part of parts) part.splice(0, part.length, ...part.map(unwrap).map(closeOverPole));
  }
  const lines = mesh(topology, countries, (a, b) => a !== b);
  lines.coordinates = lines.coordinates.map(unwrap);
  return {
    land,
    borders: { type: 'FeatureCollection', features: [{ type: 'Feature', properties: {}, geometry: lines }] },
    labels: { type: 'FeatureCollection', features: land.features.map(label) },
  };
}

export function showWorld(map: MapLibre, world: World): void {
  map.getSource<GeoJSONSource>('world')?.setData(world.land);
  map.getSource<GeoJSONSource>('borders')?.setData(world.borders);
  map.getSource<GeoJSONSource>('labels')?.setData(world.labels);
}

/** Lets longitudes run on past 180°; a line that jumps from 180° to -180° would be drawn across the whole map. */
export function unwrap(line: Position[]): Position[] {
  let turns = 0;
  return line.map(([longitude = 0, latitude = 0], at) => {
    const step = at === 0 ? 0 : longitude - (line[at - 1]![0] ?? 0);
    if (step > 180) turns -= 360;
    if (step < -180) turns += 360;
    return [longitude + turns, latitude];
  });
}

/** A ring that ends a whole turn from its beginning goes round a pole (Antarctica): it is closed below the map. */
export function closeOverPole(ring: Position[]): Position[] {
  const [first, last] = [ring[0], ring.at(-1)];
  if (!first || !last || Math.abs(last[0]! - first[0]!) < 180) return ring;
  const pole = last[1]! < 0 ? -90 : 90;
  return [...ring, [last[0]!, pole], [first[0]!, pole], first];
}

/** A country's name, put into the middle of its largest part. */
function label(country: FeatureCollection<Polygon | MultiPolygon, { name: string }>['features'][number]) {
  const { geometry } = country;
  const parts = geometry.type === 'Polygon' ? [geometry.coordinates] : geometry.coordinates;
  let best = { area: -1, middle: [0, 0] as Position };
  for (const part of parts) {
    const measured = centroid(part[0] ?? []);
    if (measured.area > best.area) best = measured;
  }
  return {
    type: 'Feature' as const,
    properties: { name: country.properties.name, rank: -best.area },
    geometry: { type: 'Point' as const, coordinates: best.middle },
  };
}

function centroid(ring: Position[]): { area: number; middle: Position } {
  let [area, x, y] = [0, 0, 0];
  for (let at = 1; at < ring.length; at++) {
    const [ax, ay] = ring[at - 1] as [number, number];
    const [bx, by] = ring[at] as [number, number];
    const cross = ax * by - bx * ay;
    area += cross;
    x += (ax + bx) * cross;
    y += (ay + by) * cross;
  }
  return { area: Math.abs(area / 2), middle: area === 0 ? (ring[0] ?? [0, 0]) : [x / (3 * area), y / (3 * area)] };
}
