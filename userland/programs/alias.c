/*
 * Proves that a page is seen by the guest and by its kernel at once. The program prints the address of a page of its own
 * and from then on makes no system call: it waits for a number the kernel stores there, answers in the next word, waits
 * for the kernel to take the answer, and so on. Usage: alias [ROUNDS]
 *
 *   word 0   written by the kernel: round number, 0 before the first
 *   word 1   written by the program: the round's answer, round * 2654435761 (mod 2^32)
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static _Alignas(4096) volatile uint32_t page[1024];

int main(int argc, char **argv) {
  uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], 0, 10) : 8;
  page[1] = 0;
  printf("page %p\n", (void *)page);
  fflush(stdout);
  for (uint32_t round = 1; round <= rounds; round++) {
    while (page[0] != round) continue;
    page[1] = round * 2654435761u;
  }
  printf("%u rounds answered\n", rounds);
  return 0;
}
