import { IconButton, Tooltip } from '@mui/material';
import { useColorScheme } from '@mui/material/styles';
import { MoonIcon, SunIcon } from '../icons';
import { useScheme } from '../scheme';
import { strings } from '../strings';

export function ThemeToggle() {
  const { setMode } = useColorScheme();
  const dark = useScheme() === 'dark';
  const label = dark ? strings.controls.light : strings.controls.dark;
  return (
    <Tooltip title={label}>
      <IconButton aria-label={label} onClick={() => setMode(dark ? 'light' : 'dark')} sx={{ color: 'text.secondary' }}>
        {dark ? <SunIcon size={18} /> : <MoonIcon size={18} />}
      </IconButton>
    </Tooltip>
  );
}
