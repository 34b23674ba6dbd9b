// The page's one store and one socket, and the small clocks that keep them honest.

import { readLink } from '../link';
import { Slice } from './slice';
import { LiveSocket } from './socket';
import { FleetStore } from './store';
import type { Info } from './wire';

export const store = new FleetStore();
export const socket = new LiveSocket(store);
export const info = new Slice<Info | null>(null);

const REFRESH_MS = 1_000;

export function start(): void {
  store.select(readLink(location.hash).key);
  socket.connect();
  void fetchInfo();
  setInterval(() => {
    store.refresh();
    void socket.checkQuiet();
  }, REFRESH_MS);
  addEventListener('offline', () => socket.networkGone());
  addEventListener('online', () => socket.reconnect());
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) socket.reconnect();
  });
}

async function fetchInfo(): Promise<void> {
  try {
    const answer = await fetch('/api/v1/info');
    if (answer.ok) info.set((await answer.json()) as Info);
  } catch {
    // The socket says what is wrong; the page works without.
  }
}
