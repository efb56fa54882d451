/** Every wait of a link, in milliseconds. */
export interface LinkTiming {
  /** From the start of a dial to an established connection. */
  readonly connectTimeoutMs: number;
  /** From an established connection to the end of its handshake, TLS included. */
  readonly handshakeTimeoutMs: number;
  /** A ping is sent when nothing came in for this long. */
  readonly pingIntervalMs: number;
  /** A connection that was silent for this long is dead: TCP alone notices a cut only after seconds or minutes. */
  readonly silenceTimeoutMs: number;
  /** The pause before the second dial; it doubles up to `backoffMaxMs`, each time between a half and the whole of it. */
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** A name is looked up again at most this often, and only after a dial failed. */
  readonly resolveIntervalMs: number;
}

export const DEFAULT_TIMING: LinkTiming = {
  connectTimeoutMs: 500,
  handshakeTimeoutMs: 1_000,
  pingIntervalMs: 250,
  silenceTimeoutMs: 1_000,
  backoffMinMs: 50,
  backoffMaxMs: 1_000,
  resolveIntervalMs: 5_000,
};
