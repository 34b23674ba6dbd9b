// Mounts the map, joins it to the URL, the theme and the panels, and shows what it could not draw itself.

import { type CSSProperties, useEffect, useRef, useState } from 'react';
import { ago } from '../format';
import { history } from '../history';
import { FreshnessDot } from '../icons';
import { readLink } from '../link';
import { info, socket, store } from '../live';
import { type Slice, useSlice } from '../live/slice';
import { useScheme } from '../scheme';
import { strings } from '../strings';
import { FleetMap, type Hover } from './fleetMap';

export interface Covered {
  left: number;
  right: number;
  top: number;
  bottom: number;
  /** Of `bottom`, what also covers the map's credits in its corner. */
  credits: number;
}

interface Props {
  covered: Covered;
  onMap: (map: FleetMap | null) => void;
}

export function MapView({ covered, onMap }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const [map, setMap] = useState<FleetMap | null>(null);
  const [failed, setFailed] = useState(false);
  const scheme = useScheme();
  const firstScheme = useRef(scheme);

  useEffect(() => {
    let made: FleetMap | null = null;
    try {
      made = new FleetMap(place.current!, store, history, firstScheme.current, readLink(location.hash).view);
      setMap(made);
      onMap(made);
    } catch (error) {
      console.warn(error);
      setFailed(true);
    }
    return () => {
      onMap(null);
      made?.destroy();
    };
  }, [onMap]);

  useEffect(() => {
    if (!map || scheme === firstScheme.current) return;
    firstScheme.current = scheme;
    map.setScheme(scheme);
  }, [map, scheme]);

  useEffect(() => {
    const { left, right, top, bottom } = covered;
    map?.setPadding({ left, right, top, bottom });
  }, [map, covered]);
  useEffect(() => (map ? startCamera(map) : undefined), [map]);

  return (
    <div className="map" data-testid="map" style={{ '--covered-bottom': `${covered.credits}px` } as CSSProperties}>
      <section ref={place} aria-label={strings.map} style={{ position: 'absolute', inset: 0 }} />
      {failed && (
        <div className="card" role="alert" style={{ position: 'absolute', left: '50%', top: '45%', padding: 20 }}>
          {strings.noWebGl}
        </div>
      )}
      {map && <HoverLabel hover={map.hover} />}
      {map && <Drawn drawn={map.drawn} />}
    </div>
  );
}

/** First view: the link's, else the linked day, else the linked asset, else the demo city, else the whole fleet once it is here. */
function startCamera(map: FleetMap): () => void {
  const link = readLink(location.hash);
  if (link.view) return () => {};
  let settled = false;
  const settle = () => {
    if (settled) return;
    const index = link.key === null ? undefined : store.find(link.key);
    const demo = info.get()?.demo;
    if (history.view.get().phase === 'ready') settled = true;
    else if (index !== undefined) {
      map.show(index);
      settled = true;
    } else if (socket.loading.get() === null && link.key === null && !demo && info.get()) settled = map.fit();
  };
  const toDemo = () => {
    const demo = info.get()?.demo;
    if (demo && !settled) map.jump({ longitude: demo.center[0], latitude: demo.center[1], zoom: demo.zoom });
    settle();
  };
  toDemo();
  const stops = [info.subscribe(toDemo), store.rows.subscribe(settle), socket.loading.subscribe(settle)];
  return () => {
    for (const stop of stops) stop();
  };
}

/** For tests: the map has been drawn. */
function Drawn({ drawn }: { drawn: Slice<boolean> }) {
  return <span hidden data-testid="drawn" data-drawn={useSlice(drawn)} />;
}

function HoverLabel({ hover }: { hover: Slice<Hover | null> }) {
  const at = useSlice(hover);
  useSlice(store.clock);
  const index = at ? store.find(at.key) : undefined;
  if (!at || index === undefined) return null;
  const asset = store.asset(index);
  return (
    <div
      className="card numbers"
      style={{
        position: 'absolute',
        left: at.x,
        top: at.y,
        transform: 'translate(-50%, calc(-100% - 16px))',
        padding: '6px 10px',
        borderRadius: 9,
        pointerEvents: 'none',
        whiteSpace: 'nowrap',
      }}
    >
      <strong>{asset.id}</strong>{' '}
      <span className="quiet">
        <FreshnessDot freshness={store.freshnessOf(index)} /> {ago(store.serverNow() - Date.parse(asset.received_at))}
      </span>
    </div>
  );
}
