/** Values of a simulated world are text. */
export function encodeText(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
export function decodeText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
