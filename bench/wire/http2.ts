/** The frames of HTTP/2 that the gRPC client needs. */

export const [DATA, HEADERS, RESET, SETTINGS, PING, GO_AWAY, WINDOW_UPDATE] = [0, 1, 3, 4, 6, 7, 8];
export const END_STREAM = 1;
export const END_HEADERS = 4;
export const ACKNOWLEDGED = 1;
export const INITIAL_WINDOW_SETTING = 4;
export const WINDOW_BYTES_MAX = 0x7fff_ffff;
export const DEFAULT_WINDOW_BYTES = 65_535;

export function frameHead(
  into: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  stream: number,
): void {
  into.writeUIntBE(length, at, 3);
  into[at + 3] = type;
  into[at + 4] = flags;
  into.writeUInt32BE(stream, at + 5);
}

export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(9 + payload.length);
  frameHead(bytes, 0, payload.length, type, flags, stream);
  payload.copy(bytes, 9);
  return bytes;
}

export function settings(...pairs: readonly (readonly [number, number])[]): Buffer {
  const payload = Buffer.alloc(pairs.length * 6);
  for (const [at, [name, value]] of pairs.entries()) {
    payload.writeUInt16BE(name, at * 6);
    payload.writeUInt32BE(value, at * 6 + 2);
  }
  return frame(SETTINGS, 0, 0, payload);
}

export function windowUpdate(bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return frame(WINDOW_UPDATE, 0, 0, payload);
}
