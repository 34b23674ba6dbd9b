import { ThemeProvider } from '@mui/material/styles';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import './style.css';
import './details/history.css';
import './replay/replay.css';
import { App } from './App';
import { startHistory } from './history';
import { start } from './live';
import { theme } from './theme';

start();
startHistory();
createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <ThemeProvider theme={theme} defaultMode="system" noSsr>
      <App />
    </ThemeProvider>
  </StrictMode>,
);
