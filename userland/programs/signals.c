/*
 * Signals as programs use them: faults that are survived, handlers inside handlers, stacks of their own, timers that
 * interrupt a computation, and waiting. Prints one line a fact; the output is the same on every machine.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PC 0 /* in uc_mcontext.__gregs */
#define A0 10

static sigjmp_buf recovery;
static volatile siginfo_t last;
static volatile sig_atomic_t count, depth;

static void recover(int sig, siginfo_t *info, void *context) {
  (void)sig, (void)context;
  last = *info;
  siglongjmp(recovery, 1);
}

static void tally(int sig) {
  (void)sig;
  count++;
}

static void handle(int sig, void (*handler)(int, siginfo_t *, void *), int flags) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
  sigaction(sig, &action, 0);
}

/* Runs `statement`, which must fault, and tells where relative to `base`. */
#define FAULT(what, base, statement)                                                                           \
  do {                                                                                                         \
    if (sigsetjmp(recovery, 1) == 0) {                                                                         \
      statement;                                                                                               \
      printf("%s: no fault\n", what);                                                                          \
    } else {                                                                                                   \
      printf("%s: signal %d code %d offset %ld\n", what, last.si_signo, last.si_code, (long)((uintptr_t)last.si_addr - (uintptr_t)(base))); \
    }                                                                                                          \
  } while (0)

static void faults(void) {
  char *readable = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *nothing = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP};
  for (int i = 0; i < 4; i++) handle(numbers[i], recover, 0);
  FAULT("store to a low address", 0, *(volatile int *)16 = 1);
  FAULT("store to the last byte", 0, *(volatile char *)-1L = 1);
  FAULT("store to a readable page", readable, readable[5] = 1);
  FAULT("load from a closed page", nothing, (void)*(volatile char *)(nothing + 7));
  FAULT("jump to a closed page", nothing, ((void (*)(void))nothing)());
  FAULT("jump to a readable page", readable, ((void (*)(void))readable)());
  if (sigsetjmp(recovery, 1) == 0) __asm__ volatile(".4byte 0");
  else printf("zero word: signal %d code %d\n", last.si_signo, last.si_code);
  if (sigsetjmp(recovery, 1) == 0) __asm__ volatile("ebreak");
  else printf("breakpoint: signal %d code %d\n", last.si_signo, last.si_code);
}

static void emulate(int sig, siginfo_t *info, void *context) {
  (void)sig, (void)info;
  ucontext_t *at = context;
  at->uc_mcontext.__gregs[A0] = at->uc_mcontext.__gregs[A0] * 2 + 1;
  at->uc_mcontext.__gregs[PC] += 4;
}

static void emulation(void) {
  handle(SIGILL, emulate, 0);
  register long a0 __asm__("a0") = 21;
  __asm__ volatile(".4byte 0xffffffff\n .4byte 0xffffffff" : "+r"(a0));
  long result = a0;
  printf("emulated twice: %ld\n", result);
}

static void nested(int sig) {
  printf("%*senter %d\n", depth * 2, "", sig);
  depth++;
  if (sig == SIGUSR1) raise(SIGUSR2);
  depth--;
  printf("%*sleave %d\n", depth * 2, "", sig);
}

static void nesting(void) {
  sigset_t one, pending;
  signal(SIGUSR1, nested);
  signal(SIGUSR2, nested);
  raise(SIGUSR1);
  sigemptyset(&one);
  sigaddset(&one, SIGUSR2);
  sigprocmask(SIG_BLOCK, &one, 0);
  raise(SIGUSR1);
  sigpending(&pending);
  printf("blocked and pending: %d\n", sigismember(&pending, SIGUSR2));
  sigprocmask(SIG_UNBLOCK, &one, 0);
  struct sigaction action = {.sa_handler = tally, .sa_flags = SA_RESETHAND};
  sigaction(SIGTERM, &action, 0);
  raise(SIGTERM);
  sigaction(SIGTERM, 0, &action);
  printf("back to the default: %d\n", action.sa_handler == SIG_DFL);
}

static int overflow(volatile int n) {
  volatile char frame[1000];
  frame[n % 1000] = 1;
  return n < 0 ? 0 : overflow(n + 1) + frame[0];
}

static void stacks(void) {
  stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
  sigaltstack(&stack, 0);
  handle(SIGSEGV, recover, SA_ONSTACK);
  for (int i = 0; i < 2; i++) {
    if (sigsetjmp(recovery, 1) == 0) overflow(1);
    else printf("stack overflow survived\n");
  }
}

static void timers(void) {
  struct itimerval tick = {{0, 2000}, {0, 2000}}, off = {{0, 0}, {0, 0}};
  signal(SIGALRM, tally);
  count = 0;
  setitimer(ITIMER_REAL, &tick, 0);
  while (count < 5) continue; /* no system call in here */
  setitimer(ITIMER_REAL, &off, 0);
  printf("computed through 5 ticks\n");
  count = 0;
  setitimer(ITIMER_REAL, &tick, 0); /* again and again: the first may come before the call */
  int result = pause();
  printf("pause: %d, interrupted %d, signals %d\n", result, errno == EINTR, count > 0);
  struct timespec minute = {60, 0}, rest = {0, 0};
  result = nanosleep(&minute, &rest);
  printf("nanosleep: %d, interrupted %d, time left %d\n", result, errno == EINTR, rest.tv_sec > 0);
  setitimer(ITIMER_REAL, &off, 0);
  alarm(100);
  unsigned left = alarm(0);
  printf("alarm cancelled, most of it left %d\n", left > 50 && left <= 100);
}

static void waiting(void) {
  sigset_t set, none;
  siginfo_t info;
  int sig;
  struct timespec millisecond = {0, 1000000};
  sigemptyset(&none);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &set, 0);
  raise(SIGUSR1);
  sigwait(&set, &sig);
  printf("sigwait: %d\n", sig);
  for (int i = 7; i < 9; i++) sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i});
  for (int i = 0; i < 2; i++) {
    sigwaitinfo(&set, &info);
    printf("queued: code %d value %d from myself %d\n", info.si_code, info.si_value.sival_int, info.si_pid == getpid());
  }
  sig = sigtimedwait(&set, &info, &millisecond);
  printf("sigtimedwait: %d, timed out %d\n", sig, errno == EAGAIN);
  count = 0;
  signal(SIGUSR1, tally);
  raise(SIGUSR1);
  sig = sigsuspend(&none);
  printf("sigsuspend: %d, signals %d\n", sig, (int)count);
  int ends[2];
  count = 0;
  signal(SIGPIPE, tally);
  if (pipe(ends) != 0) perror("pipe");
  close(ends[0]);
  ssize_t written = write(ends[1], "x", 1);
  printf("write to nobody: %d, EPIPE %d, signals %d\n", (int)written, errno == EPIPE, (int)count);
}

int main(void) {
  setvbuf(stdout, 0, _IOLBF, 0);
  faults();
  emulation();
  nesting();
  stacks();
  timers();
  waiting();
  signal(SIGABRT, SIG_DFL);
  abort();
}
