// What the node says on the routes of history: a route, its trips and stops, the days that have reports.
// Goes, like `live/wire`, when the client is generated from the OpenAPI file.

export interface RoutePoint {
  latitude?: number;
  longitude?: number;
  timestamp: string;
  /** km/h */
  speed?: number;
  /** degrees clockwise from north */
  heading?: number;
}

export interface RoutePage {
  points: RoutePoint[];
  count: number;
  /** Points before simplification; `null` without a tolerance. */
  simplified_from?: number | null;
  next_cursor: string | null;
}

export interface Place {
  latitude: number;
  longitude: number;
}

export interface Trip {
  start_time: string;
  end_time: string;
  start: Place;
  end: Place;
  distance_m: number;
  duration_s: number;
  /** km/h */
  avg_speed: number;
  /** km/h; absent where nobody knows */
  max_speed?: number;
  points: number;
}

export interface Stop extends Place {
  start_time: string;
  end_time: string;
  duration_s: number;
  points: number;
}

export interface TripsAnswer {
  definition: { max_gap_s: number };
  trips: Trip[];
  stops: Stop[];
  summary: { trips: number; stops: number; distance_m: number; driving_s: number; stopped_s: number };
}

/** One UTC day with reports. */
export interface CoverageDay {
  day: string;
  reports: number;
  first: string;
  last: string;
}

export interface CoverageAnswer {
  days: CoverageDay[];
}
