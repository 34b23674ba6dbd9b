import { ThemeProvider } from '@mui/material/styles';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import './style.css';
import { App } from './App';
import { start } from './live';
import { theme } from './theme';

start();
createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <ThemeProvider theme={theme} defaultMode="system" noSsr>
      <App />
    </ThemeProvider>
  </StrictMode>,
);
