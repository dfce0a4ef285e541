/** Memory sizes as a person writes them: `256M`, `1G`, `65536K`. */

const UNITS: ReadonlyMap<string, number> = new Map([
  ['K', 1024],
  ['M', 1024 ** 2],
  ['G', 1024 ** 3],
]);

/** Bytes meant by `text` (digits and K, M or G), or null if it is not a size. A bare number counts MiB. */
export function parseSize(text: string): number | null {
  const match = /^(\d{1,9})([KMG]?)(?:i?B)?$/i.exec(text);
  if (match === null) return null;
  return Number(match[1]) * (UNITS.get((match[2] as string).toUpperCase() || 'M') as number);
}

/** `bytes` for a person: `256 MiB`, `12 KiB`. */
export function showSize(bytes: number): string {
  if (bytes >= 1024 ** 3 && bytes % 1024 ** 2 === 0)
    return `${bytes % 1024 ** 3 === 0 ? bytes / 1024 ** 3 : (bytes / 1024 ** 3).toFixed(1)} GiB`;
  if (bytes >= 1024 ** 2) return `${Math.round(bytes / 1024 ** 2)} MiB`;
  return `${Math.round(bytes / 1024)} KiB`;
}
