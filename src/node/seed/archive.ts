/** RouterInfos out of a zip, with bounds on what may come out. */
import { unzipSync } from 'fflate'
import { MalformedError } from '../../base/errors.ts'

// Implementation constants
/** A reseed has about 75, a netDb at most some 10,000. */
const MAX_ENTRIES = 20_000
/** No RouterInfo is larger (protocol limit of a message). */
export const MAX_ENTRY: number = 64 * 1024
/** All together, unpacked: 20,000 of usual size. */
const MAX_TOTAL = 64 * 1024 * 1024

/** What RouterInfos are called in reseeds (`routerInfo-HASH.dat`) and in data folders (`router.info`). */
export function isRouterInfoName(name: string): boolean {
  return /^(routerInfo-[A-Za-z0-9~-]{43}=\.dat|([\w-]+\.)?router\.info)$/.test(name)
}

/** Entries with other names, in folders, or too large are passed over. @throws {MalformedError} */
export function unzipRouterInfos(zip: Uint8Array): Uint8Array[] {
  let entries = 0
  let total = 0
  try {
    const files = unzipSync(zip, {
      filter: ({ name, originalSize }) => {
        if (++entries > MAX_ENTRIES) throw new MalformedError(`zip: more than ${MAX_ENTRIES} entries`)
        if (!isRouterInfoName(name) || originalSize > MAX_ENTRY) return false
        total += originalSize
        if (total > MAX_TOTAL) throw new MalformedError(`zip: more than ${MAX_TOTAL} bytes`)
        return true
      },
    })
    return Object.values(files).filter((f) => f.length <= MAX_ENTRY)
  } catch (e) {
    // fflate throws plain errors, and range errors on lengths that make no sense.
    throw e instanceof MalformedError ? e : new MalformedError('zip: damaged')
  }
}
