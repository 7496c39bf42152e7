/**
 * One SSU2 session from the end of its handshake on: opens packets and tells what is in them, sends what is queued, and ends.
 * Sans-IO: packets and time in, a Sink out. `ended` is told at once; the session then absorbs strays for a while, until its state
 * is 'ended' (ssu2, "Session Termination").
 *
 * Its owner calls `start` once, `flush` at the end of a turn in which it received or queued something, and `timeout` at `deadline`,
 * which may change with every call.
 */
import { concat, Reader, Writer } from '../../base/bytes.ts'
import type { Clock, Millis } from '../../base/clock.ts'
import type { Endpoint, Sink } from '../../base/core.ts'
import { MalformedError } from '../../base/errors.ts'
import { ipBytes } from '../../base/ip.ts'
import { SeenFilter } from '../../base/lru.ts'
import { jitter, type Random } from '../../base/random.ts'
import { BLOCK_HEADER, BlockCursor, BlockType, putBlockHeader } from '../blocks/block.ts'
import { readDateTime, writeDateTime } from '../blocks/date-time.ts'
import type { OutputQueue } from '../blocks/output-queue.ts'
import { OPTIONS_MIN_LENGTH, readPaddingOptions } from '../blocks/padding-options.ts'
import { readTermination, TerminationReason, writeTermination } from '../blocks/termination.ts'
import { type I2npMessage, isExpired, readShortMessage } from '../i2np/message.ts'
import type { Hash } from '../structures/hash.ts'
import { readAck } from './ack-block.ts'
import { Acknowledger } from './acknowledger.ts'
import { readAddress, readCongestion, readFollowOnFragment, Ssu2BlockType, writeAddress } from './blocks.ts'
import { type DataPhaseKeys, maxPayload, PacketOpener, PacketSealer } from './data-packet.ts'
import { Path, sameEndpoint } from './path.ts'
import { Reassembler } from './reassembler.ts'
import { readSsu2RouterInfoBlock, writeSsu2RouterInfoBlock } from './router-info-block.ts'
import { RttEstimator } from './rtt.ts'
import { Sender } from './sender.ts'
