import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

// The node embeds `dist` and serves it at `/`. MapLibre's worker is a module named `.mjs`, which some servers
// send with a type that browsers refuse to run; as `.js` it cannot go wrong.
export default defineConfig({
  base: './',
  plugins: [react()],
  build: {
    target: 'es2022',
    sourcemap: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1300,
    rollupOptions: {
      output: {
        assetFileNames: ({ names }) =>
          names.some((name) => name.endsWith('.mjs')) ? 'assets/[name]-[hash].js' : 'assets/[name]-[hash][extname]',
        manualChunks: { map: ['maplibre-gl'] },
      },
    },
  },
  server: { proxy: { '/api': { target: 'http://127.0.0.1:8080', ws: true } } },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
