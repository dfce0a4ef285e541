/*
 * Memory as runtimes use it: write barriers, guard pages, growing and moving mappings, files in memory, code made at run
 * time, large heaps and a deep stack. Prints one line a fact; the output is the same on every machine.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096
#define HEAP_PAGES 64
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)
#define READ_WRITE (PROT_READ | PROT_WRITE)

static sigjmp_buf recovery;
static char *heap;
static int dirty[HEAP_PAGES];

/* A store to the protected heap is counted and let through; any other fault ends the probe under way. */
static void fault(int sig, siginfo_t *info, void *context) {
  (void)context;
  long offset = (char *)info->si_addr - heap;
  if (offset < 0 || offset >= HEAP_PAGES * PAGE) siglongjmp(recovery, sig);
  dirty[offset / PAGE]++;
  mprotect(heap + offset / PAGE * PAGE, PAGE, READ_WRITE);
}

/* The signal of a load, 0 if it succeeds. */
static int probe(const volatile char *at) {
  int sig = sigsetjmp(recovery, 1);
  if (sig == 0) (void)*at;
  return sig;
}

static unsigned hash(const char *at, size_t size) {
  unsigned sum = 5381;
  while (size-- > 0) sum = sum * 33 + (unsigned char)*at++;
  return sum;
}

static const char *outcome(const void *mapped) {
  return mapped == MAP_FAILED ? (errno == EINVAL ? "EINVAL" : errno == EBADF ? "EBADF" : errno == EACCES ? "EACCES" : "refused") : "mapped";
}

static void barrier(void) {
  heap = mmap(0, HEAP_PAGES * PAGE, READ_WRITE, ANONYMOUS, -1, 0);
  for (int i = 0; i < HEAP_PAGES; i++) heap[i * PAGE] = (char)i;
  for (int round = 0; round < 3; round++) {
    memset(dirty, 0, sizeof dirty);
    mprotect(heap, HEAP_PAGES * PAGE, PROT_READ);
    for (int i = 0; i < HEAP_PAGES; i += 1 + round) heap[i * PAGE + 8] = heap[i * PAGE + 16] = (char)round;
    int pages = 0;
    for (int i = 0; i < HEAP_PAGES; i++) pages += dirty[i];
    printf("write barrier: %d pages dirty, hash %u\n", pages, hash(heap, HEAP_PAGES * PAGE));
  }
}

static void layout(void) {
  char *guarded = mmap(0, 3 * PAGE, PROT_NONE, ANONYMOUS, -1, 0);
  mprotect(guarded + PAGE, PAGE, READ_WRITE);
  printf("guard pages: %d %d %d %d\n", probe(guarded + PAGE - 1), probe(guarded + PAGE), probe(guarded + 2 * PAGE - 1), probe(guarded + 2 * PAGE));
  char *block = mmap(0, 8 * PAGE, READ_WRITE, ANONYMOUS, -1, 0);
  memset(block, 1, 8 * PAGE);
  munmap(block + 2 * PAGE, 3 * PAGE);
  printf("a hole:");
  for (int i = 0; i < 8; i++) printf(" %d", probe(block + i * PAGE));
  char *filled = mmap(block + 3 * PAGE, PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -1, 0);
  printf("\nfilled in place %d, zero %d\n", filled == block + 3 * PAGE, *filled == 0);
  mmap(block, PAGE, READ_WRITE, ANONYMOUS | MAP_FIXED, -1, 0);
  printf("replaced: %d, its neighbour: %d\n", block[0], block[PAGE]);
  memset(heap, 5, 3 * PAGE);
  madvise(heap + PAGE, PAGE, MADV_DONTNEED);
  printf("thrown away: %d %d %d\n", heap[0], heap[PAGE], heap[2 * PAGE]);
}

static void growth(void) {
  size_t pages = 4;
  char *block = mmap(0, pages * PAGE, READ_WRITE, ANONYMOUS, -1, 0);
  for (size_t i = 0; i < pages * PAGE; i++) block[i] = (char)(i * 7);
  unsigned before = hash(block, 4 * PAGE);
  for (; pages < 1000; pages *= 3) block = mremap(block, pages * PAGE, 3 * pages * PAGE, MREMAP_MAYMOVE);
  printf("grown to %d pages: same %d, new zero %d\n", (int)pages, hash(block, 4 * PAGE) == before, block[pages * PAGE - 1] == 0);
  char *place = mmap(0, 16 * PAGE, PROT_NONE, ANONYMOUS, -1, 0);
  char *moved = mremap(block, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place + 4 * PAGE);
  printf("moved %d: same %d, old place %d\n", moved == place + 4 * PAGE, hash(moved, 4 * PAGE) == before, probe(block));
}

static void files(void) {
  char text[4] = "";
  struct stat status;
  int fd = open("memory.tmp", O_RDWR | O_CREAT | O_TRUNC, 0644);
  for (int i = 0; i < 5; i++) {
    char page[PAGE];
    memset(page, 'a' + i, PAGE);
    if (write(fd, page, PAGE) != PAGE) perror("write");
  }
  if (write(fd, "tail", 4) != 4) perror("write");
  char *shared = mmap(0, 6 * PAGE, READ_WRITE, MAP_SHARED, fd, 0);
  char *own = mmap(0, 6 * PAGE, READ_WRITE, MAP_PRIVATE, fd, 0);
  shared[0] = 'X';
  pread(fd, text, 2, 0);
  printf("read sees a shared store: %s\n", text);
  own[0] = 'Z';
  printf("a private store stays private: %c %c\n", shared[0], own[0]);
  pwrite(fd, "Q", 1, 2 * PAGE);
  printf("a write is seen by both: %c %c\n", shared[2 * PAGE], own[2 * PAGE]);
  printf("last page: %.4s, then %d\n", shared + 5 * PAGE, shared[5 * PAGE + 4]);
  ftruncate(fd, 2 * PAGE);
  printf("beyond the end: %d, before it: %d\n", probe(shared + 3 * PAGE), probe(shared + PAGE));
  ftruncate(fd, 6 * PAGE);
  printf("after growth: %d\n", shared[3 * PAGE]);
  close(fd);
  shared[PAGE + 2] = 'W';
  msync(shared, 6 * PAGE, MS_SYNC);
  munmap(shared, 6 * PAGE);
  fd = open("memory.tmp", O_RDONLY);
  pread(fd, text, 3, PAGE);
  fstat(fd, &status);
  printf("after unmapping: %s, %d bytes\n", text, (int)status.st_size);
  printf("shared and writable: %s", outcome(mmap(0, PAGE, READ_WRITE, MAP_SHARED, fd, 0)));
  printf(", private: %s", outcome(mmap(0, PAGE, READ_WRITE, MAP_PRIVATE, fd, 0)));
  printf(", no length: %s", outcome(mmap(0, 0, PROT_READ, ANONYMOUS, -1, 0)));
  printf(", no file: %s\n", outcome(mmap(0, PAGE, PROT_READ, MAP_PRIVATE, 77, 0)));
  close(fd);
  unlink("memory.tmp");
}

/* Instructions of "add a0, a0, IMMEDIATE; ret" made 1000 times in the same place. */
static void code(void) {
  unsigned *page = mmap(0, PAGE, READ_WRITE | PROT_EXEC, ANONYMOUS, -1, 0);
  int (*function)(int) = (int (*)(int))(void *)page;
  int wrong = 0;
  page[1] = 0x00008067;
  for (unsigned i = 0; i < 1000; i++) {
    page[0] = 0x00050513 | i << 20;
    __builtin___clear_cache((char *)page, (char *)(page + 2));
    wrong += function(1) != 1 + (int)i;
  }
  mprotect(page, PAGE, READ_WRITE);
  int sig = sigsetjmp(recovery, 1);
  if (sig == 0) function(1);
  mprotect(page, PAGE, PROT_READ | PROT_EXEC);
  printf("code: %d stale, not executable: signal %d, then again %d\n", wrong, sig, function(1));
}

static void heaps(void) {
  enum { BLOCKS = 500 };
  static unsigned char *block[BLOCKS];
  static size_t size[BLOCKS];
  unsigned seed = 1, corrupt = 0;
  for (int i = 0; i < 5000; i++) {
    seed = seed * 1103515245 + 12345;
    int k = (int)((seed >> 8) % BLOCKS);
    if (block[k] != 0) corrupt += block[k][0] != (unsigned char)k || block[k][size[k] - 1] != (unsigned char)k;
    if (block[k] != 0 && (seed & 0x100000) == 0) {
      free(block[k]);
      block[k] = 0;
      continue;
    }
    size[k] = 1 + (seed >> 3) % ((seed & 0xf000) == 0 ? 200000 : 3000);
    block[k] = realloc(block[k], size[k]);
    memset(block[k], k, size[k]);
  }
  printf("malloc: %u corrupt\n", corrupt);
  unsigned total = 0;
  char *large = malloc(64 << 20);
  for (int i = 0; i < 64 << 20; i += PAGE) large[i] = (char)(i >> 12);
  for (int i = 0; i < 64 << 20; i += PAGE) total += (unsigned char)large[i];
  printf("64 MiB: %u\n", total);
  free(large);
  volatile char *deep = __builtin_alloca(7 << 20);
  for (int i = (7 << 20) - 1; i >= 0; i -= PAGE) deep[i] = 1;
  printf("7 MiB of stack: %d\n", deep[(7 << 20) - 1]);
}

int main(void) {
  struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, 0);
  sigaction(SIGBUS, &action, 0);
  barrier();
  layout();
  growth();
  files();
  code();
  heaps();
  return 0;
}
