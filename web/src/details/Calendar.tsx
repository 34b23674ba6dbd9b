// A month of days; those with reports carry a dot. One day can be reached by Tab, the others by arrows.

import { IconButton } from '@mui/material';
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from 'react';
import { locale, longDay, monthOf, weekdayName, zoneName } from '../format';
import { dayForKey, firstWeekdayOf, monthWeeks, sameMonth } from '../history/calendar';
import { addMonths, type Day } from '../history/days';
import { BackIcon, ForwardIcon } from '../icons';
import { strings } from '../strings';

const words = strings.history;
const FIRST_WEEKDAY = firstWeekdayOf(locale);

interface Props {
  day: Day;
  /** No day after it can be chosen. */
  last: Day;
  marked: readonly Day[];
  onDay: (day: Day) => void;
}

export function Calendar({ day, last, marked, onDay }: Props) {
  const [active, setActive] = useState(day);
  const grid = useRef<HTMLTableElement>(null);
  const byKey = useRef(true);
  const weeks = useMemo(() => monthWeeks(active, FIRST_WEEKDAY), [active]);
  const withReports = useMemo(() => new Set(marked), [marked]);

  // Keys take the focus along; the arrows of the month keep it.
  useEffect(() => {
    if (byKey.current) grid.current?.querySelector<HTMLElement>(`[data-day="${active}"]`)?.focus();
  }, [active]);

  const move = (to: Day, key: boolean) => {
    byKey.current = key;
    setActive(to > last ? last : to);
  };
  const keys = (event: KeyboardEvent) => {
    const to = dayForKey(event.key, active, FIRST_WEEKDAY, last);
    if (to === null) return;
    event.preventDefault();
    event.stopPropagation();
    move(to, true);
  };
  return (
    <div className="calendar">
      <header>
        <IconButton aria-label={words.previousMonth} onClick={() => move(addMonths(active, -1), false)}>
          <BackIcon size={17} />
        </IconButton>
        <strong aria-live="polite">{monthOf(active)}</strong>
        <IconButton
          aria-label={words.nextMonth}
          disabled={sameMonth(active, last)}
          onClick={() => move(addMonths(active, 1), false)}
        >
          <ForwardIcon size={17} />
        </IconButton>
      </header>
      {/* biome-ignore lint/a11y/noNoninteractiveElementToInteractiveRole: a grid of buttons, as calendars are */}
      <table ref={grid} role="grid" aria-label={monthOf(active)} onKeyDown={keys}>
        <thead>
          <tr>
            {weeks[0]!.map((weekday) => (
              <th key={weekday} scope="col" abbr={weekdayName(weekday)[1]} className="quiet">
                {weekdayName(weekday)[0]}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {weeks.map((week) => (
            <tr key={week[0]}>
              {week.map((each) => (
                <td key={each}>
                  <button
                    type="button"
                    data-day={each}
                    data-reports={withReports.has(each)}
                    data-outside={!sameMonth(each, active)}
                    aria-label={withReports.has(each) ? `${longDay(each)}, ${words.hasReports}` : longDay(each)}
                    aria-current={each === last ? 'date' : undefined}
                    aria-pressed={each === day}
                    tabIndex={each === active ? 0 : -1}
                    disabled={each > last}
                    onClick={() => onDay(each)}
                  >
                    {Number(each.slice(8))}
                  </button>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      <footer className="quiet">{words.zone(zoneName())}</footer>
    </div>
  );
}
