// The marker of a replay and the camera that keeps it in sight. One element that moves over the map: no source and no
// canvas is touched while time runs.

import { type Map as MapLibre, Marker } from 'maplibre-gl';
import type { Replay } from '../history/replay';
import type { Moment } from '../history/track';

/** Nearer than this the camera rests, degrees. */
const FOLLOW_DEGREES = 1e-6;
/** Readers who want less motion see a still map until the marker is this near to its edge, part of its size. */
const STILL_EDGE = 0.2;

export class ReplayMarker {
  private marker: Marker | null = null;
  private shown = '';
  private lessMotion = matchMedia('(prefers-reduced-motion: reduce)');

  constructor(
    private readonly map: MapLibre,
    private readonly replay: Replay,
  ) {}

  /** Called every frame; on return the marker is where the asset was at the time of the replay, or gone. */
  update(): void {
    const moment = this.replay.moment(!this.lessMotion.matches);
    if (!moment) return this.remove();
    this.marker ??= new Marker({ element: element(), rotationAlignment: 'map', subpixelPositioning: true })
      .setLngLat([moment.longitude, moment.latitude])
      .addTo(this.map);
    const now = `${moment.longitude} ${moment.latitude} ${moment.heading} ${moment.gap !== null}`;
    if (now !== this.shown) {
      this.shown = now;
      this.place(this.marker, moment);
    }
    if (this.replay.following.get()) this.follow(moment);
  }

  remove(): void {
    this.marker?.remove();
    this.marker = null;
    this.shown = '';
  }

  private place(marker: Marker, moment: Moment): void {
    marker.setLngLat([moment.longitude, moment.latitude]).setRotation(moment.heading ?? 0);
    const { dataset } = marker.getElement();
    dataset.headed = String(moment.heading !== null);
    dataset.gap = String(moment.gap !== null);
    dataset.longitude = moment.longitude.toFixed(6);
    dataset.latitude = moment.latitude.toFixed(6);
  }

  private follow({ longitude, latitude }: Moment): void {
    const { map } = this;
    if (map.isMoving()) return;
    const { lng, lat } = map.getCenter();
    const away = Math.max(Math.abs(longitude - lng), Math.abs(latitude - lat));
    if (away < FOLLOW_DEGREES) return;
    if (this.lessMotion.matches && this.wellInside(longitude, latitude)) return;
    map.jumpTo({ center: [longitude, latitude] });
  }

  private wellInside(longitude: number, latitude: number): boolean {
    const { left = 0, right = 0, top = 0, bottom = 0 } = this.map.getPadding();
    const { clientWidth, clientHeight } = this.map.getContainer();
    const { x, y } = this.map.project([longitude, latitude]);
    const within = (at: number, from: number, to: number) =>
      at > from + (to - from) * STILL_EDGE && at < to - (to - from) * STILL_EDGE;
    return within(x, left, clientWidth - right) && within(y, top, clientHeight - bottom);
  }
}

function element(): HTMLElement {
  const marker = document.createElement('div');
  marker.className = 'replay-marker';
  marker.dataset.testid = 'replay-marker';
  marker.setAttribute('aria-hidden', 'true');
  marker.innerHTML =
    '<svg viewBox="-20 -20 40 40"><circle r="13"/><polygon class="headed" points="0,-15 9,9 0,4 -9,9"/><circle class="still" r="5"/></svg>';
  return marker;
}
