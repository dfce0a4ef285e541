/*
 * The seed in its modern form: the root is an entry set with SETMAP, and zero is invalid. Runs as a host process, over
 * vpte-32-nx on rv32 and vpte-64-nx on rv64.
 *
 * Anonymous memory can be populated: set a PS root (the whole mapping linear), fill the tables through that view, set
 * the real root. One directory entry keeps the linear window open (PS), the next leads to the table of the aliases.
 *
 * Usage: seed-modern [before | hole | beyond | inval]: the accesses that die of SIGSEGV, one a run
 *   before   an access before the first SETMAP
 *   hole     a page whose table entry is zero
 *   beyond   the directory entry behind the last
 *   inval    an entry cleared after use: it still answers until INVAL, then it is gone
 */
#include "host.h"
#include <stdio.h>
#include <string.h>

#define V 0x1u
#define RW 0x2u
#define PS 0x80u

#if __riscv_xlen == 64
typedef uint64_t vpte_t;
#define LEVELS 4
#define SPAN (2u * MB) /* one entry of the last directory */
#else
typedef uint32_t vpte_t;
#define LEVELS 2
#define SPAN (4u * MB)
#endif
#define SIZE (8u * SPAN)
#define TABLE (LEVELS - 1) /* frame of the table of the aliases */
#define DIR (LEVELS - 2)   /* frame of the last directory */
#define DATA (SPAN / PAGE) /* frame of the data */

static volatile unsigned char *base;

static volatile vpte_t *entry(uint32_t frame, uint32_t slot) {
  return (volatile vpte_t *)(base + frame * PAGE) + slot;
}
static volatile uint32_t *word(uint32_t offset) { return (volatile uint32_t *)(base + offset); }
static void show(const char *name, unsigned long value) { printf("%-24s %#lx\n", name, value); }

int main(int argc, char **argv) {
  const char *variant = argc > 1 ? argv[1] : "";
  setvbuf(stdout, 0, _IONBF, 0);
  base = map_vpagetable(SIZE);
  if (base == 0) return 1;
  if (strcmp(variant, "before") == 0) show("before SETMAP", *word(0));

  if (mcontrol(base, SIZE, MADV_SETMAP, V | RW | PS) != 0) return 1;
  for (uint32_t level = 0; level < DIR; level++) *entry(level, 0) = (level + 1) * PAGE | V | RW;
  *entry(DIR, 0) = PS | V | RW;
  *entry(DIR, 1) = TABLE * PAGE | V | RW;
  *entry(TABLE, 0) = *entry(TABLE, 1) = DATA * PAGE | V | RW;
  if (mcontrol(base, SIZE, MADV_SETMAP, V | RW) != 0) return 1;

  *word(SPAN) = 23;
  show("directory entry", *entry(DIR, 1));
  show("table[0] written", *entry(TABLE, 0));
  show("first page", *word(SPAN));
  show("second page, an alias", *word(SPAN + PAGE));
  show("table[1] read", *entry(TABLE, 1));
  if (strcmp(variant, "hole") == 0) show("third page", *word(SPAN + 2 * PAGE));
  if (strcmp(variant, "beyond") == 0) show("beyond", *word(2 * SPAN));

  *entry(TABLE, 2) = DIR * PAGE | V | RW; /* through the linear window: no INVAL, it was invalid before */
  show("the directory as data", *(volatile unsigned char *)(base + SPAN + 2 * PAGE));
  show("table[2] read", *entry(TABLE, 2));
  *word(SPAN + PAGE) = 24;
  show("first page again", *word(SPAN));
  show("table[1] written", *entry(TABLE, 1));
  *entry(TABLE, 2) = 0;
  show("cleared, still cached", *(volatile unsigned char *)(base + SPAN + 2 * PAGE));
  if (mcontrol(base + SPAN + 2 * PAGE, PAGE, MADV_INVAL, 0) != 0) return 1;
  if (strcmp(variant, "inval") == 0) show("after INVAL", *word(SPAN + 2 * PAGE));
  return 0;
}
