// Above a list: what it is, its search, and the button that adds to it.

import { Button, InputAdornment, OutlinedInput } from '@mui/material';
import type { ReactNode } from 'react';
import { PlusIcon, SearchIcon } from '../icons';
import { strings } from '../strings';

const words = strings.admin;

interface Props {
  title: string;
  add?: { label: string; act: () => void } | null;
  search?: { text: string; placeholder?: string; onText: (text: string) => void };
  children?: ReactNode;
}

export function Head({ title, add, search, children }: Props) {
  return (
    <div className="list-head">
      <h2>{title}</h2>
      {search && <Search title={title} {...search} />}
      {children}
      {add && (
        <Button variant="contained" startIcon={<PlusIcon size={16} />} onClick={add.act}>
          {add.label}
        </Button>
      )}
    </div>
  );
}

interface SearchProps {
  title: string;
  text: string;
  /** What is found, where that is not all that is shown. */
  placeholder?: string;
  onText: (text: string) => void;
}

export function Search({ title, text, placeholder = words.search, onText }: SearchProps) {
  return (
    <OutlinedInput
      size="small"
      value={text}
      placeholder={placeholder}
      inputProps={{ 'aria-label': `${words.search}: ${title}`, type: 'search', spellCheck: false }}
      onChange={(event) => onText(event.target.value)}
      startAdornment={
        <InputAdornment position="start">
          <SearchIcon size={16} />
        </InputAdornment>
      }
    />
  );
}
