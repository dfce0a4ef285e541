/*
 * Makes events to be counted and timed, and nothing else. Usage: events syscall N | touch PAGES | fpu N
 *   syscall   N calls of getppid
 *   touch     maps PAGES pages, stores one word in each, unmaps them
 *   fpu       N steps of a double-precision logistic map; prints the last value
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: events syscall N | touch PAGES | fpu N\n");
    return 2;
  }
  unsigned long n = strtoul(argv[2], 0, 10);
  if (strcmp(argv[1], "syscall") == 0) {
    for (unsigned long i = 0; i < n; i++) syscall(SYS_getppid);
  } else if (strcmp(argv[1], "touch") == 0) {
    volatile unsigned char *at = mmap(0, n * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
      perror("mmap");
      return 1;
    }
    for (unsigned long i = 0; i < n; i++) at[i * 4096] = 1;
    munmap((void *)at, n * 4096);
  } else if (strcmp(argv[1], "fpu") == 0) {
    volatile double r = 3.75;
    double x = 0.5;
    for (unsigned long i = 0; i < n; i++) x = r * x * (1 - x);
    printf("%.17g\n", x);
  }
  return 0;
}
