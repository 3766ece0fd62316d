/** How do the tests run? Against the sources under the package's own name; the packed artefact has a test of its own. */
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const reportFile = process.env.HOLDFAST_TEST_REPORT

export default defineConfig({
	resolve: {
		alias: [
			{ find: /^holdfast$/, replacement: at('src/index.ts') },
			{ find: /^holdfast\/(\w+)$/, replacement: at('drivers/$1/index.ts') },
		],
	},
	test: {
		include: ['test/**/*.test.ts'],
		exclude: ['**/node_modules/**'],
		// Real servers are heavier than the tests: more files at a time only make every one of them slower.
		maxWorkers: 2,
		testTimeout: 60_000,
		hookTimeout: 120_000,
		dangerouslyIgnoreUnhandledErrors: false,
		reporters: reportFile ? ['default', ['json', { outputFile: reportFile }]] : ['default'],
	},
})
