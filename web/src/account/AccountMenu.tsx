// Who is logged in, as a button in the head, and where he can go from there. Nothing on a node without logins.

import { Divider, IconButton, Menu, MenuItem, Tooltip } from '@mui/material';
import { useState } from 'react';
import type { Role } from '../api/types';
import { useChange } from '../page/useAnswer';
import { session, useMe } from '../session';
import { sectionsOf } from '../session/may';
import { strings } from '../strings';

const words = strings.account;

export function AccountMenu() {
  const me = useMe();
  const [at, setAt] = useState<HTMLElement | null>(null);
  const { busy, problem, run } = useChange();
  if (!me) return null;
  const { name, email } = me.user;
  const close = () => setAt(null);
  return (
    <>
      <Tooltip title={name || email}>
        <IconButton
          aria-label={words.menu}
          aria-haspopup="menu"
          aria-expanded={at !== null}
          onClick={(event) => setAt(event.currentTarget)}
          sx={{ p: '4px' }}
        >
          <span className="avatar">{initials(name || email)}</span>
        </IconButton>
      </Tooltip>
      <Menu anchorEl={at} open={at !== null} onClose={close} slotProps={{ paper: { sx: { minWidth: 200 } } }}>
        <li className="who">
          <strong className="clip">{name || email}</strong>
          <small className="quiet clip">{name ? email : strings.roles[me.role as Role]}</small>
        </li>
        <Divider />
        <MenuItem component="a" href="#/account" onClick={close}>
          {words.title}
        </MenuItem>
        {!me.must_change_password && sectionsOf(me).length > 0 && (
          <MenuItem component="a" href="#/admin" onClick={close}>
            {words.admin}
          </MenuItem>
        )}
        <MenuItem disabled={busy} onClick={() => run(() => session.logout())}>
          {words.logout}
        </MenuItem>
        {problem && (
          <li className="who" role="alert">
            {problem.message}
          </li>
        )}
      </Menu>
    </>
  );
}

/** "Ada Lovelace" → AL, "ada@example.com" → A */
export function initials(name: string): string {
  const parts = name
    .split('@')[0]!
    .split(/[\s.]+/)
    .filter(Boolean);
  const letters = parts.length > 1 ? [parts[0]!, parts.at(-1)!] : parts;
  return letters.map((part) => [...part][0]!.toLocaleUpperCase()).join('');
}
