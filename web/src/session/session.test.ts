import { beforeEach, expect, it, vi } from 'vitest';
import { Refused } from '../api/client';
import type { LoginRequest, Me, User } from '../api/types';
import { Session, type SessionState } from './session';

const ADA = { subject: 'user/u-1', user: { email: 'ada@example.com' } as User } as Me;
const LOGIN: LoginRequest = { email: 'ada@example.com', password: 'secret' };
const refused = (status: number, code = 'x') => new Refused({ code, message: code, status });

let me: () => Promise<Me>;
let asked: number;
let renewed: number;
let session: Session;
const phase = () => session.state.get().phase;

beforeEach(() => {
  me = async () => ADA;
  asked = 0;
  renewed = 0;
  const source = {
    me: () => {
      asked++;
      return me();
    },
    login: async ({ password }: LoginRequest) => {
      if (password !== 'secret') throw refused(401, 'wrong_credentials');
      me = async () => ADA;
    },
    logout: async () => {},
  };
  session = new Session(source, () => renewed++);
});

it('a node that asks for no credentials has no login', async () => {
  me = async () => ({ ...ADA, subject: 'dev', user: null });
  await session.check();
  expect(phase()).toBe('dev');
});

it('a node of before there were logins has none either', async () => {
  me = () => Promise.reject(refused(404));
  await session.check();
  expect(phase()).toBe('dev');
});

it('who is not logged in logs in', async () => {
  me = () => Promise.reject(refused(401));
  await session.check();
  expect(session.state.get()).toEqual({ phase: 'out', ended: false });
  await session.login(LOGIN);
  expect(session.state.get()).toEqual({ phase: 'in', me: ADA });
  expect(session.justUsed).toBe('secret');
});

it('a wrong password leaves everything as it was', async () => {
  me = () => Promise.reject(refused(401));
  await session.check();
  await expect(session.login({ ...LOGIN, password: 'wrong' })).rejects.toBeInstanceOf(Refused);
  expect(phase()).toBe('out');
  expect(session.justUsed).toBeNull();
});

it('a session that ends says so', async () => {
  await session.check();
  me = () => Promise.reject(refused(401));
  await session.check();
  expect(session.state.get()).toEqual({ phase: 'out', ended: true });
});

it('many refusals at once ask once', async () => {
  await Promise.all([session.check(), session.check(), session.check()]);
  expect(asked).toBe(1);
});

it('a node that is away ends no session, and is no login at the start', async () => {
  const away = new Refused({ code: 'unreachable', message: 'nobody' });
  me = () => Promise.reject(away);
  await session.check();
  expect(session.state.get()).toEqual({ phase: 'away', problem: away.problem } satisfies SessionState);
  me = async () => ADA;
  await session.check();
  me = () => Promise.reject(away);
  await session.check();
  expect(phase()).toBe('in');
});

it('another person gets a page in which nothing of the one before is left', async () => {
  await session.check();
  me = async () => ({ ...ADA, subject: 'user/u-2' });
  await session.check();
  expect(renewed).toBe(1);
  expect(session.state.get()).toEqual({ phase: 'in', me: ADA });
});

it('a logout loads the page anew, unless it failed', async () => {
  const logout = vi.fn().mockRejectedValueOnce(refused(503)).mockResolvedValueOnce({});
  session = new Session({ me: () => me(), login: async () => {}, logout }, () => renewed++);
  await expect(session.logout()).rejects.toBeInstanceOf(Refused);
  expect(renewed).toBe(0);
  await session.logout();
  expect(renewed).toBe(1);
});
