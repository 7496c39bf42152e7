/**
 * When a mesh identity ends at a start (mesh design, "Hello and dialling"; ntcp2, "Published Addresses"): after a long pause nobody
 * needs to know that the one who comes back is the one who left. By the machine's own clock, which no neighbour moves.
 */
import type { WallMillis } from '../../base/clock.ts'
import type { FaceFolder, FaceState } from '../data-folder.ts'
import { SECRET_FILE } from '../mesh-secret.ts'

// Specification constants
const MAX_OFF = 2 * 3_600_000
const MAX_AGE = 7 * 86_400_000

// Implementation constants
/** 2026-01-01. A machine whose clock says less has not heard the date since it was switched on, and knows no durations. */
const EARLIEST: WallMillis = 1_767_225_600_000

/** Forgets the router's keys and whom it knew, when it is time; all but the mesh's secret. To be called before they are read. */
export function endOldIdentity(folder: FaceFolder, wall: WallMillis): boolean {
  const state = folder.readState()
  const due =
    wall >= EARLIEST &&
    (since(state, 'last_run', wall) >= MAX_OFF || since(state, 'identity_created', wall) >= MAX_AGE)
  if (due) folder.wipe([SECRET_FILE])
  noteRun(folder, wall)
  return due
}

/** To be called while the node runs, so that the next start knows for how long it did not. */
export function noteRun(folder: FaceFolder, wall: WallMillis): void {
  if (wall < EARLIEST) return
  const state = folder.readState()
  const created = date(state, 'identity_created')
  // Written by a clock that was ahead, it would keep the identity for as long again.
  const identity_created = created === undefined || created > wall ? wall : created
  folder.writeState({ ...state, identity_created, last_run: wall })
}

/** 0 when it is not known, or lies ahead: then one of the two clocks was wrong. */
function since(state: FaceState, key: string, wall: WallMillis): number {
  const at = date(state, key)
  return at === undefined ? 0 : Math.max(0, wall - at)
}

function date(state: FaceState, key: string): WallMillis | undefined {
  const at = state[key]
  return typeof at === 'number' && Number.isFinite(at) && at >= EARLIEST ? at : undefined
}
