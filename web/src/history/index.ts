// The page's one history, and what ties it to the selection, the frames of the browser and the passing of today.

import { readLink } from '../link';
import { store } from '../live';
import { isPage } from '../session/route';
import { node } from './client';
import { dayOf } from './days';
import { HistoryStore } from './store';

export const history = new HistoryStore(node);

/** How often today is read again while its asset reports. */
const TODAY_MS = 30_000;

export function startHistory(): void {
  followLink();
  addEventListener('hashchange', followLink);
  store.selected.subscribe(followSelection);
  history.replay.playing.subscribe(runFrames);
  let seen = store.selectedAsset.get();
  setInterval(() => {
    const asset = store.selectedAsset.get();
    if (document.hidden || asset === seen || history.day.get() !== today()) return;
    seen = asset;
    history.refresh();
  }, TODAY_MS);
}

/** Today by the node's clock, on the reader's calendar. */
export function today(): string {
  return dayOf(store.serverNow());
}

/** The day of the address; nothing of it when no asset is named. */
export function followLink(): void {
  if (isPage(location.hash)) return;
  const { key, day, time } = readLink(location.hash);
  if (key !== null && day !== null) history.open(key, day, time);
  else history.close();
}

/** Another asset is shown on the same day. */
function followSelection(): void {
  const key = store.selected.get();
  const day = history.day.get();
  if (day === null) return;
  if (key === null) history.close();
  else history.open(key, day);
}

function runFrames(): void {
  const frame = (now: number) => {
    if (!history.replay.playing.get()) return;
    history.replay.tick(now);
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}
