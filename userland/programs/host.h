/*
 * What a program of the host kernel needs beyond the C library: virtual page tables. Values are DragonFly's.
 */
#ifndef HOST_H
#define HOST_H

#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096u
#define MB (1024u * 1024u)
#define MAP_VPAGETABLE 0x2000
#define MADV_INVAL 10
#define MADV_SETMAP 11
#define SYS_mcontrol 485

static inline int mcontrol(volatile void *addr, size_t len, int behav, long value) {
  return (int)syscall(SYS_mcontrol, addr, len, behav, value);
}

/* Anonymous shared memory under a page table of its own; 0 and a message where the host refuses. */
static inline volatile unsigned char *map_vpagetable(size_t size) {
  void *at = mmap(0, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS | MAP_VPAGETABLE, -1, 0);
  if (at != MAP_FAILED) return at;
  perror("mmap(MAP_VPAGETABLE)");
  return 0;
}

#endif
