/*
 * Page tables of one's own, from the command line: memory under a virtual page table in whatever format the host was
 * told to walk (--vpte). Runs as a host process.
 *
 * Usage: tables [-s SIZE] [-b] [-4] ROOT [ADDRESS=VALUE ...] -- [rADDRESS | wADDRESS=VALUE | eADDRESS | iADDRESS ...]
 *
 *   -s SIZE         bytes of memory, 16 MiB without it
 *   -b              values are written with their most significant byte first
 *   -4              values are of 4 bytes instead of 8
 *   ROOT            what SETMAP is given
 *   ADDRESS=VALUE   stored at that offset of the memory, before SETMAP
 *   rADDRESS        reads 8 bytes through the page table, and shows them
 *   wADDRESS=VALUE  writes 8 bytes through the page table
 *   eADDRESS        shows an entry as it is now: 4 or 8 bytes at that offset of the memory
 *   iADDRESS        tells the host that the page's entry has changed (INVAL)
 *
 * An access that the table does not permit ends the program with SIGSEGV, and the host says why.
 */
#define _GNU_SOURCE
#include "host.h"
#include <stdlib.h>
#include <string.h>

static unsigned char *memory;
static size_t size = 16 * MB;
static unsigned bytes = 8;
static int big;

static uint64_t number(const char *text) {
  char *end;
  uint64_t value = strtoull(text, &end, 0);
  if (end == text || (*end != '\0' && *end != '=')) {
    fprintf(stderr, "tables: '%s' is no number\n", text);
    exit(2);
  }
  return value;
}

static uint64_t after(const char *text) {
  const char *sign = strchr(text, '=');
  if (sign == 0) {
    fprintf(stderr, "tables: '%s' has no =VALUE\n", text);
    exit(2);
  }
  return number(sign + 1);
}

static unsigned char *entry(const char *text) {
  uint64_t at = number(text);
  if (at > size - 8) {
    fprintf(stderr, "tables: %s lies outside the memory\n", text);
    exit(2);
  }
  return memory + at;
}

static unsigned place(unsigned i) { return big ? bytes - 1 - i : i; }

int main(int argc, char **argv) {
  int i = 1;
  setvbuf(stdout, 0, _IONBF, 0);
  for (; i < argc && argv[i][0] == '-' && argv[i][1] != '-'; i++) {
    if (strcmp(argv[i], "-b") == 0) big = 1;
    else if (strcmp(argv[i], "-4") == 0) bytes = 4;
    else if (strcmp(argv[i], "-s") == 0 && i + 1 < argc) size = number(argv[++i]);
    else break;
  }
  if (i >= argc || argv[i][0] == '-') {
    fputs("usage: tables [-s SIZE] [-b] [-4] ROOT [ADDRESS=VALUE ...] -- [rADDRESS | wADDRESS=VALUE | eADDRESS | iADDRESS ...]\n", stderr);
    return 2;
  }
  uint64_t root = number(argv[i++]);

  int fd = memfd_create("tables", 0);
  if (fd < 0 || ftruncate(fd, (off_t)size) != 0) {
    perror("tables: memory");
    return 1;
  }
  memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  unsigned char *base = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_VPAGETABLE, fd, 0);
  if (memory == MAP_FAILED || base == MAP_FAILED) {
    perror("tables: mmap");
    return 1;
  }
  for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
    unsigned char *to = entry(argv[i]);
    uint64_t value = after(argv[i]);
    for (unsigned k = 0; k < bytes; k++) to[place(k)] = (unsigned char)(value >> (8 * k));
  }
  if (mcontrol(base, size, MADV_SETMAP, (long)root) != 0) {
    perror("tables: SETMAP");
    return 1;
  }
  for (i++; i < argc; i++) {
    const char *what = argv[i] + 1;
    volatile uint64_t *at = (volatile uint64_t *)(base + (number(what) & ~7ull));
    switch (argv[i][0]) {
      case 'r':
        printf("read  %#llx: %#llx\n", (unsigned long long)number(what), (unsigned long long)*at);
        break;
      case 'w':
        *at = after(what);
        printf("wrote %#llx: %#llx\n", (unsigned long long)number(what), (unsigned long long)after(what));
        break;
      case 'e': {
        uint64_t value = 0;
        for (unsigned k = 0; k < bytes; k++) value |= (uint64_t)entry(what)[place(k)] << (8 * k);
        printf("entry %#llx: %#llx\n", (unsigned long long)number(what), (unsigned long long)value);
        break;
      }
      case 'i':
        if (mcontrol(base + (number(what) & ~(uint64_t)(PAGE - 1)), PAGE, MADV_INVAL, 0) != 0) perror("tables: INVAL");
        break;
      default:
        fprintf(stderr, "tables: '%s' is no access\n", argv[i]);
        return 2;
    }
  }
  return 0;
}
