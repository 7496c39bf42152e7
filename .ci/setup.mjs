// Installs the locked packages when they are missing or older than the lock file: what every npm script calls first.
import { execFileSync } from 'node:child_process'
import { existsSync, statSync, utimesSync } from 'node:fs'

const marker = 'node_modules/.package-lock.json'
if (!existsSync(marker) || statSync(marker).mtimeMs < statSync('package-lock.json').mtimeMs) {
  // Not `npm ci`: it wants optional packages of every other platform in the lock file, which a registry that serves one does not have.
  console.log('setup: npm install, as locked')
  execFileSync('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'], { stdio: 'inherit' })
  utimesSync(marker, new Date(), new Date())
}
