// Adds up the suites of .ci/run. A test that was skipped has proved nothing, and a suite that left no report has not run: both fail.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const dir = process.argv[2]
let passed = 0
const failed = []
for (const file of readdirSync(dir).filter((f) => f.endsWith('.status'))) {
  const name = file.slice(0, -'.status'.length)
  const status = Number(readFileSync(join(dir, file), 'utf8'))
  const report = join(dir, `${name}.json`)
  const before = failed.length
  if (existsSync(report)) count(name, JSON.parse(readFileSync(report, 'utf8')))
  // Also a check that failed before the tests, and an error outside of any test.
  if (status !== 0 && failed.length === before) failed.push(`${name}: exit status ${status}`)
}
console.log()
for (const line of failed) console.log(`failed  ${line}`)
console.log(`${passed} passed, ${failed.length} failed`)
process.exitCode = failed.length === 0 ? 0 : 1

function count(name, { testResults }) {
  if (testResults.length === 0) failed.push(`${name}: no tests`)
  for (const { name: path, status, message, assertionResults } of testResults) {
    const place = `${name}: ${path.slice(path.indexOf('/test/') + 1)}`
    let failures = 0
    for (const test of assertionResults) {
      if (test.status === 'passed') passed++
      else failed.push(`${place}: ${test.fullName}${test.status === 'failed' ? '' : ` (${test.status})`}`)
      if (test.status !== 'passed') failures++
    }
    if (status !== 'passed' && failures === 0) failed.push(`${place}: ${(message ?? '').split('\n')[0]}`)
  }
}
