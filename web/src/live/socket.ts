// The one connection to the node. Watches the whole fleet, feeds the store, comes back by itself and asks only for
// what it has missed. The wish travels in the address, so that the node never begins a snapshot nobody wants.
//
// Always true: `since` names a position up to which everything is in the store. It moves on changes and on the
// last page of a snapshot, never on a page before it, so that a cut in the middle of a snapshot loses nothing.

import { Slice } from './slice';
import type { FleetStore } from './store';
import type { ApiError, ServerMessage } from './wire';

export interface Connection {
  phase: 'connecting' | 'live' | 'reconnecting' | 'offline';
  /** Wall clock of the next try, ms. */
  retryAt: number | null;
  /** Wall clock of the last message, ms. */
  heardAt: number | null;
  error: ApiError | null;
}

/** Loading of the first snapshot; `null` once the whole fleet is here. */
export type Loading = { received: number; total: number } | null;

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 15_000;
/** Silence after which the line is checked: a socket may be dead long before it says so. */
const QUIET_MS = 20_000;
const PROBE_MS = 5_000;

export interface SocketLike {
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: (() => void) | null;
  close(): void;
}

export class LiveSocket {
  readonly connection = new Slice<Connection>({ phase: 'connecting', retryAt: null, heardAt: null, error: null });
  readonly loading = new Slice<Loading>({ received: 0, total: 0 });

  private socket: SocketLike | null = null;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private epoch: string | undefined;
  private since: number | undefined;
  private snapshotDone = false;
  private received = 0;
  private heardAt: number | null = null;

  constructor(
    private readonly store: FleetStore,
    private readonly open: (since: number | undefined) => SocketLike = openLive,
    private readonly probe: () => Promise<boolean> = probeNode,
  ) {}

  connect(): void {
    clearTimeout(this.retry);
    const socket = this.open(this.since);
    this.socket = socket;
    this.snapshotDone = false;
    this.received = 0;
    socket.onmessage = (event) => {
      if (socket === this.socket) this.take(JSON.parse(String(event.data)) as ServerMessage);
    };
    socket.onclose = () => {
      if (socket === this.socket) this.lost();
    };
  }

  /** Tries at once instead of waiting (button, network back, tab shown again). */
  reconnect(): void {
    const phase = this.connection.get().phase;
    if (phase === 'live' || phase === 'connecting') return;
    this.abandon();
    this.connect();
  }

  networkGone(): void {
    this.abandon();
    clearTimeout(this.retry);
    this.publish({ phase: 'offline', retryAt: null });
  }

  /** Called now and then: checks a line that has been quiet for long, and publishes when it was last heard. */
  async checkQuiet(now = Date.now()): Promise<void> {
    const { phase, heardAt } = this.connection.get();
    if (phase !== 'live') return;
    if (heardAt !== this.heardAt) this.publish({});
    if (this.heardAt === null || now - this.heardAt < QUIET_MS) return;
    const socket = this.socket;
    const alive = await this.probe();
    if (socket !== this.socket) return;
    if (alive) this.heardAt = Date.now();
    else {
      this.abandon();
      this.lost();
    }
  }

  close(): void {
    clearTimeout(this.retry);
    this.abandon();
  }

  private take(message: ServerMessage): void {
    this.heardAt = Date.now();
    switch (message.type) {
      case 'hello':
        return this.greet(message);
      case 'snapshot':
        this.store.load(message.assets);
        return this.page(message);
      case 'changes':
        this.store.change(message.assets);
        if (this.snapshotDone) this.since = Math.max(this.since ?? 0, message.position);
        return;
      case 'error':
        return this.publish({ error: message.error });
    }
  }

  private greet(hello: Extract<ServerMessage, { type: 'hello' }>): void {
    this.failures = 0;
    this.store.setServer(hello.server_time, hello.freshness);
    const another = this.epoch !== undefined && hello.epoch !== this.epoch;
    this.epoch = hello.epoch;
    this.publish({ phase: 'live', retryAt: null, error: null });
    if (!another) return;
    // Another log: positions held here mean nothing to it. A new socket, so that no page of the old request is left.
    this.store.clear();
    this.since = undefined;
    this.loading.set({ received: 0, total: 0 });
    this.abandon();
    this.connect();
  }

  private page(page: Extract<ServerMessage, { type: 'snapshot' }>): void {
    this.received += page.assets.length;
    const first = this.loading.get() !== null;
    if (page.last) {
      this.snapshotDone = true;
      this.since = Math.max(this.since ?? 0, page.position);
      this.loading.set(null);
    } else if (first) this.loading.set({ received: this.received, total: page.total });
    this.store.refresh();
  }

  private lost(): void {
    this.socket = null;
    const wait = Math.min(FIRST_RETRY_MS * 2 ** this.failures++, MAX_RETRY_MS) * (0.8 + Math.random() * 0.4);
    this.publish({ phase: 'reconnecting', retryAt: Date.now() + wait });
    this.retry = setTimeout(() => this.connect(), wait);
  }

  private abandon(): void {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  private publish(change: Partial<Connection>): void {
    this.connection.set({ ...this.connection.get(), heardAt: this.heardAt, ...change });
  }
}

function openLive(since: number | undefined): SocketLike {
  const url = new URL('/api/v1/live', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  if (since !== undefined) url.searchParams.set('since', String(since));
  return new WebSocket(url) as unknown as SocketLike;
}

async function probeNode(): Promise<boolean> {
  try {
    return (await fetch('/api/v1/info', { cache: 'no-store', signal: AbortSignal.timeout(PROBE_MS) })).ok;
  } catch {
    return false;
  }
}
