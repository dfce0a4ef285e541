/**
 * Makes .xz files without compressing: the container is whole, its LZMA2 chunks are stored ones. For tests of what reads
 * such files, on machines without the tool `xz`. Source: The .xz File Format 1.2.0; LZMA2 chunks as liblzma writes them.
 *
 *   stream header | block header | stored chunks 0 | padding | CRC32 of the contents | index | stream footer
 */
import { crc32 } from 'node:zlib';

const CHECK_CRC32 = [0, 1]; // stream flags
const CHUNK = 65_536; // bytes a stored chunk holds at most
const FIRST_CHUNK = 1; // stored, and the dictionary is empty
const NEXT_CHUNK = 2; // stored
const LZMA2 = 0x21;
const DICTIONARY = 8; // 64 KiB

/** One .xz stream of `contents`. Streams may follow each other in a file. */
export function xzStored(contents: Uint8Array): Buffer<ArrayBuffer> {
  const blockHeader = withCrc(Buffer.from([2, 0, LZMA2, 1, DICTIONARY, 0, 0, 0]));
  const chunks: Buffer[] = [];
  for (let at = 0; at < contents.length; at += CHUNK) {
    const piece = contents.subarray(at, at + CHUNK);
    const last = piece.length - 1;
    chunks.push(Buffer.from([at === 0 ? FIRST_CHUNK : NEXT_CHUNK, last >> 8, last & 0xff]), Buffer.from(piece));
  }
  const body = Buffer.concat([...chunks, Buffer.of(0)]);
  const unpadded = blockHeader.length + body.length + 4;
  const index = withCrc(padded(Buffer.from([0, 1, ...varint(unpadded), ...varint(contents.length)])));
  const backward = Buffer.from([...u32(index.length / 4 - 1), ...CHECK_CRC32]);
  return Buffer.concat([
    Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]),
    withCrc(Buffer.from(CHECK_CRC32)),
    blockHeader,
    padded(body),
    u32(crc32(contents)),
    index,
    u32(crc32(backward)),
    backward,
    Buffer.from('YZ'),
  ]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function withCrc(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, u32(crc32(bytes))]);
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}

/** Seven bits a byte, the lowest first; the top bit says that more follow. */
function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value % 0x80) | 0x80, ...varint(Math.floor(value / 0x80))];
}
