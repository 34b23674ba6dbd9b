// Administration: the sections that somebody's role opens, one at a time.

import { type ReactNode, useEffect, useRef } from 'react';
import { Frame } from '../page/Frame';
import { GROUPS, mayChange, maySee, sectionsOf } from '../session/may';
import { type AdminPlace, pageAddress } from '../session/route';
import type { Person } from '../session/session';
import { strings } from '../strings';
import { ApiKeys } from './ApiKeys';
import { Audit } from './Audit';
import { Credentials } from './Credentials';
import { isRecordName } from './definitions';
import { RecordPage } from './RecordPage';
import { Records } from './Records';
import { Users } from './Users';

const words = strings.admin;

export function AdminPage({ me, place }: { me: Person; place: AdminPlace }) {
  const sections = sectionsOf(me);
  // What an address names is shown or refused, and never another section with its id or filter.
  const shown = sections.length > 0 ? (place.section ?? sections[0]) : undefined;
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
            {GROUPS.map(({ name, sections }) => {
              const seen = sections.filter((one) => maySee(me, one));
              if (seen.length === 0) return null;
              return (
                <div key={name} className="group">
                  <small className="quiet">{words.groups[name]}</small>
                  {seen.map((one) => (
                    <a
                      key={one}
                      href={pageAddress({ name: 'admin', section: one })}
                      aria-current={one === shown ? 'page' : undefined}
                    >
                      {words.sections[one]}
                    </a>
                  ))}
                </div>
              );
            })}
          </nav>
          <section aria-label={words.sections[shown]}>
            {sections.includes(shown) ? (
              contents(me, { ...place, section: shown })
            ) : (
              <p className="blank quiet">{words.notYours(words.sections[shown])}</p>
            )}
          </section>
        </div>
      ) : (
        <p className="blank quiet">{words.nothing}</p>
      )}
    </Frame>
  );
}

function contents(me: Person, { section, id, asked = '' }: AdminPlace): ReactNode {
  switch (section) {
    case 'users':
      return <Users me={me} change={mayChange(me, section)} />;
    case 'keys':
      return <ApiKeys me={me} />;
    case 'credentials':
      return <Credentials me={me} asked={asked} />;
    case 'audit':
      return <Audit me={me} />;
  }
  if (!section || !isRecordName(section)) return null;
  if (id) return <RecordPage key={`${section}/${id}`} me={me} section={section} id={id} />;
  return <Records key={section} me={me} section={section} asked={asked} />;
}
