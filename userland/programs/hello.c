/* The smallest program worth running: says who it is. */
#include <stdio.h>

int main(int argc, char **argv) {
  printf("hello from a %d-bit guest, %d argument%s\n", __riscv_xlen, argc - 1, argc == 2 ? "" : "s");
  for (int i = 1; i < argc; i++) printf("  %s\n", argv[i]);
  return 0;
}
