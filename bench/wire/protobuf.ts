/** As much of Protocol Buffers as etcd's calls need: varints and length-delimited fields, field numbers below 16. */

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return bytes;
}

export function bytesField(field: number, content: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...varint(content.length)]), content]);
}

export function numberField(field: number, value: number): Buffer {
  return Buffer.from([field << 3, ...varint(value)]);
}

/** The length-delimited fields of this number in a message; other fields are passed over. */
export function bytesFields(message: Buffer, wanted: number): Buffer[] {
  const found: Buffer[] = [];
  let offset = 0;
  const number = (): number => {
    let [value, factor] = [0, 1];
    for (;;) {
      const byte = message[offset] ?? 0;
      offset += 1;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
      factor *= 128;
    }
  };
  while (offset < message.length) {
    const tag = number();
    const kind = tag & 7;
    if (kind === 0) number();
    else if (kind === 2) {
      const length = number();
      if (tag >> 3 === wanted) found.push(message.subarray(offset, offset + length));
      offset += length;
    } else throw new Error(`protobuf: wire type ${kind} is not expected`);
  }
  return found;
}
