// What the node says on `/api/v1/live` and `/api/v1/info`. The one place that names wire fields;
// to be replaced by the client generated from the OpenAPI file when the node publishes it.

export const KINDS = ['vehicle', 'driver', 'station', 'rider', 'other'] as const;
export type Kind = (typeof KINDS)[number];

export interface Asset {
  kind: string;
  id: string;
  timestamp: string;
  received_at: string;
  position: number;
  latitude?: number;
  longitude?: number;
  /** metres */
  accuracy?: number;
  /** km/h */
  speed?: number;
  /** degrees clockwise from north */
  heading?: number;
  status?: string;
  order_id?: string;
  city?: string;
  battery_pct?: number;
  flags?: string[];
  readings?: Record<string, unknown>;
}

export interface FreshnessLimits {
  live_s: number;
  offline_s: number;
}

export interface ApiError {
  code: string;
  message: string;
  help?: string;
}

export interface Info {
  name: string;
  version: string;
  region: string;
  mode: string;
  server_time: string;
  freshness: FreshnessLimits;
  demo: { title: string; center: [number, number]; zoom: number } | null;
}

export type ServerMessage =
  | { type: 'hello'; server_time: string; freshness: FreshnessLimits; epoch?: string }
  | {
      type: 'snapshot';
      page: number;
      last: boolean;
      resumed?: boolean;
      position: number;
      total: number;
      assets: Asset[];
    }
  | { type: 'changes'; position: number; assets: Asset[] }
  | { type: 'error'; error: ApiError };

export function kindOf(name: string): Kind {
  return (KINDS as readonly string[]).includes(name) ? (name as Kind) : 'other';
}

export function keyOf(asset: { kind: string; id: string }): string {
  return `${asset.kind}/${asset.id}`;
}
