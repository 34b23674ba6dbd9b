// The day that is shown of the selected asset. Asks the source, publishes slices; draws nothing and knows no address
// bar. Answers that come for a day no longer shown are called off and ignored.

import { Slice } from '../live/slice';
import type { ApiError } from '../live/wire';
import { strings } from '../strings';
import { type HistorySource, Refused } from './client';
import { daysWithReports } from './coverage';
import { type Day, daySpan, type Span } from './days';
import { fileSpans } from './files';
import type { Simplified } from './paging';
import { Replay } from './replay';
import { type Entry, timelineOf, timesOf } from './timeline';
import { gapsOf, type Track, trackOf } from './track';
import type { TripsAnswer } from './wire';

/** A gap where the node does not say what it takes for one. */
const MAX_GAP_S = 900;

export interface ShownDay {
  key: string;
  day: Day;
  track: Track;
  gaps: readonly Span[];
  /** `null` when the node could not tell; the trail is shown all the same. */
  trips: TripsAnswer | null;
  timeline: readonly Entry[];
  /** Reports of the day, also those that were simplified away or have no place. */
  reports: number;
  /** Spans that can be downloaded as one file each; none when not every report is known here. */
  files: readonly Span[];
  simplified: Simplified | null;
  cut: boolean;
}

export type DayView =
  | { phase: 'closed' }
  | { phase: 'loading'; received: number }
  /** `unplaced`: reports there are, but none with a place. */
  | { phase: 'empty'; unplaced: number }
  | { phase: 'error'; problem: ApiError }
  | { phase: 'ready'; shown: ShownDay };

export class HistoryStore {
  /** The day asked for; `null` while history is closed. */
  readonly day = new Slice<Day | null>(null);
  readonly view = new Slice<DayView>({ phase: 'closed' });
  /** Local days with reports of this asset; `null` while unknown. */
  readonly days = new Slice<readonly Day[] | null>(null);
  readonly replay = new Replay();

  private key: string | null = null;
  private control = new AbortController();

  constructor(private readonly source: HistorySource) {}

  /** Shows the day, and its replay standing at `time` when there is one. The same day again only moves the replay. */
  open(key: string, day: Day, time: number | null = null): void {
    const same = key === this.key && day === this.day.get();
    if (same && this.view.get().phase !== 'error') {
      if (time !== null) this.replay.seek(time);
      return;
    }
    if (key !== this.key) this.days.set(null);
    this.key = key;
    this.replay.unload();
    this.day.set(day);
    this.view.set({ phase: 'loading', received: 0 });
    void this.load(key, day, time);
  }

  close(): void {
    this.control.abort();
    this.replay.unload();
    this.key = null;
    this.day.set(null);
    this.days.set(null);
    this.view.set({ phase: 'closed' });
  }

  retry(): void {
    const day = this.day.get();
    if (this.key === null || day === null) return;
    this.view.set({ phase: 'loading', received: 0 });
    void this.load(this.key, day, null);
  }

  /** Reads the day again without hiding what is shown: today grows. */
  refresh(): void {
    const day = this.day.get();
    const { phase } = this.view.get();
    if (this.key !== null && day !== null && (phase === 'ready' || phase === 'empty'))
      void this.load(this.key, day, null);
  }

  /** One step back: out of the replay, then out of history. False when there is nothing to leave. */
  back(): boolean {
    if (this.replay.on.get()) this.replay.exit();
    else if (this.day.get() !== null) this.close();
    else return false;
    return true;
  }

  private async load(key: string, day: Day, time: number | null): Promise<void> {
    this.control.abort();
    const control = new AbortController();
    this.control = control;
    const { signal } = control;
    void this.loadDays(key, signal);
    const quiet = this.view.get().phase !== 'loading';
    try {
      const view = await this.read(key, day, signal, (received) => {
        if (!quiet && !signal.aborted) this.view.set({ phase: 'loading', received });
      });
      if (signal.aborted) return;
      if (view.phase === 'ready') this.replay.load(view.shown.track, view.shown.gaps);
      this.view.set(view);
      if (time !== null) this.replay.seek(time);
    } catch (error) {
      if (!signal.aborted && !quiet) this.view.set({ phase: 'error', problem: problemOf(error) });
    }
  }

  private async read(
    key: string,
    day: Day,
    signal: AbortSignal,
    onProgress: (points: number) => void,
  ): Promise<DayView> {
    const span = daySpan(day);
    const [route, trips] = await Promise.all([
      this.source.route(key, span, signal, onProgress),
      this.source.trips(key, span, signal).catch(() => null),
    ]);
    const track = trackOf(route.points);
    if (track.length === 0) return { phase: 'empty', unplaced: route.points.length };
    const known = route.simplified && trips ? [...trips.trips, ...trips.stops].map(timesOf) : [];
    const gaps = gapsOf(track, (trips?.definition.max_gap_s ?? MAX_GAP_S) * 1000, known);
    const { simplified, cut } = route;
    const timeline = timelineOf(trips, gaps);
    const reports = simplified?.from ?? route.points.length;
    const files = simplified ? [] : fileSpans(route.points, span);
    return { phase: 'ready', shown: { key, day, track, gaps, trips, timeline, reports, files, simplified, cut } };
  }

  /** Without the days the calendar has no marks; everything else works. */
  private async loadDays(key: string, signal: AbortSignal): Promise<void> {
    try {
      const { days } = await this.source.coverage(key, signal);
      if (!signal.aborted) this.days.set(daysWithReports(days));
    } catch {
      // Told by the day itself, which the same node is asked for.
    }
  }
}

function problemOf(error: unknown): ApiError {
  if (error instanceof Refused) return error.problem;
  console.warn(error);
  return { code: 'unreadable', message: strings.history.unreadable };
}
