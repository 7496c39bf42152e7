import type { ViteUserConfig } from 'vitest/config'

const config: ViteUserConfig = {
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/interop/**', 'test/e2e/**'],
    testTimeout: 60_000,
    maxWorkers: 2,
  },
}

// biome-ignore lint/style/noDefaultExport: vitest reads the default export
export default config
