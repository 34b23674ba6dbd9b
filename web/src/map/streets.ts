// Reads the street tiles by HTTP Range; where a proxy takes Range away, fetches the whole file once instead.

import { addProtocol } from 'maplibre-gl';
import { PMTiles, Protocol, type RangeResponse, type Source } from 'pmtiles';

class RangeOrWhole implements Source {
  private whole: Promise<ArrayBuffer> | null = null;

  constructor(private readonly url: string) {}

  getKey(): string {
    return this.url;
  }

  async getBytes(offset: number, length: number, signal?: AbortSignal): Promise<RangeResponse> {
    if (!this.whole) {
      const headers = { range: `bytes=${offset}-${offset + length - 1}` };
      const answer = await fetch(this.url, { headers, signal: signal ?? null });
      if (answer.status === 206) return { data: await answer.arrayBuffer() };
      if (!answer.ok) throw new Error(`${this.url}: ${answer.status}`);
      this.whole = answer.arrayBuffer();
    }
    return { data: (await this.whole).slice(offset, offset + length) };
  }
}

let protocol: Protocol | undefined;

/** Makes the tile file known to MapLibre and returns the address for the style. */
export function openStreets(url: string): string {
  if (!protocol) {
    protocol = new Protocol();
    addProtocol('pmtiles', protocol.tile);
    protocol.add(new PMTiles(new RangeOrWhole(url)));
  }
  return `pmtiles://${url}`;
}
