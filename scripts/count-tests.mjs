/** How many tests passed and failed? Reads vitest's JSON report; prints `passed failed`. A run that ended badly never counts 0 failed. */
import { readFileSync } from 'node:fs'

const [reportPath, exitCode] = process.argv.slice(2)

function counts() {
	let report
	try {
		report = JSON.parse(readFileSync(reportPath, 'utf8'))
	} catch {
		return [0, 1]
	}
	// A file that could not even be loaded has no failed test of its own.
	const unloaded = report.testResults.filter(
		(file) => file.status === 'failed' && !file.assertionResults.some((one) => one.status === 'failed'),
	).length
	const failed = report.numFailedTests + unloaded
	// Unhandled errors fail the run and belong to no test.
	return [report.numPassedTests, failed === 0 && exitCode !== '0' ? 1 : failed]
}

console.log(counts().join(' '))
