/*
 * The seed: the test program that came with the announcement of virtual page tables in September 2006, in its first
 * form. Runs as a host process. No SETMAP and no INVAL exist: the directory is frame 0 of the mapping, and an entry of
 * zero is valid and names frame 0 (layout vpte-2006).
 *
 *   frame 0     directory   [0] = PS, the first 4 MiB linear   [1] = frame 1
 *   frame 1     table       [0] = [1] = frame 1024             [2] = 0, that is frame 0, or IV
 *   frame 1024  data
 *
 * Usage: seed-2006 [invalid | late | beyond]
 *   invalid   table[2] = IV before it is read: the read of 4M + 8192 dies of SIGSEGV
 *   late      read it first, then store IV: the cached translation still answers
 *   beyond    an entry names a frame far beyond the mapping: a zero page, the object is larger than its mapping
 */
#include "host.h"
#include <stdio.h>
#include <string.h>

#define SIZE (32u * MB)
#define IV 0x1u
#define PS 0x2u

static volatile unsigned char *base;

static volatile uint32_t *word(uint32_t offset) { return (volatile uint32_t *)(base + offset); }

static void show(const char *name, uint32_t offset) { printf("%-18s %#x\n", name, (unsigned)*word(offset)); }

int main(int argc, char **argv) {
  const char *variant = argc > 1 ? argv[1] : "";
  setvbuf(stdout, 0, _IONBF, 0);
  base = map_vpagetable(SIZE);
  if (base == 0) return 1;

  volatile uint32_t *dir = word(0), *table = word(PAGE);
  dir[0] = PS;
  dir[1] = 1u * PAGE;
  table[0] = 1024u * PAGE;
  table[1] = 1024u * PAGE;
  *word(4 * MB) = 23;
  if (strcmp(variant, "late") == 0) show("ptr[4M + 8192]", 4 * MB + 2 * PAGE);
  if (strcmp(variant, "late") == 0 || strcmp(variant, "invalid") == 0) table[2] = IV;
  if (strcmp(variant, "beyond") == 0) table[2] = 100000u * PAGE;

  show("ptr[4M + 0]", 4 * MB);
  show("ptr[4M + 4096]", 4 * MB + PAGE);
  show("ptr[4M + 12288]", 4 * MB + 3 * PAGE);
  show("ptr[4M + 8192]", 4 * MB + 2 * PAGE);
  show("ptr[8M - 4096]", 8 * MB - PAGE);
  show("ptr[0]", 0);
  show("ptr[4096]", PAGE);
  show("ptr[4M - 4096]", 4 * MB - PAGE);
  show("ptr[8M]", 8 * MB);
  show("ptr[8M + 4096]", 8 * MB + PAGE);
  show("ptr[8M + 8192]", 8 * MB + 2 * PAGE);
  *word(4 * MB + PAGE) = 24;
  show("ptr[4M] again", 4 * MB);
  return 0;
}
