/** Every way a request can fail, and what the user is told. */
import { RefusedError } from '../../base/errors.ts'
import type { ErrorPage } from './error-page.ts'
import type { Refusal } from './target.ts'

export const BAD_REQUEST: ErrorPage = {
  status: 400,
  title: 'Bad request',
  text: 'The request is not valid HTTP, or its body cannot be told apart from what follows.',
}
export const HEADERS_TOO_LARGE: ErrorPage = {
  status: 431,
  title: 'Request headers too large',
  text: 'More than 8 KB of address and headers. Deleting the cookies of this site may help.',
}
export const METHOD_REFUSED: ErrorPage = {
  status: 405,
  title: 'Method not allowed',
  text: 'TRACE would show the site what this proxy removes from requests.',
}
export const BAD_RESPONSE: ErrorPage = {
  status: 502,
  title: 'Bad response',
  text: 'The site was reached, but closed the connection or did not answer in valid HTTP. Trying again may help.',
}
export const NO_RESPONSE: ErrorPage = {
  status: 504,
  title: 'No answer',
  text: 'The site was reached, but did not answer in time. Trying again may help.',
}

const REFUSALS: Readonly<Record<Refusal, ErrorPage>> = {
  malformed: { status: 400, title: 'Bad address', text: 'This address cannot be understood.' },
  'not-a-proxy-request': {
    status: 400,
    title: 'This is a proxy',
    text: 'Set this address and port as the HTTP proxy of your browser, then open an address that ends in .i2p.',
  },
  scheme: {
    status: 400,
    title: 'Not http',
    text: 'Only http addresses can be asked for in this way. For https, the browser must use this proxy for https too.',
  },
  outside: {
    status: 403,
    title: 'Outside I2P',
    text: 'This proxy leads to I2P only: addresses that end in .i2p. Nothing was sent.',
  },
  'unknown-name': {
    status: 502,
    title: 'Unknown name',
    text: 'No address book knows this name. Ask for the address that ends in .b32.i2p.',
  },
  'encrypted-name': {
    status: 502,
    title: 'Encrypted destination',
    text: 'Addresses of encrypted destinations (56 characters or more before .b32.i2p) are not supported in this version.',
  },
}

export function refusalPage(refusal: Refusal): ErrorPage {
  return REFUSALS[refusal]
}

const NOT_FOUND: ErrorPage = {
  status: 502,
  title: 'Destination not found',
  text: 'No router that was asked knows it now. It may be off, or this node has only just started. Trying again may help.',
}

/** By the code of a RefusedError. */
const FAILURES: ReadonlyMap<string, ErrorPage> = new Map([
  ['unreachable', NOT_FOUND],
  [
    'timeout',
    {
      status: 504,
      title: 'Destination does not answer',
      text: 'It is known, but nothing comes back. It may be off, or out of reach for now. Trying again may help.',
    },
  ],
  [
    'refused',
    {
      status: 502,
      title: 'Connection refused',
      text: 'The destination answers, but offers nothing on this port.',
    },
  ],
  ['reset', BAD_RESPONSE],
  [
    'limit',
    {
      status: 503,
      title: 'Too many connections',
      text: 'This node has as many open as it can. Trying again later will help.',
    },
  ],
  [
    'not-ready',
    {
      status: 503,
      title: 'Not ready',
      text: 'This node has only just started. Trying again soon will help.',
    },
  ],
  ['unknown-name', REFUSALS['unknown-name']],
])

/** A stream could not be opened, or broke in another way than a peer's. */
export function failure(e: unknown): ErrorPage {
  return (e instanceof RefusedError ? FAILURES.get(e.code) : undefined) ?? timedOut(e) ?? NOT_FOUND
}

function timedOut(e: unknown): ErrorPage | undefined {
  return e instanceof Error && 'code' in e && e.code === 'ETIMEDOUT' ? NO_RESPONSE : undefined
}
