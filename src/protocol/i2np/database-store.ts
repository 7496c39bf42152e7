/** An entry of the netDb on its way (i2np, "DatabaseStore"). */
import { type Reader, Writer } from '../../base/bytes.ts'
import { gunzip, gzip } from '../../base/gzip.ts'
import { HASH_LENGTH, type Hash } from '../structures/hash.ts'
import { StoreType } from '../structures/lease-set.ts'
import { MAX_ROUTER_INFO } from '../structures/router-info.ts'

// Specification constants
/** The upper bits of the type byte are reserved. */
const TYPE_MASK = 0x0f

/** Where the DeliveryStatus with our token goes. */
export interface StoreReply {
  /** Not zero. */
  readonly token: number
  /** 0: directly to the router `gateway`. */
  readonly tunnelId: number
  readonly gateway: Hash
}

export interface DatabaseStore {
  readonly key: Hash
  /** As in `StoreType`. */
  readonly type: number
  readonly reply?: StoreReply
  /** The structure itself; a RouterInfo is compressed on the wire only. */
  readonly data: Uint8Array
}

/** Inflates a RouterInfo, to MAX_ROUTER_INFO bytes at most. */
export function readDatabaseStore(r: Reader): DatabaseStore {
  const key = r.take(HASH_LENGTH)
  const type = r.u8() & TYPE_MASK
  const token = r.u32()
  const reply = token === 0 ? {} : { reply: { token, tunnelId: r.u32(), gateway: r.take(HASH_LENGTH) } }
  if (type !== StoreType.RouterInfo) return { key, type, ...reply, data: r.rest() }
  const packed = r.take(r.u16())
  r.end('DatabaseStore')
  return { key, type, ...reply, data: gunzip(packed, MAX_ROUTER_INFO) }
}

export function writeDatabaseStore(m: DatabaseStore): Uint8Array {
  const routerInfo = m.type === StoreType.RouterInfo
  const data = routerInfo ? gzip(m.data) : m.data
  const { reply } = m
  const w = new Writer(37 + (reply === undefined ? 0 : 36) + (routerInfo ? 2 : 0) + data.length)
  w.put(m.key).u8(m.type)
  if (reply === undefined) w.u32(0)
  else w.u32(reply.token).u32(reply.tunnelId).put(reply.gateway)
  if (routerInfo) w.u16(data.length)
  return w.put(data).bytes
}
