/** How many hops a neighbourhood can honestly give. */

/**
 * `routers` is how many others can be reached, counted by neighbours and contacts, not by identities. With one other a hop
 * would be the far end itself; with a few a second hop would hardly ever be a different router each way. Three are for those
 * who ask (`configured`), where there are enough.
 */
export function hopsForMesh(routers: number, configured: number): number {
  const possible = routers <= 1 ? 0 : routers <= 4 ? 1 : routers <= 7 ? 2 : 3
  return Math.min(possible, configured)
}
