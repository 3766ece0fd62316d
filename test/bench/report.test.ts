/** Is the text of a bench the same from run to run, where its figures are? */
import { expect, test, vi } from 'vitest'
import { Report } from '../../bench/support/report.ts'

test('the report of a simulation says nothing of the load of the machine, which is another in each run; that of a measurement does', () => {
	const said: string[] = []
	const log = vi.spyOn(console, 'log').mockImplementation((line: string) => said.push(line))
	try {
		const text = (isSimulated: boolean) => {
			said.length = 0
			const report = new Report('fleet', 'what?')
			if (isSimulated) report.simulated()
			report.end(false)
			return said.join('\n')
		}
		expect(text(true)).not.toContain('Load of the machine')
		expect(text(false)).toContain('Load of the machine')
	} finally {
		log.mockRestore()
	}
})
