// What is shown at all: the login, one of the pages, or the map. Each is loaded when it is needed, so that the way to
// the login is short.

import { lazy, type ReactNode, Suspense } from 'react';
import { AccountPage } from './account/AccountPage';
import { FirstPassword } from './account/FirstPassword';
import { LoginPage } from './account/LoginPage';
import { readLink } from './link';
import { store } from './live';
import { useSlice } from './live/slice';
import { Alone } from './page/Frame';
import { session } from './session';
import { may } from './session/may';
import { readPage, useHash } from './session/route';
import type { Person } from './session/session';
import { strings } from './strings';

const MapPage = lazy(async () => {
  const [{ App }, { startHistory }] = await Promise.all([import('./App'), import('./history')]);
  store.select(readLink(location.hash).key);
  startHistory();
  return { default: App };
});
const AdminPage = lazy(async () => ({ default: (await import('./admin/AdminPage')).AdminPage }));

export function Root() {
  const state = useSlice(session.state);
  return <Suspense fallback={null}>{contents()}</Suspense>;

  function contents(): ReactNode {
    switch (state.phase) {
      case 'asking':
        return null;
      case 'away':
        return <Away message={state.problem.message} />;
      case 'dev':
        return <MapPage />;
      case 'out':
        return <LoginPage ended={state.ended} />;
      case 'in':
        return <Inside me={state.me} />;
    }
  }
}

function Inside({ me }: { me: Person }) {
  const page = readPage(useHash());
  if (me.must_change_password) return <FirstPassword email={me.user.email} />;
  if (page.name === 'admin') return <AdminPage me={me} place={page} />;
  if (page.name === 'account' || !may(me, 'live.read')) return <AccountPage me={me} />;
  return <MapPage />;
}

function Away({ message }: { message: string }) {
  return (
    <Alone title={strings.page.away}>
      <p className="quiet" role="status">
        {message} {strings.page.awayText}
      </p>
    </Alone>
  );
}
