/*
 * A vkernel with several threads and processes: guest address spaces that they run in at once, share, and leave; signals and
 * timers that end a RUN; page tables mended by a signal handler. Prints one line a fact. Usage: spaces; it executes itself
 * as `spaces executed`.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "host.h"

#define SYS_vmspace_create 486
#define SYS_vmspace_destroy 487
#define SYS_vmspace_ctl 488
#define SYS_vmspace_mmap 489
#define SYS_vmspace_mcontrol 491
#define SYS_vmspace_pwrite 493
#define SYS_sysctlbyname 496
#define RUN 1
#define CODE 0x400000ul
#define DATA 0x500000ul

struct trapframe {
  uint64_t x[32]; /* x[0] is pc */
  uint32_t trapno, access;
  uint64_t tval;
  uint32_t flags, unused;
  uint64_t budget;
};

struct vextframe {
  uint64_t f[32];
  uint32_t fcsr, flags;
};

/* Both frames, within a page. */
struct guest {
  _Alignas(1024) struct trapframe tf;
  struct vextframe vf;
};

/* li a0, 7; ecall */
static const uint32_t calls[] = {0x00700513, 0x00000073};
/* addi a0, a0, 1; j back */
static const uint32_t spins[] = {0x00150513, 0xffdff06f};
/* amoadd.w x0, a1, (a2); addi a0, a0, -1; bnez a0, back; ecall */
static const uint32_t adds[] = {0x00b6202f, 0xfff50513, 0xfe051ce3, 0x00000073};
/* fadd.d fa0, fa0, fa1; addi a0, a0, -1; bnez a0, back; ecall */
static const uint32_t floats[] = {0x02b57553, 0xfff50513, 0xfe051ce3, 0x00000073};

static long call7(long nr, long a0, long a1, long a2, long a3, long a4, long a5, long a6) {
  register long r0 __asm__("a0") = a0, r1 __asm__("a1") = a1, r2 __asm__("a2") = a2, r3 __asm__("a3") = a3;
  register long r4 __asm__("a4") = a4, r5 __asm__("a5") = a5, r6 __asm__("a6") = a6, r7 __asm__("a7") = nr;
  __asm__ volatile("ecall" : "+r"(r0) : "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5), "r"(r6), "r"(r7) : "memory");
  return r0;
}

static int run(long id, struct guest *guest) {
  return (int)call7(SYS_vmspace_ctl, id, RUN, (long)&guest->tf, (long)&guest->vf, 0, 0, 0);
}

/* A space with a page of code and a page of data. */
static int create(long id, const uint32_t *code, size_t size) {
  long error = call7(SYS_vmspace_create, id, 0, 0, 0, 0, 0, 0);
  if (error) return (int)error;
  call7(SYS_vmspace_mmap, id, CODE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, 0x1011, -1, 0);
  call7(SYS_vmspace_mmap, id, DATA, PAGE, PROT_READ | PROT_WRITE, 0x1011, -1, 0);
  return call7(SYS_vmspace_pwrite, id, (long)code, (long)size, 0, CODE, 0, 0) == (long)size ? 0 : -1;
}

static long destroy(long id) { return call7(SYS_vmspace_destroy, id, 0, 0, 0, 0, 0, 0); }

static struct guest *prepare(void) {
  struct guest *guest = aligned_alloc(1024, sizeof *guest);
  memset(guest, 0, sizeof *guest);
  guest->tf.x[0] = CODE;
  return guest;
}

static volatile sig_atomic_t count;

static void tally(int sig) {
  (void)sig;
  count++;
}

static void handle(int sig, void (*handler)(int)) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
  sigaction(sig, &action, 0);
}

static void one(void) {
  struct guest *guest = prepare();
  printf("create %d, again %d\n", create(1, calls, sizeof calls), create(1, calls, sizeof calls));
  int result = run(1, guest);
  printf("run %d: trap %u, a0 %u, pc +%u\n", result, guest->tf.trapno, (unsigned)guest->tf.x[10], (unsigned)(guest->tf.x[0] - CODE));
  printf("destroy %ld, again %ld, run %d\n", destroy(1), destroy(1), run(1, guest));
}

/* A guest that never traps, and each of the three timers. */
static void timers(void) {
  static const int kinds[] = {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF};
  static const int signals[] = {SIGALRM, SIGVTALRM, SIGPROF};
  create(2, spins, sizeof spins);
  for (int i = 0; i < 3; i++) {
    struct guest *guest = prepare();
    struct itimerval time = {{0, 0}, {0, 2000}}, left;
    handle(signals[i], tally);
    count = 0;
    setitimer(kinds[i], &time, 0);
    int result = run(2, guest);
    unsigned first = (unsigned)guest->tf.x[10];
    printf("timer %d: run %d, trap %u, handled %d, between %d\n", i, result, guest->tf.trapno, (int)count, first > 900000 && first <= 1000000);
    getitimer(kinds[i], &left);
    time.it_interval.tv_usec = 500;
    setitimer(kinds[i], &time, 0);
    while (count < 4) result |= run(2, guest);
    time = (struct itimerval){{0, 0}, {0, 0}};
    setitimer(kinds[i], &time, 0);
    printf("  was over %d, then every time: run %d, goes on %d\n", left.it_value.tv_sec + left.it_value.tv_usec == 0, result, guest->tf.x[10] > first);
  }
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGALRM);
  sigprocmask(SIG_BLOCK, &set, &before);
  struct guest *guest = prepare();
  guest->tf.budget = 100000;
  count = 0;
  raise(SIGALRM);
  printf("a blocked signal: run %d, left %u, handled %d", run(2, guest), (unsigned)guest->tf.budget, (int)count);
  sigprocmask(SIG_SETMASK, &before, 0);
  printf(", then %d\n", (int)count);
  destroy(2);
}

struct work {
  long id;
  int result;
  struct guest *guest;
  double kept;
};

static void *works(void *argument) {
  struct work *work = argument;
  double kept = 1.0 + work->id;
  for (int i = 0; i < 20; i++) {
    work->guest->tf.x[0] = CODE;
    work->guest->tf.x[10] = 500;
    work->result |= run(work->id, work->guest);
    kept *= 1.0625;
  }
  work->kept = kept;
  return 0;
}

/* Four threads: two in one space, one in each of two others; with floating point in guests and vkernel. */
static void threads(void) {
  pthread_t thread[4];
  struct work work[4] = {{.id = 3}, {.id = 3}, {.id = 4}, {.id = 5}};
  create(3, adds, sizeof adds);
  create(4, floats, sizeof floats);
  create(5, floats, sizeof floats);
  for (int i = 0; i < 4; i++) {
    static const double step[] = {0, 0, 0.5, 0.25};
    work[i].guest = prepare();
    work[i].guest->tf.x[11] = (uint64_t)(i + 1);
    work[i].guest->tf.x[12] = DATA;
    memcpy(&work[i].guest->vf.f[11], &step[i], 8);
    pthread_create(&thread[i], 0, works, &work[i]);
  }
  for (int i = 0; i < 4; i++) pthread_join(thread[i], 0);
  uint32_t sum = 0;
  call7(492, 3, (long)&sum, 4, 0, DATA, 0, 0);
  printf("two threads in one space: %u\n", sum);
  for (int i = 2; i < 4; i++) {
    double x;
    memcpy(&x, &work[i].guest->vf.f[10], 8);
    printf("floating point of a guest: %g, of its thread: %.6f, run %d\n", x, work[i].kept, work[i].result);
  }
  for (long id = 3; id < 6; id++) destroy(id);
}

static void *inside(void *argument) {
  struct work *work = argument;
  work->result = run(work->id, work->guest);
  return 0;
}

/* What may be done to a space while a thread runs in it. */
static void busy(void) {
  pthread_t thread;
  struct work work = {.id = 6, .guest = prepare()};
  create(6, spins, sizeof spins);
  handle(SIGUSR1, tally);
  count = 0;
  pthread_create(&thread, 0, inside, &work);
  usleep(3000);
  printf("destroy while it runs: EBUSY %d\n", destroy(6) == -EBUSY);
  printf("map another page: %d\n", call7(SYS_vmspace_mmap, 6, DATA + PAGE, PAGE, PROT_READ, 0x1011, -1, 0) == DATA + PAGE);
  pthread_kill(thread, SIGUSR1);
  pthread_join(thread, 0);
  printf("signalled: run %d, trap %u, handled %d, progress %d\n", work.result, work.guest->tf.trapno, (int)count, work.guest->tf.x[10] > 1000);
  printf("destroy %ld\n", destroy(6));
}

/* Processes that share spaces: fork joins, exec leaves, the last one destroys. */
static void processes(const char *self) {
  int status;
  struct guest *guest = prepare();
  create(7, spins, sizeof spins);
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) _exit(run(7, guest));
  usleep(3000);
  printf("a child is inside: EBUSY %d\n", destroy(7) == -EBUSY);
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  printf("killed inside: signal %d\n", WTERMSIG(status));
  printf("destroy %ld\n", destroy(7));
  create(8, calls, sizeof calls);
  child = fork();
  if (child == 0) {
    if (run(8, guest) || guest->tf.trapno != 8 || destroy(8)) _exit(1);
    _exit(create(9, calls, sizeof calls));
  }
  waitpid(child, &status, 0);
  guest->tf.x[0] = CODE;
  printf("a child destroys one and makes one: exit %d, run %d and %d\n", WEXITSTATUS(status), run(8, guest), run(9, guest));
  child = fork();
  if (child == 0) {
    char *argv[] = {(char *)self, "executed", 0};
    execv(self, argv);
    _exit(99);
  }
  waitpid(child, &status, 0);
  printf("a program executed has no spaces: %d\n", WEXITSTATUS(status) == EINVAL);
  guest->tf.x[0] = CODE;
  printf("and took none along: run %d\n", run(9, guest));
}

static volatile unsigned char *image;
static volatile long mended;

/* Enters the page that is missing into the table in frame 1. 32-bit tables have two levels here, 64-bit ones four. */
static void mend(int sig, siginfo_t *info, void *context) {
  (void)context;
  unsigned long offset = (unsigned long)info->si_addr - (unsigned long)image;
  mended = sig * 1000 + (long)(offset / PAGE);
  mcontrol(image, 4 * MB, MADV_SETMAP, 0x3 | 0x80); /* linear: V, RW, PS; M is not needed to be seen */
}

static void tables(void) {
  struct sigaction action = {.sa_sigaction = mend, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, 0);
  image = map_vpagetable(4 * MB);
  mcontrol(image, 4 * MB, MADV_SETMAP, 0);
  image[5 * PAGE] = 23;
  printf("an invalid table, mended by a handler: signal %ld page %ld, value %d\n", mended / 1000, mended % 1000, image[5 * PAGE]);
  mcontrol(image, 4 * MB, MADV_SETMAP, 0);
  mended = 0;
  printf("a load: value %d, signal %ld\n", image[5 * PAGE], mended / 1000);
  signal(SIGSEGV, SIG_DFL);
}

static void sysctl(void) {
  int old = -1, off = 0, on = 1;
  struct guest *guest = prepare();
  create(10, calls, sizeof calls);
  long result = call7(SYS_sysctlbyname, (long)"vm.vkernel_enable", (long)&old, sizeof old, (long)&off, 0, 0, 0);
  printf("vm.vkernel_enable %d, %ld\n", old, result);
  printf("off: create EOPNOTSUPP %d, ", create(11, calls, sizeof calls) == -EOPNOTSUPP);
  void *refused = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_VPAGETABLE, -1, 0);
  printf("mmap EOPNOTSUPP %d, ", refused == MAP_FAILED && errno == EOPNOTSUPP);
  printf("run %d\n", run(10, guest));
  call7(SYS_sysctlbyname, (long)"vm.vkernel_enable", 0, 0, (long)&on, 0, 0, 0);
  printf("on: create %d\n", create(11, calls, sizeof calls));
  printf("another name %d, read only %d\n", call7(SYS_sysctlbyname, (long)"vm.no", 0, 0, 0, 0, 0, 0) == -ENOENT,
         call7(SYS_sysctlbyname, (long)"hw.ncpu", 0, 0, (long)&on, 0, 0, 0) == -EPERM);
}

int main(int argc, char **argv) {
  if (argc > 1) return -run(9, prepare());
  one();
  timers();
  threads();
  busy();
  tables();
  sysctl();
  processes(argv[0]);
  return 0;
}
