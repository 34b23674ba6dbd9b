// The page's one store and one socket, and the small clocks that keep them honest.

import { Slice } from './slice';
import { LiveSocket } from './socket';
import { FleetStore } from './store';
import type { Info } from './wire';

export const store = new FleetStore();
export const socket = new LiveSocket(store);
export const info = new Slice<Info | null>(null);

const REFRESH_MS = 1_000;

/** Who watches must be allowed to, so that nothing is asked before `resume`. */
let watching = false;

export function start(): void {
  void fetchInfo();
  setInterval(() => {
    store.refresh();
    if (watching) void socket.checkQuiet();
  }, REFRESH_MS);
  const whenWatching = (act: () => void) => () => {
    if (watching) act();
  };
  const reconnect = whenWatching(() => socket.reconnect());
  addEventListener(
    'offline',
    whenWatching(() => socket.networkGone()),
  );
  addEventListener('online', reconnect);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) reconnect();
  });
}

export function resume(): void {
  if (!watching) socket.connect();
  watching = true;
}

/** The picture stands still, and what is here stays. */
export function pause(): void {
  if (watching) socket.close();
  watching = false;
}

async function fetchInfo(): Promise<void> {
  try {
    const answer = await fetch('/api/v1/info');
    if (answer.ok) info.set((await answer.json()) as Info);
  } catch {
    // The socket says what is wrong; the page works without.
  }
}
