// Administration: the sections that somebody's role opens, one at a time.

import { type ReactNode, useEffect, useRef } from 'react';
import { Frame } from '../page/Frame';
import { mayChange, type Section, sectionsOf } from '../session/may';
import { pageAddress } from '../session/route';
import type { Person } from '../session/session';
import { strings } from '../strings';
import { ApiKeys } from './ApiKeys';
import { Audit } from './Audit';
import { Devices } from './Devices';
import { Records } from './Records';
import { RECORDS } from './records';
import { Users } from './Users';

const words = strings.admin;

export function AdminPage({ me, section }: { me: Person; section: Section | null }) {
  const sections = sectionsOf(me);
  const shown = sections.find((one) => one === section) ?? sections[0];
  const nav = useRef<HTMLElement>(null);
  // On narrow pages the sections are a row that scrolls.
  // biome-ignore lint/correctness/useExhaustiveDependencies: another section is current
  useEffect(() => {
    nav.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  }, [shown]);
  return (
    <Frame title={words.title}>
      {shown ? (
        <div className="admin">
          <nav aria-label={words.title} ref={nav}>
            {sections.map((one) => (
              <a
                key={one}
                href={pageAddress({ name: 'admin', section: one })}
                aria-current={one === shown ? 'page' : undefined}
              >
                {words.sections[one]}
              </a>
            ))}
          </nav>
          <section aria-label={words.sections[shown]}>{contents(shown, me)}</section>
        </div>
      ) : (
        <p className="blank quiet">{words.nothing}</p>
      )}
    </Frame>
  );
}

function contents(section: Section, me: Person): ReactNode {
  const change = mayChange(me, section);
  switch (section) {
    case 'users':
      return <Users me={me} change={change} />;
    case 'keys':
      return <ApiKeys me={me} />;
    case 'devices':
      return <Devices />;
    case 'audit':
      return <Audit />;
    default:
      return <Records key={section} kind={RECORDS[section]} change={change} />;
  }
}
