// The replay of one day: when it is, whether it runs and how fast. Publishes to React a few times a second; the map
// asks for the moment of each frame itself.

import { Slice } from '../live/slice';
import type { Span } from './days';
import { advance, fasterThan, type Playhead, playheadAt, type Rate, reportBeside, slowerThan } from './playback';
import { type Moment, momentAt, spanOf, type Track } from './track';

/** How often what is written follows while it runs, ms. */
const PUBLISH_MS = 100;

export class Replay {
  readonly on = new Slice(false);
  readonly playing = new Slice(false);
  readonly rate = new Slice<Rate>(20);
  /** Whether the map keeps the marker in the middle. */
  readonly following = new Slice(true);
  /** The moment as shown in words; `null` when there is no replay. */
  readonly shown = new Slice<Moment | null>(null);

  private track: Track | null = null;
  private gaps: readonly Span[] = [];
  private head: Playhead = playheadAt(0);
  private tickedAt = 0;
  private publishedAt = 0;

  /** What there is to replay; a replay under way goes on in it. */
  load(track: Track, gaps: readonly Span[]): void {
    this.track = track;
    this.gaps = gaps;
    if (this.on.get()) this.publish();
  }

  unload(): void {
    this.exit();
    this.track = null;
  }

  /** Starts the replay, standing still, or moves it if it is on. */
  seek(time: number): void {
    if (!this.track) return;
    const { start, end } = spanOf(this.track);
    this.head = playheadAt(Math.min(Math.max(time, start), end));
    if (!this.on.get()) this.following.set(true);
    this.publish();
    this.on.set(true);
  }

  exit(): void {
    this.playing.set(false);
    this.on.set(false);
    this.shown.set(null);
  }

  /** Runs or stands still; at the end it begins anew. */
  toggle(): void {
    if (!this.track) return;
    const { start, end } = spanOf(this.track);
    if (!this.on.get()) this.seek(start);
    else if (!this.playing.get() && this.head.time >= end) this.seek(start);
    this.tickedAt = 0;
    this.playing.set(!this.playing.get());
    this.publish();
  }

  /** To the next or the last report before; stands still there. */
  step(direction: 1 | -1): void {
    if (!this.track) return;
    this.playing.set(false);
    this.seek(reportBeside(this.track, this.head.time, direction));
  }

  toStart(): void {
    if (this.track) this.seek(spanOf(this.track).start);
  }

  toEnd(): void {
    if (this.track) this.seek(spanOf(this.track).end);
  }

  faster(): void {
    this.rate.set(fasterThan(this.rate.get()));
  }

  slower(): void {
    this.rate.set(slowerThan(this.rate.get()));
  }

  /** Called every frame with a clock in ms while it runs. */
  tick(now: number): void {
    if (!this.playing.get() || !this.track) return;
    const elapsed = this.tickedAt === 0 ? 0 : now - this.tickedAt;
    this.tickedAt = now;
    const span = spanOf(this.track);
    this.head = advance(this.head, elapsed, this.rate.get(), span, this.gaps);
    const ended = this.head.time >= span.end;
    if (ended) this.playing.set(false);
    if (ended || now - this.publishedAt >= PUBLISH_MS) {
      this.publishedAt = now;
      this.publish();
    }
  }

  /** Where the asset was at the time of the replay; `null` when there is no replay. */
  moment(smooth = true): Moment | null {
    if (!this.track || !this.on.get()) return null;
    return momentAt(this.track, this.gaps, this.head.time, smooth);
  }

  private publish(): void {
    if (this.track) this.shown.set(momentAt(this.track, this.gaps, this.head.time));
  }
}
