// Which page the address names: `#/account`, `#/admin/vehicles?status=idle&page=2`, `#/admin/vehicles/v-1`; everything else
// is the map's, see `link.ts`.

import { useSyncExternalStore } from 'react';
import { SECTIONS, type Section } from './may';

export interface AdminPlace {
  name: 'admin';
  section: Section | null;
  /** One record of the section. */
  id?: string;
  /** What the section's list is asked for. */
  asked?: string;
}
export type Page = { name: 'map' } | { name: 'account' } | AdminPlace;

const PLACE = 'drover.place';
let mapPlace = '#';

/** True if the address names a page instead of a place on the map. */
export function isPage(hash: string): boolean {
  return hash.startsWith('#/');
}

export function readPage(hash: string): Page {
  const [path = '', asked] = hash.slice(2).split('?');
  const [name, section, id] = path.split('/');
  if (!isPage(hash) || (name !== 'account' && name !== 'admin')) return { name: 'map' };
  if (name === 'account') return { name };
  const known = SECTIONS.find((known) => known === section) ?? null;
  return { name, section: known, ...(known && id ? { id: decoded(id) } : {}), ...(known && asked ? { asked } : {}) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function pageAddress(page: Exclude<Page, { name: 'map' }>): string {
  if (page.name !== 'admin' || !page.section) return `#/${page.name}`;
  const { section, id, asked } = page;
  return `#/admin/${section}${id ? `/${encodeURIComponent(id)}` : ''}${asked ? `?${asked}` : ''}`;
}

/** The page of one record. */
export function recordAddress(section: Section, id: string): string {
  return pageAddress({ name: 'admin', section, id });
}

/** Another page without a step back to this one: what a list is asked for changes with each key. */
export function replacePage(page: AdminPlace): void {
  const { hash } = location;
  const next = pageAddress(page);
  if (hash === next) return;
  history.replaceState(null, '', next);
  dispatchEvent(new HashChangeEvent('hashchange', { oldURL: location.href, newURL: location.href }));
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
