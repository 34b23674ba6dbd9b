// The frame of the page: map underneath, panels above it. Wide: list at the left, details at the right.
// Narrow: head at the top, one sheet from the bottom that holds the list or the details.

import { type RefObject, useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { AccountMenu } from './account/AccountMenu';
import { DetailsCard } from './details/DetailsCard';
import { history as past } from './history';
import { Logo } from './icons';
import { usePageKeys } from './keys';
import { readLink, type ViewPlace, writeLink } from './link';
import { FleetList } from './list/FleetList';
import { info, store } from './live';
import { useSlice } from './live/slice';
import { Controls, FrameCounter } from './map/Controls';
import type { FleetMap } from './map/fleetMap';
import { MapView } from './map/MapView';
import { ReplayBanner } from './replay/ReplayBanner';
import { ReplayBar } from './replay/ReplayBar';
import { Sheet, type Stop, sheetHeight } from './Sheet';
import { isPage } from './session/route';
import { ConnectionChip, ConnectionNote } from './status/ConnectionChip';
import { ThemeToggle } from './status/ThemeToggle';
import { strings } from './strings';

const NARROW_PX = 760;
const PANEL_PX = 348;
const DETAILS_PX = 328;
const GAP_PX = 12;
/** Between the cards is room for the replay; on narrower pages it lies under them, see `replay.css`. */
const ROOMY_PX = 1100;
/** Of the replay's bar, which on the phone is in the sheet, and of its banner. */
const REPLAY_PX = { roomy: 116, under: 212 };
const BANNER_PX = 52;
const showsFrames = new URLSearchParams(location.search).has('fps');

export function App() {
  const { width, height } = usePageSize();
  const selected = useSlice(store.selected);
  const replaying = useSlice(past.replay.on);
  const [map, setMap] = useState<FleetMap | null>(null);
  const [stop, setStop] = useState<Stop>('half');
  const search = useRef<HTMLInputElement>(null);
  const narrow = width < NARROW_PX;

  usePageKeys(useCallback(() => search.current?.focus(), []));
  useLink(map);
  useTitle();
  useShowSelected(map);
  // On the phone the replay needs the map; afterwards the sheet is as high as it was.
  useEffect(() => {
    if (!replaying) return;
    let before: Stop = 'half';
    setStop((stop) => {
      before = stop;
      return 'low';
    });
    return () => setStop((stop) => (stop === 'low' ? before : stop));
  }, [replaying]);

  const left = narrow ? 0 : PANEL_PX + GAP_PX;
  const right = narrow || selected === null ? 0 : DETAILS_PX + GAP_PX;
  const credits = narrow ? Math.min(sheetHeight(stop, height), height * 0.5) : 0;
  const roomy = width > ROOMY_PX;
  const bottom = narrow || !replaying ? credits : REPLAY_PX[roomy ? 'roomy' : 'under'];
  const top = (narrow ? 56 : 0) + (replaying && (narrow || roomy) ? BANNER_PX : 0);
  const covered = useMemo(() => ({ left, right, top, bottom, credits }), [left, right, top, bottom, credits]);

  return (
    <>
      <MapView covered={covered} onMap={setMap} />
      {narrow ? (
        <NarrowPanels stop={stop} height={height} onStop={setStop} search={search} selected={selected} map={map} />
      ) : (
        <WidePanels search={search} selected={selected} map={map} />
      )}
      <ReplayBanner />
      {map && (
        <div className="controls" style={narrow ? { right: 8, top: 66 } : { right: GAP_PX, bottom: 44 }}>
          {showsFrames && <FrameCounter map={map} />}
          <Controls map={map} />
        </div>
      )}
    </>
  );
}

interface Panels {
  search: RefObject<HTMLInputElement | null>;
  selected: string | null;
  map: FleetMap | null;
}

function Head() {
  return (
    <header className="head">
      <Logo />
      <h1>{strings.product}</h1>
      <ConnectionChip />
      <ThemeToggle />
      <AccountMenu />
    </header>
  );
}

function WidePanels({ search, selected, map }: Panels) {
  return (
    <>
      <aside className="panel card" aria-label={strings.panel} style={{ width: PANEL_PX }}>
        <Head />
        <ConnectionNote />
        <FleetList search={search} />
        <Keys />
      </aside>
      {selected !== null && (
        <aside className="details card" style={{ width: DETAILS_PX }}>
          <DetailsCard assetKey={selected} map={map} />
        </aside>
      )}
      <div className="replay">
        <ReplayBar />
      </div>
    </>
  );
}

function Keys() {
  const replaying = useSlice(past.replay.on);
  return <footer className="keys quiet">{replaying ? strings.replay.keys : strings.keys}</footer>;
}

function NarrowPanels({
  search,
  selected,
  map,
  stop,
  height,
  onStop,
}: Panels & { stop: Stop; height: number; onStop: (stop: Stop) => void }) {
  return (
    <>
      <div className="top card">
        <Head />
      </div>
      <Sheet stop={stop} page={height} onStop={onStop}>
        <div className="replay">
          <ReplayBar />
        </div>
        <ConnectionNote />
        {selected === null ? <FleetList search={search} /> : <DetailsCard assetKey={selected} map={map} />}
      </Sheet>
    </>
  );
}

/** Keeps the address at what is shown, and follows it when it is changed by hand or by "back". */
function useLink(map: FleetMap | null): void {
  const view = useRef<ViewPlace | null>(readLink(location.hash).view);
  // Who comes from another page may have come by a link.
  useEffect(() => store.select(readLink(location.hash).key), []);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const write = () => {
      timer = undefined;
      if (isPage(location.hash)) return;
      // The moment of the address comes true only once its day is here.
      const waiting = past.view.get().phase === 'loading' ? readLink(location.hash).time : null;
      const time = past.replay.shown.get()?.time ?? waiting;
      const link = { key: store.selected.get(), view: view.current, day: past.day.get(), time };
      history.replaceState(null, '', writeLink(link));
    };
    const soon = () => {
      timer ??= setTimeout(write, past.replay.playing.get() ? 1000 : 300);
    };
    const read = () => {
      if (isPage(location.hash)) return;
      const link = readLink(location.hash);
      store.select(link.key);
      if (link.view) map?.jump(link.view);
    };
    if (map) {
      map.onView = (next) => {
        view.current = next;
        soon();
      };
    }
    const stops = [store.selected, past.day, past.replay.shown].map((slice) => slice.subscribe(soon));
    addEventListener('hashchange', read);
    return () => {
      for (const stop of stops) stop();
      clearTimeout(timer);
      removeEventListener('hashchange', read);
    };
  }, [map]);
}

/** Selected in the list and out of sight: bring it into view. */
function useShowSelected(map: FleetMap | null): void {
  useEffect(() => {
    if (!map) return;
    return store.selected.subscribe(() => {
      const key = store.selected.get();
      const index = key === null ? undefined : store.find(key);
      if (index !== undefined) map.reveal(index);
    });
  }, [map]);
}

function useTitle(): void {
  const selected = useSlice(store.selected);
  const demo = useSlice(info)?.demo;
  useEffect(() => {
    const place = selected?.slice(selected.indexOf('/') + 1) ?? demo?.title;
    document.title = place ? `${place} · ${strings.product}` : strings.product;
  }, [selected, demo]);
}

function usePageSize(): { width: number; height: number } {
  const size = useSyncExternalStore(
    (changed) => {
      addEventListener('resize', changed);
      return () => removeEventListener('resize', changed);
    },
    () => `${innerWidth}x${innerHeight}`,
  );
  const [width = 0, height = 0] = size.split('x').map(Number);
  return { width, height };
}
