// The frame of every page that is not the map: head, way back to the map, and what the page holds.

import { Button } from '@mui/material';
import { type ReactNode, useEffect } from 'react';
import { AccountMenu } from '../account/AccountMenu';
import { BackIcon, Logo } from '../icons';
import { useMe } from '../session';
import { may } from '../session/may';
import { mapAddress } from '../session/route';
import { ThemeToggle } from '../status/ThemeToggle';
import { strings } from '../strings';

export function Frame({ title, children }: { title: string; children: ReactNode }) {
  const me = useMe();
  usePageTitle(title);
  return (
    <div className="sheet-page">
      <header className="head page-head">
        {me && may(me, 'live.read') && (
          <Button color="inherit" size="small" href={mapAddress()} aria-label={strings.page.backToMap}>
            <BackIcon size={18} />
            <Logo size={26} />
          </Button>
        )}
        <h1>{title}</h1>
        <ThemeToggle />
        <AccountMenu />
      </header>
      <main>{children}</main>
    </div>
  );
}

/** A page that is one small card in the middle: login and the like. */
export function Alone({ title, children }: { title: string; children: ReactNode }) {
  usePageTitle(title);
  return (
    <div className="sheet-page alone">
      <main className="card">
        <header>
          <Logo size={36} />
          <h1>{title}</h1>
          <ThemeToggle />
        </header>
        {children}
      </main>
    </div>
  );
}

function usePageTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · ${strings.product}`;
  }, [title]);
}
