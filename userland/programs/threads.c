/*
 * Threads as programs use them: locks, conditions, thread-local memory, signals for one of them, time-outs, and a lock
 * that two processes share. Prints one line a fact; the output is the same on every machine.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 8
#define ROUNDS 2000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static long counter;
static atomic_long atomic_counter;
static __thread long mine;

static void *counts(void *argument) {
  for (int i = 0; i < ROUNDS; i++) {
    pthread_mutex_lock(&lock);
    counter++;
    pthread_mutex_unlock(&lock);
    atomic_fetch_add(&atomic_counter, 1);
    mine += (long)argument;
  }
  return (void *)mine;
}

static void locks(void) {
  pthread_t threads[THREADS];
  long sum = 0;
  for (long i = 0; i < THREADS; i++) pthread_create(&threads[i], 0, counts, (void *)i);
  for (int i = 0; i < THREADS; i++) {
    void *result;
    pthread_join(threads[i], &result);
    sum += (long)result;
  }
  printf("counted %ld and %ld, of their own %ld, mine %ld\n", counter, (long)atomic_counter, sum, mine);
}

static int turn;

static void *takes_turns(void *argument) {
  int me = (int)(intptr_t)argument;
  for (int i = 0; i < 500; i++) {
    pthread_mutex_lock(&lock);
    while (turn % 3 != me) pthread_cond_wait(&turned, &lock);
    turn++;
    pthread_cond_broadcast(&turned);
    pthread_mutex_unlock(&lock);
  }
  return 0;
}

static void conditions(void) {
  pthread_t threads[3];
  for (intptr_t i = 0; i < 3; i++) pthread_create(&threads[i], 0, takes_turns, (void *)i);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], 0);
  printf("turns: %d\n", turn);
}

static pthread_barrier_t barrier;

static void *floats(void *argument) {
  double x = 0.25 + (double)(intptr_t)argument / 16;
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < 20000; i++) x = 3.75 * x * (1 - x);
  uint64_t bits;
  memcpy(&bits, &x, 8);
  return (void *)(uintptr_t)(bits ^ bits >> 32);
}

static void registers(void) {
  pthread_t threads[4];
  pthread_barrier_init(&barrier, 0, 4);
  for (intptr_t i = 0; i < 4; i++) pthread_create(&threads[i], 0, floats, (void *)i);
  for (int i = 0; i < 4; i++) {
    void *result;
    pthread_join(threads[i], &result);
    printf("floating point %08x\n", (unsigned)(uintptr_t)result);
  }
}

static volatile sig_atomic_t caught;
static pthread_t catcher;

static void note(int sig) {
  (void)sig;
  caught += pthread_equal(pthread_self(), catcher) ? 1 : 100;
}

static void *waits(void *argument) {
  sem_t *ready = argument;
  catcher = pthread_self();
  sem_post(ready);
  while (!caught) {
    struct timespec time = {1, 0};
    nanosleep(&time, 0);
  }
  return 0;
}

static void *sees_all(void *argument) {
  sigset_t set;
  int sig;
  (void)argument;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  sigwait(&set, &sig);
  return (void *)(intptr_t)sig;
}

static void signals(void) {
  pthread_t thread;
  sem_t ready;
  void *result;
  struct sigaction action = {.sa_handler = note};
  sigset_t set;
  sem_init(&ready, 0, 0);
  sigaction(SIGUSR1, &action, 0);
  pthread_create(&thread, 0, waits, &ready);
  sem_wait(&ready);
  pthread_kill(thread, SIGUSR1);
  pthread_join(thread, 0);
  printf("caught by the one it was for: %d\n", (int)caught);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, 0);
  pthread_create(&thread, 0, sees_all, 0);
  kill(getpid(), SIGUSR2);
  pthread_join(thread, &result);
  printf("taken by a thread that waits: %d\n", (int)(intptr_t)result);
}

static void times(void) {
  struct timespec until;
  sem_t never;
  sem_init(&never, 0, 0);
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += 5000000;
  if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  int result = sem_timedwait(&never, &until);
  printf("nobody posts: %d, ETIMEDOUT %d\n", result, errno == ETIMEDOUT);
  pthread_mutex_lock(&lock);
  result = pthread_cond_timedwait(&turned, &lock, &until);
  pthread_mutex_unlock(&lock);
  printf("nobody signals: ETIMEDOUT %d\n", result == ETIMEDOUT);
}

static void *cancelled(void *argument) {
  (void)argument;
  for (;;) pause();
}

struct common {
  pthread_mutex_t lock;
  pthread_cond_t turned;
  int turn;
  long count;
};

static void take_turns(struct common *common, int me) {
  for (int i = 0; i < 300; i++) {
    pthread_mutex_lock(&common->lock);
    while (common->turn != me) pthread_cond_wait(&common->turned, &common->lock);
    common->turn = !me;
    common->count++;
    pthread_cond_signal(&common->turned);
    pthread_mutex_unlock(&common->lock);
  }
}

static void processes(void) {
  struct common *common = mmap(0, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_t shared_lock;
  pthread_condattr_t shared_condition;
  pthread_mutexattr_init(&shared_lock);
  pthread_mutexattr_setpshared(&shared_lock, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&common->lock, &shared_lock);
  pthread_condattr_init(&shared_condition);
  pthread_condattr_setpshared(&shared_condition, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&common->turned, &shared_condition);
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    take_turns(common, 1);
    _exit(5);
  }
  take_turns(common, 0);
  int status;
  waitpid(child, &status, 0);
  printf("two processes: %ld turns, exit %d\n", common->count, WEXITSTATUS(status));
}

static void *exits_last(void *argument) {
  pthread_join(*(pthread_t *)argument, 0);
  printf("the first thread has gone\n");
  fflush(stdout);
  exit(6);
}

int main(void) {
  static pthread_t first, thread;
  void *result;
  locks();
  conditions();
  registers();
  signals();
  times();
  pthread_create(&thread, 0, cancelled, 0);
  pthread_cancel(thread);
  pthread_join(thread, &result);
  printf("cancelled: %d\n", result == PTHREAD_CANCELED);
  processes();
  first = pthread_self();
  pthread_create(&thread, 0, exits_last, &first);
  pthread_exit(0);
}
