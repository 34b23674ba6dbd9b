// Who is logged in. The credential itself is a cookie that no script sees; here is only what the node says of it.
//
// Always true: nothing of one person is left when another logs in: then the page is loaded anew.

import { type Problem, problemIn } from '../api/client';
import type { LoginRequest, Me, User } from '../api/types';
import { Slice } from '../live/slice';

/** Somebody who is logged in. */
export type Person = Me & { user: User };

export type SessionState =
  | { phase: 'asking' }
  /** The node cannot be asked; it is, again and again. */
  | { phase: 'away'; problem: Problem }
  /** A node that asks for no credentials. */
  | { phase: 'dev' }
  | { phase: 'out'; ended: boolean }
  | { phase: 'in'; me: Person };

export interface SessionSource {
  me(): Promise<Me>;
  login(request: LoginRequest): Promise<unknown>;
  logout(): Promise<unknown>;
}

export class Session {
  readonly state = new Slice<SessionState>({ phase: 'asking' });
  /** The password of the login just made, for who must replace it: nobody likes to type it twice. */
  justUsed: string | null = null;
  private last: string | null = null;
  private asked: Promise<void> | null = null;

  constructor(
    private readonly node: SessionSource,
    /** Loads the page anew. */
    private readonly renew: () => void,
  ) {}

  /** Asks who is logged in; at the start, after a login, and when something was refused for want of one. */
  check(): Promise<void> {
    this.asked ??= this.ask().finally(() => {
      this.asked = null;
    });
    return this.asked;
  }

  async login(request: LoginRequest): Promise<void> {
    await this.node.login(request);
    this.justUsed = request.password;
    await this.check();
  }

  async logout(): Promise<void> {
    await this.node.logout();
    this.renew();
  }

  private async ask(): Promise<void> {
    try {
      this.enter(await this.node.me());
    } catch (error) {
      this.leave(problemIn(error));
    }
  }

  private enter(me: Me): void {
    const { subject, user } = me;
    // A browser brings no key and no device's token: without a user nobody was asked for.
    if (!user) return this.state.set({ phase: 'dev' });
    if (this.last !== null && this.last !== subject) return this.renew();
    this.last = subject;
    this.state.set({ phase: 'in', me: { ...me, user } });
  }

  private leave(problem: Problem): void {
    const { phase } = this.state.get();
    if (problem.status === 401) {
      this.justUsed = null;
      if (phase !== 'out') this.state.set({ phase: 'out', ended: phase === 'in' });
    } else if (problem.status === 404) this.state.set({ phase: 'dev' });
    // Who is logged in stays so while the node is away.
    else if (phase === 'asking' || phase === 'away') this.state.set({ phase: 'away', problem });
  }
}
