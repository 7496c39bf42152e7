/** Who is measured, and how the machine's abilities are varied for it. */

export type Who = 'ramsons' | 'i2pd'

export interface Subject {
  readonly who: Who
  readonly variant: string
  /** On top of the environment of the measured process. */
  readonly env: Readonly<Record<string, string>>
}

/**
 * Clears the bits of AES-NI and PCLMULQDQ in what OpenSSL believes of the processor: it then does AES as on a Raspberry Pi 3
 * or 4, which have no such instructions. Both routers do AES in OpenSSL.
 */
const NO_AES = { OPENSSL_ia32cap: '~0x200000200000000' }

export const ACCELERATED: Subject = { who: 'ramsons', variant: 'accelerator', env: {} }
const WITHOUT_ACCELERATOR: Subject = {
  who: 'ramsons',
  variant: 'no accelerator',
  env: { RAMSONS_ACCELERATOR: 'none' },
}
const WITHOUT_AES: Subject = { who: 'ramsons', variant: 'no AES', env: NO_AES }
export const I2PD: Subject = { who: 'i2pd', variant: 'as it is', env: {} }
const I2PD_WITHOUT_AES: Subject = { who: 'i2pd', variant: 'no AES', env: NO_AES }

export const OURS: readonly Subject[] = [ACCELERATED, WITHOUT_ACCELERATOR, WITHOUT_AES]
export const SUBJECTS: readonly Subject[] = [...OURS, I2PD, I2PD_WITHOUT_AES]

export function nameOf(subject: Subject): string {
  return `${subject.who} (${subject.variant})`
}

/** Runs `start` with the subject's environment, for the processes that it spawns before it returns. */
export function inVariant<T>(subject: Subject, start: () => T): T {
  const before = Object.keys(subject.env).map((name) => [name, process.env[name]] as const)
  Object.assign(process.env, subject.env)
  try {
    return start()
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
}
