// Colours and type of the page and of the map, light and dark. One palette feeds MUI, the markers and the base
// map, so that they cannot drift apart.

import { createTheme } from '@mui/material/styles';

export interface Palette {
  accent: string;
  live: string;
  stale: string;
  offline: string;
  /** Outline that lifts a marker off the map. */
  halo: string;
  surface: string;
  page: string;
  text: string;
  muted: string;
  line: string;
  /** A trail's colours from slow to fast; their lightness tells them apart without their hue. */
  speeds: readonly [string, string, string, string, string];
}

export type Scheme = 'light' | 'dark';

export const PALETTES: Record<Scheme, Palette> = {
  light: {
    accent: '#14213d',
    live: '#0b6bcb',
    stale: '#c96a00',
    offline: '#6b7280',
    halo: '#ffffff',
    surface: '#ffffff',
    page: '#eef0ee',
    text: '#16202c',
    muted: '#5b6673',
    line: '#dfe3e6',
    speeds: ['#3b0a6b', '#8a1fa0', '#cc4a78', '#ea7a45', '#f2b020'],
  },
  dark: {
    accent: '#f2f5f8',
    live: '#58b0ff',
    stale: '#ffb347',
    offline: '#98a2ae',
    halo: '#0d1218',
    surface: '#171d25',
    page: '#10151b',
    text: '#eaeef3',
    muted: '#98a4b1',
    line: '#2a323d',
    speeds: ['#8d4fd0', '#c851b4', '#ee7a76', '#fbae55', '#f7ea6a'],
  },
};

/** Where the keyboard is. MUI shows it by its ripple, which is off, and takes the browser's own mark away. */
const FOCUS = { outline: '2px solid var(--mui-palette-primary-main)', outlineOffset: 2 };
/** Where what is outside is cut off, or lies over something else. */
const FOCUS_INSIDE = { '&.Mui-focusVisible': { outlineOffset: -2 } };

const FONT = '"Drover Sans", system-ui, sans-serif';

function scheme(palette: Palette) {
  return {
    palette: {
      primary: { main: palette.live },
      warning: { main: palette.stale },
      background: { default: palette.page, paper: palette.surface },
      text: { primary: palette.text, secondary: palette.muted },
      divider: palette.line,
      offline: palette.offline,
    },
  };
}

export const theme = createTheme({
  cssVariables: { colorSchemeSelector: 'data-theme' },
  colorSchemes: { light: scheme(PALETTES.light), dark: scheme(PALETTES.dark) },
  shape: { borderRadius: 10 },
  typography: {
    fontFamily: FONT,
    fontSize: 13,
    button: { textTransform: 'none', fontWeight: 600 },
    h1: { fontSize: 17, fontWeight: 700, letterSpacing: '-0.02em' },
    h2: { fontSize: 20, fontWeight: 700, letterSpacing: '-0.02em' },
    body2: { fontSize: 13 },
    caption: { fontSize: 12 },
  },
  components: {
    MuiPaper: { defaultProps: { elevation: 0 }, styleOverrides: { root: { backgroundImage: 'none' } } },
    MuiButtonBase: {
      defaultProps: { disableRipple: true },
      styleOverrides: { root: { '&.Mui-focusVisible': FOCUS } },
    },
    MuiMenuItem: { styleOverrides: { root: FOCUS_INSIDE } },
    MuiCheckbox: { styleOverrides: { root: FOCUS_INSIDE } },
    MuiRadio: { styleOverrides: { root: FOCUS_INSIDE } },
    MuiTooltip: { defaultProps: { enterDelay: 500 } },
  },
});
