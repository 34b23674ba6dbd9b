// Which day: one back, one on, or any from the calendar.

import { Button, IconButton, Popover } from '@mui/material';
import { useRef, useState } from 'react';
import { longDay, shortDay } from '../format';
import { history, today } from '../history';
import { addDays, type Day } from '../history/days';
import { BackIcon, CalendarIcon, ForwardIcon } from '../icons';
import { useSlice } from '../live/slice';
import { strings } from '../strings';
import { Calendar } from './Calendar';

const words = strings.history;

export function DayBar({ assetKey, day }: { assetKey: string; day: Day }) {
  const [open, setOpen] = useState(false);
  const anchor = useRef<HTMLButtonElement>(null);
  const days = useSlice(history.days);
  const last = today();
  const go = (to: Day) => history.open(assetKey, to);
  return (
    <div className="day-bar">
      <IconButton aria-label={words.previousDay} onClick={() => go(addDays(day, -1))}>
        <BackIcon size={18} />
      </IconButton>
      <Button
        ref={anchor}
        variant="outlined"
        color="inherit"
        startIcon={<CalendarIcon size={17} />}
        aria-label={words.chooseDay(longDay(day))}
        aria-haspopup="dialog"
        aria-expanded={open}
        data-testid="day"
        data-day={day}
        onClick={() => setOpen(true)}
        sx={{ flex: 1, borderColor: 'divider' }}
      >
        {dayName(day, last)}
      </Button>
      <IconButton aria-label={words.nextDay} disabled={day >= last} onClick={() => go(addDays(day, 1))}>
        <ForwardIcon size={18} />
      </IconButton>
      <Popover
        open={open}
        anchorEl={anchor.current}
        onClose={() => setOpen(false)}
        anchorOrigin={{ vertical: 'bottom', horizontal: 'center' }}
        transformOrigin={{ vertical: 'top', horizontal: 'center' }}
        slotProps={{ paper: { className: 'card', role: 'dialog', 'aria-label': words.calendar, sx: { mt: '6px' } } }}
      >
        <Calendar
          day={day}
          last={last}
          marked={days ?? []}
          onDay={(chosen) => {
            setOpen(false);
            go(chosen);
          }}
        />
      </Popover>
    </div>
  );
}

function dayName(day: Day, last: Day): string {
  if (day === last) return `${words.today}, ${shortDay(day)}`;
  return day === addDays(last, -1) ? `${words.yesterday}, ${shortDay(day)}` : longDay(day);
}
