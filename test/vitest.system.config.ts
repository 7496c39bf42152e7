import type { ViteUserConfig } from 'vitest/config'

/** Suites against real routers and the built bundle: one file at a time, since they share the machine's interfaces and time. */
const config: ViteUserConfig = {
  test: {
    include: ['test/interop/**/*.test.ts', 'test/e2e/**/*.test.ts'],
    fileParallelism: false,
    maxWorkers: 1,
    testTimeout: 10 * 60_000,
    hookTimeout: 5 * 60_000,
    passWithNoTests: false,
  },
}

// biome-ignore lint/style/noDefaultExport: vitest reads the default export
export default config
