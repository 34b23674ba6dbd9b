// Light or dark: the system's choice until the reader makes one, which the browser then remembers.

import { useColorScheme } from '@mui/material/styles';
import type { Scheme } from './theme';

export function useScheme(): Scheme {
  const { mode, systemMode } = useColorScheme();
  return (mode === 'system' ? systemMode : mode) ?? 'light';
}
