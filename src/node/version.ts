/** The version, put in by the build from package.json. */
declare const RAMSONS_VERSION: string

export const VERSION: string = typeof RAMSONS_VERSION === 'string' ? RAMSONS_VERSION : 'unbuilt'
