// The page's one session, and what ties it to the live picture: nothing is watched before a login, and a lost line
// asks whether it was the login that ended.

import { change, guard, read } from '../api/client';
import { pause, resume, socket } from '../live';
import { useSlice } from '../live/slice';
import { may } from './may';
import { keepPlace, restorePlace } from './route';
import { type Person, Session } from './session';

const AWAY_MS = 3_000;

export const session = new Session(
  {
    me: () => read('auth/me'),
    login: (request) => change('POST', 'auth/login', request),
    logout: () => change('POST', 'auth/logout'),
  },
  () => {
    history.replaceState(null, '', location.pathname);
    location.reload();
  },
);

export function startSession(): void {
  guard.unauthorized = () => {
    if (session.state.get().phase === 'in') void session.check();
  };
  session.state.subscribe(follow);
  socket.connection.subscribe(() => {
    if (socket.connection.get().phase === 'reconnecting') guard.unauthorized();
  });
  void session.check();
}

function follow(): void {
  const state = session.state.get();
  if (state.phase === 'away') setTimeout(() => void session.check(), AWAY_MS);
  if (state.phase === 'in') restorePlace();
  if (state.phase === 'dev' || (state.phase === 'in' && !state.me.must_change_password && may(state.me, 'live.read')))
    resume();
  else pause();
}

/** Leaves for the provider; the place is found again afterwards. */
export function loginElsewhere(): void {
  keepPlace();
  location.assign('/api/v1/auth/oidc');
}

/** Who is logged in; nobody on a node that asks for no credentials. */
export function useMe(): Person | null {
  const state = useSlice(session.state);
  return state.phase === 'in' ? state.me : null;
}
