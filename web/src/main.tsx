import { ThemeProvider } from '@mui/material/styles';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import './style.css';
import './page/pages.css';
import './admin/records.css';
import './details/history.css';
import './replay/replay.css';
import { start } from './live';
import { Root } from './Root';
import { startSession } from './session';
import { startRoutes } from './session/route';
import { theme } from './theme';

start();
startRoutes();
startSession();
createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <ThemeProvider theme={theme} defaultMode="system" noSsr>
      <Root />
    </ThemeProvider>
  </StrictMode>,
);
