// Which page the address names: `#/account`, `#/admin/users`; everything else is the map's, see `link.ts`.

import { useSyncExternalStore } from 'react';
import { SECTIONS, type Section } from './may';

export type Page = { name: 'map' } | { name: 'account' } | { name: 'admin'; section: Section | null };

const PLACE = 'drover.place';
let mapPlace = '#';

/** True if the address names a page instead of a place on the map. */
export function isPage(hash: string): boolean {
  return hash.startsWith('#/');
}

export function readPage(hash: string): Page {
  const [name, section] = hash.slice(2).split('/');
  if (!isPage(hash) || (name !== 'account' && name !== 'admin')) return { name: 'map' };
  if (name === 'account') return { name };
  return { name, section: SECTIONS.find((known) => known === section) ?? null };
}

export function pageAddress(page: Exclude<Page, { name: 'map' }>): string {
  return page.name === 'admin' && page.section ? `#/admin/${page.section}` : `#/${page.name}`;
}

/** Where the map was left. */
export function mapAddress(): string {
  return mapPlace;
}

export function startRoutes(): void {
  addEventListener('hashchange', ({ oldURL }) => {
    const { hash } = new URL(oldURL);
    if (!isPage(hash)) mapPlace = hash || '#';
  });
}

/** Before the page is left for another origin. */
export function keepPlace(): void {
  sessionStorage.setItem(PLACE, location.hash);
}

/** Back where it was left, once. */
export function restorePlace(): void {
  const place = sessionStorage.getItem(PLACE);
  sessionStorage.removeItem(PLACE);
  if (place && location.hash.length < 2) location.replace(place);
}

export function useHash(): string {
  return useSyncExternalStore(
    (changed) => {
      addEventListener('hashchange', changed);
      return () => removeEventListener('hashchange', changed);
    },
    () => location.hash,
  );
}
