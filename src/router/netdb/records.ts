/** RouterInfos on disk: records that delimit themselves, so that a journal is just one after another. */
import { Reader, Writer } from '../../base/bytes.ts'
import { MalformedError } from '../../base/errors.ts'
import { type RouterInfo, readRouterInfo, verifyRouterInfo } from '../../protocol/structures/router-info.ts'

// Implementation constants
/** The kind of a record is its format's version too. */
const ROUTER_INFO_RECORD = 1
const RECORD_HEADER = 3

export function routerInfoRecord(ri: RouterInfo): Uint8Array {
  return new Writer(RECORD_HEADER + ri.bytes.length).u8(ROUTER_INFO_RECORD).u16(ri.bytes.length).put(ri.bytes)
    .bytes
}

/** The verified RouterInfos among records; other kinds and bad ones are skipped, and a torn end ends it. */
export function* readRecords(bytes: Uint8Array): IterableIterator<RouterInfo> {
  const r = new Reader(bytes)
  while (r.left >= RECORD_HEADER) {
    const kind = r.u8()
    const length = r.u16()
    if (length > r.left) return
    const body = r.take(length)
    const ri = kind === ROUTER_INFO_RECORD ? parsed(body) : undefined
    if (ri !== undefined) yield ri
  }
}

function parsed(bytes: Uint8Array): RouterInfo | undefined {
  try {
    return verifyRouterInfo(readRouterInfo(bytes))
  } catch (e) {
    if (e instanceof MalformedError) return undefined
    throw e
  }
}
