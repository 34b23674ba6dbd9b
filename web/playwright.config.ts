import { defineConfig } from '@playwright/test';

// Debian's Chromium with WebGL in software: Playwright's own browser needs a download.
export default defineConfig({
  testDir: 'e2e',
  outputDir: 'test-results',
  workers: 1,
  timeout: 90_000,
  expect: { timeout: 15_000 },
  reporter: [['list']],
  use: {
    viewport: { width: 1280, height: 800 },
    locale: 'de-DE',
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: [
        '--no-sandbox',
        '--use-gl=angle',
        '--use-angle=swiftshader',
        '--enable-unsafe-swiftshader',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        // A page that comes from a folder has no address, and may not open a socket to this machine otherwise.
        ...(process.env.PAGE_DIST
          ? ['--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets']
          : []),
      ],
    },
    // Pictures of the page would cost a quarter of the time.
    trace: { mode: 'retain-on-failure', screenshots: false },
  },
});
