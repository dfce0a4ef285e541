/*
 * Processes: fork, vfork, wait, pipes, groups and the signals between them. Prints what does not depend on the system.
 *
 *   fork            all of it
 *   fork exec       what an emulator of system calls does differently: execve of this very file, flags for SIGCHLD
 *   fork pages N    a child writes N pages of what it has inherited, its parent N others
 *   fork bomb       forks until that is refused, in every process
 *   fork zombies    never waits for anybody, until it may not make any more
 *   fork storm      signals from everybody to everybody
 *   fork tree OPS   does what a model says, in up to eight processes, and prints what they read
 *   fork hang       waits for what nobody will do
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static volatile sig_atomic_t got, gotCode, gotStatus, count;
static volatile pid_t gotPid;

static void note(int signal, siginfo_t *info, void *context) {
  (void)context;
  got = signal;
  gotCode = info->si_code;
  gotPid = info->si_pid;
  gotStatus = info->si_status;
  count++;
}

static void handle(int signal, int flags) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = note;
  action.sa_flags = flags | SA_SIGINFO;
  sigaction(signal, &action, 0);
}

static void setHandler(int signal, void (*handler)(int)) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  sigaction(signal, &action, 0);
}

static const char *statusOf(int status) {
  static char text[64];
  if (WIFEXITED(status)) snprintf(text, sizeof text, "exit %d", WEXITSTATUS(status));
  else if (WIFSIGNALED(status)) snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
  else if (WIFSTOPPED(status)) snprintf(text, sizeof text, "stopped %d", WSTOPSIG(status));
  else if (WIFCONTINUED(status)) snprintf(text, sizeof text, "continued");
  else snprintf(text, sizeof text, "status %x", status);
  return text;
}

static const char *reap(pid_t child) {
  int status = -1;
  return waitpid(child, &status, 0) == child ? statusOf(status) : "not waited for";
}

/* A result with what errno says of it, evaluated in this order. */
static const char *told(long result) {
  static char texts[4][80];
  static int next;
  char *text = texts[next++ % 4];
  snprintf(text, sizeof texts[0], result < 0 ? "%ld %s" : "%ld", result, strerror(errno));
  return text;
}

static void pause_ms(int ms) {
  struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
  while (nanosleep(&time, &time) < 0 && errno == EINTR) {
  }
}

/*
 * Two processes take turns, since how fast each runs is nobody's promise. This one signals `parent` until it counts on:
 * the first signal may come before the call that it is to end.
 */
static void insist(pid_t parent, volatile int *turn) {
  for (int before = *turn; *turn == before; pause_ms(1)) kill(parent, SIGUSR1);
  ++*turn;
}

/* The parent's part: after this no more of these signals come. */
static void enough(volatile int *turn) {
  int mine = ++*turn;
  do pause_ms(1);
  while (*turn == mine);
}

static int inherited = 1;

static void memory(void) {
  int stack = 1, *heap = malloc(sizeof *heap);
  *heap = 1;
  int *shared = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  shared[0] = 1;
  pid_t parent = getpid(), child = fork();
  if (child == 0) {
    inherited++, stack++, (*heap)++, shared[0]++;
    shared[1024] = 7; // a page that nobody had touched
    _exit(getppid() == parent && getpid() != parent ? 10 + inherited + stack + *heap : 1);
  }
  printf("child %s\n", reap(child));
  printf("private %d %d %d, shared %d %d\n", inherited, stack, *heap, shared[0], shared[1024]);
  child = fork();
  if (child == 0) {
    munmap(shared, 4096);
    shared[1024]++;
    _exit(0);
  }
  reap(child);
  printf("unmapped there, here %d %d\n", shared[0], shared[1024]);
  munmap(shared, 8192);
  // generations: each sees what was there when it was made
  int depth = 0;
  while (depth < 20 && (child = fork()) == 0) depth++;
  if (depth == 20) _exit(depth);
  int status;
  waitpid(child, &status, 0);
  if (depth > 0) _exit(WEXITSTATUS(status) == 20 ? 20 : 1);
  printf("chain %s\n", statusOf(status));
  int sum = 0;
  for (int i = 1; i <= 20; i++)
    if (fork() == 0) _exit(i);
  while (wait(&status) > 0) sum += WEXITSTATUS(status);
  printf("fan %d, then %s\n", sum, strerror(errno));
  child = vfork();
  if (child == 0) _exit(5);
  printf("vfork %s\n", reap(child));
}

static void waiting(void) {
  int status;
  siginfo_t info;
  int gate[2];
  if (pipe(gate)) exit(99);
  pid_t child = fork();
  if (child == 0) {
    char byte;
    close(gate[1]);
    if (read(gate[0], &byte, 1) < 0) _exit(1);
    _exit(3);
  }
  printf("still running %d\n", waitpid(child, &status, WNOHANG));
  printf("no such child: %s\n", told(waitpid(child + 1000, &status, 0)));
  printf("bad options: %s\n", told(waitpid(child, &status, 0x100)));
  close(gate[0]), close(gate[1]);
  memset(&info, 0, sizeof info);
  int result = waitid(P_PID, child, &info, WEXITED | WNOWAIT);
  printf("waitid %d: %d %d %d\n", result, info.si_pid == child, info.si_code == CLD_EXITED, info.si_status);
  result = waitid(P_ALL, 0, &info, WEXITED);
  printf("again %d: %d\n", result, info.si_pid == child);
  printf("gone: %s\n", told(waitid(P_PID, child, &info, WEXITED)));
  printf("zombie's pid: %s\n", told(kill(child, 0)));

  if (pipe(gate)) exit(99);
  child = fork();
  if (child == 0) {
    char byte;
    close(gate[1]);
    raise(SIGSTOP);
    if (read(gate[0], &byte, 1) < 0) _exit(1); // of a child that has ended nobody learns that it went on
    _exit(4);
  }
  waitpid(child, &status, WUNTRACED);
  printf("%s", statusOf(status));
  kill(child, SIGCONT);
  waitpid(child, &status, WCONTINUED);
  printf(", %s", statusOf(status));
  close(gate[0]), close(gate[1]);
  printf(", %s\n", reap(child));

  child = fork();
  if (child == 0) {
    raise(SIGSTOP);
    _exit(4);
  }
  waitpid(child, &status, WUNTRACED);
  kill(child, SIGTERM); // waits until it goes on
  printf("stopped and killed: %d", waitpid(child, &status, WNOHANG));
  kill(child, SIGCONT);
  printf(", %s\n", reap(child));
  child = fork();
  if (child == 0) {
    raise(SIGSTOP);
    _exit(4);
  }
  waitpid(child, &status, WUNTRACED);
  kill(child, SIGKILL); // does not
  printf("stopped and killed: %s\n", reap(child));

  pid_t one = fork();
  if (one == 0) {
    setpgid(0, 0);
    _exit(1);
  }
  setpgid(one, one);
  pid_t other = fork();
  if (other == 0) _exit(2);
  printf("by group: %d", waitpid(-one, &status, 0) == one);
  printf(", own group: %d", waitpid(0, &status, 0) == other);
  printf(", any: %s\n", told(waitpid(-1, &status, 0)));

  child = fork();
  if (child == 0) abort();
  printf("abort: %s\n", reap(child));
  child = fork();
  if (child == 0) *(volatile int *)16 = 1;
  printf("fault: %s\n", reap(child));
  for (volatile int i = 0; i < 1000000; i++) {
  }
  struct tms times0;
  times(&times0);
  struct rusage usage;
  child = fork();
  if (child == 0) {
    struct tms own;
    do {
      for (volatile int i = 0; i < 100000; i++) {
      }
      times(&own);
    } while (own.tms_utime < 1);
    _exit(0);
  }
  wait4(child, &status, 0, &usage);
  struct tms times1;
  times(&times1);
  printf("child's time: %d %d\n", times1.tms_cutime > times0.tms_cutime, usage.ru_utime.tv_sec + usage.ru_utime.tv_usec > 0);
}

static void pipes(void) {
  int ends[2], back[2], status;
  char buffer[4096];
  if (pipe(ends) || pipe(back)) exit(99);
  pid_t child = fork();
  if (child == 0) { // an echo in capitals
    close(ends[1]), close(back[0]);
    for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) {
      for (ssize_t i = 0; i < n; i++) buffer[i] -= buffer[i] >= 'a' && buffer[i] <= 'z' ? 32 : 0;
      if (write(back[1], buffer, n) != n) _exit(1);
    }
    _exit(0);
  }
  close(ends[0]), close(back[1]);
  const char *words[] = {"one ", "two ", "three"};
  for (int i = 0; i < 3; i++) {
    size_t want = strlen(words[i]), have = 0;
    if (write(ends[1], words[i], want) < 0) exit(99);
    while (have < want) have += read(back[0], buffer + have, want - have);
    printf("%.*s", (int)have, buffer);
  }
  close(ends[1]);
  printf(", end %zd", read(back[0], buffer, 1));
  printf(", %s\n", reap(child));
  close(back[0]);

  if (pipe(ends)) exit(99);
  child = fork();
  if (child == 0) { // more than the pipe holds
    close(ends[0]);
    static char block[200000];
    memset(block, 'x', sizeof block);
    ssize_t n = write(ends[1], block, sizeof block);
    _exit(n == sizeof block ? 0 : 1);
  }
  close(ends[1]);
  pause_ms(5);
  long total = 0;
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) total += n;
  printf("through a full pipe: %ld, %s\n", total, reap(child));
  close(ends[0]);

  if (pipe(ends)) exit(99);
  child = fork();
  if (child == 0) {
    close(ends[0]);
    pause_ms(5);
    for (;;)
      if (write(ends[1], "x", 1) != 1) _exit(1);
  }
  close(ends[0]), close(ends[1]);
  printf("nobody reads: %s\n", reap(child));

  // atomic writes of several processes do not mix
  if (pipe(ends)) exit(99);
  for (int i = 0; i < 4; i++)
    if (fork() == 0) {
      memset(buffer, 'a' + i, 512);
      for (int k = 0; k < 40; k++)
        if (write(ends[1], buffer, 512) != 512) _exit(1);
      _exit(0);
    }
  close(ends[1]);
  int blocks = 0, mixed = 0;
  for (size_t have = 0;;) {
    ssize_t n = read(ends[0], buffer + have, 512 - have);
    if (n <= 0) break;
    have += n;
    if (have < 512) continue;
    for (int i = 1; i < 512; i++) mixed += buffer[i] != buffer[0];
    blocks++;
    have = 0;
  }
  while (wait(&status) > 0) {
  }
  printf("%d blocks, %d mixed\n", blocks, mixed);
  close(ends[0]);

  // one description, two processes
  int fd = open("shared-offset", O_RDWR | O_CREAT | O_TRUNC, 0644);
  if (write(fd, "123", 3) != 3) exit(99);
  child = fork();
  if (child == 0) {
    if (write(fd, "456", 3) != 3) _exit(1);
    close(fd);
    _exit(0);
  }
  reap(child);
  if (write(fd, "789", 3) != 3) exit(99);
  ssize_t n = pread(fd, buffer, 100, 0);
  printf("%.*s, position %ld\n", (int)n, buffer, (long)lseek(fd, 0, SEEK_CUR));
  child = fork();
  if (child == 0) {
    lseek(fd, 1, SEEK_SET);
    dup2(fd, 50);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    _exit(0);
  }
  reap(child);
  printf("moved to %ld, flags %d, 50 is %s\n", (long)lseek(fd, 0, SEEK_CUR), fcntl(fd, F_GETFD), fcntl(50, F_GETFD) < 0 ? "closed" : "open");
  // a file mapped by both
  char *map = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  char *own = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  own[8] = 'p';
  child = fork();
  if (child == 0) {
    map[0] = 'A';
    own[1] = 'c';
    msync(map, 4096, MS_SYNC);
    _exit(own[8] == 'p' ? 0 : 1);
  }
  printf("%s", reap(child));
  n = pread(fd, buffer, 9, 0);
  printf(": map %.9s, own %c%c%c, file %.*s\n", map, own[1], own[7], own[8], (int)n, buffer);
  close(fd);
  unlink("shared-offset");
}

static void readiness(void) {
  int ends[2], status;
  char byte;
  if (pipe(ends)) exit(99);
  struct pollfd fds = {ends[0], POLLIN, 0};
  printf("poll %d", poll(&fds, 1, 0));
  printf(" %d", poll(&fds, 1, 3));
  pid_t child = fork();
  if (child == 0) {
    pause_ms(5);
    if (write(ends[1], "x", 1) != 1) _exit(1);
    pause_ms(5);
    _exit(0);
  }
  printf(" %d", poll(&fds, 1, -1));
  printf(" %x", fds.revents);
  if (read(ends[0], &byte, 1) != 1) exit(99);
  close(ends[1]);
  printf(" %d", poll(&fds, 1, -1));
  printf(" %x, %s\n", fds.revents, reap(child));
  close(ends[0]);
  if (pipe(ends)) exit(99);
  child = fork();
  if (child == 0) {
    pause_ms(5);
    if (write(ends[1], "yz", 2) != 2) _exit(1);
    _exit(0);
  }
  fd_set set;
  FD_ZERO(&set);
  FD_SET(ends[0], &set);
  struct timeval limit = {100, 0};
  printf("select %d", select(ends[0] + 1, &set, 0, 0, &limit));
  printf(" %d\n", FD_ISSET(ends[0], &set) != 0);
  wait(&status);
  // a child's end ends a poll
  handle(SIGCHLD, 0);
  struct pollfd none = {-1, 0, 0};
  sigset_t blocked, old;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGCHLD);
  sigprocmask(SIG_BLOCK, &blocked, &old); // until the poll: it may end before
  child = fork();
  if (child == 0) {
    pause_ms(5);
    _exit(6);
  }
  printf("poll %s", told(ppoll(&none, 1, 0, &old)));
  printf(", %d %d\n", got == SIGCHLD, gotPid == child);
  sigprocmask(SIG_SETMASK, &old, 0);
  reap(child);
  signal(SIGCHLD, SIG_DFL);
  close(ends[0]), close(ends[1]);
}

static void childSignals(void) {
  int status;
  handle(SIGCHLD, 0);
  count = 0;
  pid_t child = fork();
  if (child == 0) _exit(9);
  while (count == 0) pause_ms(1);
  printf("SIGCHLD %d %d %d", gotPid == child, gotCode == CLD_EXITED, gotStatus);
  reap(child);
  count = 0;
  child = fork();
  if (child == 0)
    for (;;) pause();
  kill(child, SIGSTOP);
  while (count == 0) pause_ms(1);
  printf(", stopped %d %d", gotCode == CLD_STOPPED, gotStatus == SIGSTOP);
  waitpid(child, &status, WUNTRACED);
  count = 0;
  kill(child, SIGCONT);
  while (count == 0) pause_ms(1);
  printf(", continued %d %d", gotCode == CLD_CONTINUED, gotStatus == SIGCONT);
  count = 0;
  kill(child, SIGUSR1);
  while (count == 0) pause_ms(1);
  printf(", killed %d %d\n", gotCode == CLD_KILLED, gotStatus == SIGUSR1);
  reap(child);

  signal(SIGCHLD, SIG_IGN);
  child = fork();
  if (child == 0) _exit(1);
  printf("ignored %s\n", told(wait(&status)));
  signal(SIGCHLD, SIG_DFL);
}

static void interruptions(void) {
  int ends[2], status;
  char byte;
  if (pipe(ends)) exit(99);
  handle(SIGUSR1, 0);
  handle(SIGUSR2, SA_RESTART);
  volatile int *turn = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t parent = getpid(), child = fork();
  if (child == 0) {
    insist(parent, turn);
    pause_ms(5);
    kill(parent, SIGUSR2);
    pause_ms(5);
    if (write(ends[1], "x", 1) != 1) _exit(1);
    while (*turn == 2) pause_ms(1);
    insist(parent, turn);
    pause_ms(5);
    kill(parent, SIGUSR2);
    pause_ms(5);
    _exit(2);
  }
  ssize_t n = read(ends[0], &byte, 1);
  printf("read %s %d", told(n), got == SIGUSR1);
  enough(turn);
  n = read(ends[0], &byte, 1);
  printf(", %zd %d", n, got == SIGUSR2);
  ++*turn;
  pid_t waited = waitpid(child, &status, 0);
  printf(", wait %s %d", told(waited), got == SIGUSR1);
  enough(turn);
  waited = waitpid(child, &status, 0);
  printf(", %d %d\n", waited == child, got == SIGUSR2);
  munmap((void *)turn, 4096);

  // what is inherited: handlers and the mask; not what is pending, not the timer
  sigset_t set, old, pending;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, &old);
  raise(SIGUSR1);
  struct itimerval timer = {{0, 0}, {1000, 0}}, left;
  setitimer(ITIMER_REAL, &timer, 0);
  child = fork();
  if (child == 0) {
    sigset_t mask;
    sigprocmask(SIG_BLOCK, 0, &mask);
    sigpending(&pending);
    getitimer(ITIMER_REAL, &left);
    struct sigaction action;
    sigaction(SIGUSR2, 0, &action);
    _exit((sigismember(&mask, SIGUSR1) ? 1 : 0) + (sigismember(&pending, SIGUSR1) ? 2 : 0) + (left.it_value.tv_sec ? 4 : 0) + (action.sa_sigaction == note ? 8 : 0));
  }
  printf("inherited %s\n", reap(child));
  memset(&timer, 0, sizeof timer);
  setitimer(ITIMER_REAL, &timer, 0);
  count = 0;
  sigset_t both = set;
  sigaddset(&both, SIGUSR2);
  sigprocmask(SIG_BLOCK, &both, 0); // until the sigsuspend
  child = fork();
  if (child == 0) {
    pause_ms(5);
    kill(parent, SIGUSR2);
    _exit(0);
  }
  printf("sigsuspend %s", told(sigsuspend(&set)));
  printf(" %d\n", got == SIGUSR2);
  reap(child);
  struct timespec limit = {10, 0};
  siginfo_t info;
  printf("sigtimedwait %d\n", sigtimedwait(&set, &info, &limit) == SIGUSR1);
  sigprocmask(SIG_SETMASK, &old, 0);
  // a program that computes is stopped where it is
  volatile unsigned long *turns = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  child = fork();
  if (child == 0)
    for (;;) (*turns)++;
  while (*turns == 0) pause_ms(1);
  kill(child, SIGSTOP);
  waitpid(child, &status, WUNTRACED);
  unsigned long before = *turns;
  pause_ms(3);
  printf("stands still %d", before == *turns);
  kill(child, SIGCONT);
  while (*turns == before) pause_ms(1);
  kill(child, SIGTERM);
  printf(", goes on, %s\n", reap(child));
  munmap((void *)turns, 4096);
  close(ends[0]), close(ends[1]);
}

static void groups(void) {
  int status, ready[2];
  char byte;
  pid_t parent = getpid(), leader = 0;
  // a group of three, killed as one
  for (int i = 0; i < 3; i++) {
    if (pipe(ready)) exit(99);
    pid_t child = fork();
    if (child == 0) {
      setpgid(0, leader);
      if (write(ready[1], "x", 1) != 1) _exit(1);
      for (;;) pause();
    }
    if (leader == 0) leader = child;
    if (read(ready[0], &byte, 1) != 1) exit(99);
    close(ready[0]), close(ready[1]);
  }
  printf("group %d %d", getpgid(leader) == leader, getpgid(0) == getpgrp());
  printf(", kill %d", kill(-leader, SIGTERM));
  int killed = 0;
  while (waitpid(-leader, &status, 0) > 0) killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
  printf(" %d, then %s\n", killed, told(kill(-leader, SIGTERM)));
  // sessions
  if (pipe(ready)) exit(99);
  pid_t child = fork();
  if (child == 0) {
    int ok = setsid() == getpid() && getsid(0) == getpid() && getpgrp() == getpid();
    int again = setsid() < 0 && errno == EPERM;
    int foreign = setpgid(parent, getpid()) < 0 && errno == ESRCH;
    int led = setpgid(0, 0) == 0 || errno == EPERM;
    _exit(ok + 2 * again + 4 * foreign + 8 * led);
  }
  printf("setsid %s\n", reap(child));
  printf("setpgid %s", told(setpgid(0, -1)));
  printf(", %s", told(setpgid(999999, 0)));
  printf(", getpgid %s\n", told(getpgid(999999)));
  close(ready[0]), close(ready[1]);
  // a stopped group that is orphaned hangs up and goes on
  if (pipe(ready)) exit(99);
  child = fork();
  if (child == 0) {
    setsid();
    pid_t grandchild = fork();
    if (grandchild == 0) {
      setpgid(0, 0);
      handle(SIGHUP, 0);
      handle(SIGCONT, 0);
      count = 0;
      raise(SIGTSTP);
      while (count < 2) pause_ms(1);
      byte = getppid() != child && count == 2 ? 'y' : 'n';
      if (write(ready[1], &byte, 1) != 1) _exit(1);
      _exit(0);
    }
    setpgid(grandchild, grandchild);
    waitpid(grandchild, &status, WUNTRACED);
    _exit(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP ? 0 : 1);
  }
  printf("orphans: %s", reap(child));
  close(ready[1]);
  if (read(ready[0], &byte, 1) != 1) byte = '?';
  printf(", hang up and continue: %c\n", byte);
  close(ready[0]);
  // an orphan has another parent
  if (pipe(ready)) exit(99);
  child = fork();
  if (child == 0) {
    pid_t self = getpid();
    if (fork() == 0) {
      while (getppid() == self) pause_ms(1);
      if (write(ready[1], "z", 1) != 1) _exit(1);
      _exit(0);
    }
    _exit(0);
  }
  reap(child);
  close(ready[1]);
  if (read(ready[0], &byte, 1) != 1) byte = '?';
  printf("orphan %c\n", byte);
  close(ready[0]);
  // in an orphaned group a terminal's stop is nothing
  child = fork();
  if (child == 0) {
    setsid();
    raise(SIGTSTP);
    _exit(7);
  }
  printf("SIGTSTP alone: %s\n", reap(child));
  while (waitpid(-1, &status, WNOHANG) > 0) {
  }
}

/* vfork as the system has it: libraries may have another one. Inline, since a frame of its own would not outlive the child. */
static inline __attribute__((always_inline)) pid_t sharingChild(void) {
#ifdef __riscv
  register long number __asm__("a7") = 220, flags __asm__("a0") = 0x4100 | SIGCHLD, stack __asm__("a1") = 0;
  __asm__ volatile("ecall" : "+r"(flags) : "r"(number), "r"(stack) : "memory", "a2", "a3", "a4");
  return flags;
#else
  return vfork();
#endif
}

static void silentChildren(void) {
  int status;
  pid_t child;
  handle(SIGCHLD, SA_NOCLDSTOP);
  count = 0;
  child = fork();
  if (child == 0)
    for (;;) pause();
  kill(child, SIGSTOP);
  waitpid(child, &status, WUNTRACED);
  kill(child, SIGCONT);
  waitpid(child, &status, WCONTINUED);
  printf("SA_NOCLDSTOP %d", count);
  kill(child, SIGKILL);
  while (count == 0) pause_ms(1);
  reap(child);
  printf(" %d\n", count);

  handle(SIGCHLD, SA_NOCLDWAIT);
  child = fork();
  if (child == 0) _exit(1);
  printf("SA_NOCLDWAIT %s\n", told(wait(&status)));
  signal(SIGCHLD, SIG_DFL);
}

static int executed(int argc, char **argv) {
  if (argc > 2 && strcmp(argv[2], "child") == 0) {
    printf("I am %s, HOME=%s, fd 20 %s, fd 21 %s\n", argv[3], getenv("HOME") ? getenv("HOME") : "none", fcntl(20, F_GETFD) < 0 ? "closed" : "open", fcntl(21, F_GETFD) < 0 ? "closed" : "open");
    struct sigaction usr1, usr2;
    sigaction(SIGUSR1, 0, &usr1);
    sigaction(SIGUSR2, 0, &usr2);
    printf("SIGUSR1 %s, SIGUSR2 %s\n", usr1.sa_handler == SIG_IGN ? "ignored" : "default", usr2.sa_handler == SIG_DFL ? "default" : "other");
    return 11;
  }
  silentChildren();
  char *self = "/proc/self/exe";
  char *arguments[] = {"fork", "exec", "child", "a fork", 0};
  char *environment[] = {"HOME=/desk", 0};
  dup2(1, 20), dup2(1, 21);
  fcntl(21, F_SETFD, FD_CLOEXEC);
  signal(SIGUSR1, SIG_IGN);
  setHandler(SIGUSR2, (void (*)(int))abort);
  pid_t child = fork();
  if (child == 0) {
    execve(self, arguments, environment);
    _exit(1);
  }
  printf("fork: %s\n", reap(child));
  static volatile int seen; // a child of vfork writes into this very memory
  arguments[3] = "a vfork";
  child = sharingChild();
  if (child == 0) {
    seen = 1;
    execve("/nonexistent", arguments, environment);
    seen = errno == ENOENT ? 2 : 3;
    execve(self, arguments, environment);
    _exit(1);
  }
  printf("vfork saw %d, %s\n", seen, reap(child));
  child = sharingChild();
  if (child == 0) {
    seen = 4;
    pid_t inner = sharingChild();
    if (inner == 0) {
      seen = 5;
      _exit(2);
    }
    int status;
    waitpid(inner, &status, 0);
    _exit(seen + WEXITSTATUS(status));
  }
  printf("vfork in vfork: %d, %s\n", seen, reap(child));
  child = sharingChild();
  if (child == 0) { // an ordinary fork from a borrowed place
    pid_t inner = fork();
    if (inner == 0) {
      seen = 9;
      _exit(seen);
    }
    int status;
    waitpid(inner, &status, 0);
    _exit(10 * seen + WEXITSTATUS(status));
  }
  printf("fork in vfork: %d, %s\n", seen, reap(child));
  arguments[3] = "spawned";
  int error = posix_spawn(&child, self, 0, 0, arguments, environment);
  printf("posix_spawn %d, %s\n", error, reap(child));
  error = posix_spawn(&child, "/nonexistent", 0, 0, arguments, environment);
  printf("posix_spawn of nothing: %s\n", strerror(error));
  struct rlimit limit = {1, 1};
  setrlimit(RLIMIT_NPROC, &limit);
  child = fork();
  printf("beyond RLIMIT_NPROC: %s\n", told(child));
  if (child == 0) _exit(0);
  return 0;
}

static int pages(int wanted) {
  enum { PAGE = 4096 };
  int ends[2];
  char byte;
  if (pipe(ends)) return 1;
  char *area = mmap(0, 2L * wanted * PAGE + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 2 * wanted; i++) area[(long)i * PAGE] = 1;
  pid_t child = fork();
  if (child < 0) {
    printf("fork: %s\n", strerror(errno));
    return 0;
  }
  if (child == 0) { // when the parent has written its pages
    if (read(ends[0], &byte, 1) != 1) _exit(1);
    for (int i = 0; i < wanted; i++) area[(long)i * PAGE] = 2;
    long sum = 0;
    for (int i = 0; i < 2 * wanted; i++) sum += area[(long)i * PAGE];
    _exit(sum == 3L * wanted ? 0 : 2);
  }
  for (int i = wanted; i < 2 * wanted; i++) area[(long)i * PAGE] = 4;
  if (write(ends[1], "x", 1) != 1) return 1;
  int status;
  waitpid(child, &status, 0);
  long sum = 0;
  for (int i = 0; i < 2 * wanted; i++) sum += area[(long)i * PAGE];
  return sum == 5L * wanted ? status : 3;
}

static int bomb(void) {
  volatile int *refused = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t parent = getpid();
  while (*refused == 0)
    if (fork() < 0) *refused = errno; // all of them go on until one is refused
  if (getpid() != parent) _exit(0);
  printf("a bomb: %d\n", *refused == EAGAIN || *refused == ENOMEM);
  while (wait(0) > 0) {
  }
  pid_t child = fork();
  if (child == 0) _exit(8);
  printf("afterwards: %s\n", reap(child));
  return 0;
}

static int zombies(void) {
  int made = 0;
  pid_t child;
  struct rlimit limit = {150, 150};
  setrlimit(RLIMIT_NPROC, &limit);
  while ((child = fork()) > 0) made++;
  if (child == 0) _exit(0);
  printf("zombies: %d, %s\n", made > 100, strerror(errno));
  while (wait(0) > 0) made--;
  child = fork();
  if (child == 0) _exit(8);
  printf("%d left, afterwards: %s\n", made, reap(child));
  return 0;
}

static int storm(void) {
  // Each of eight processes sends signals to all others while they do the same.
  handle(SIGUSR1, SA_RESTART);
  setpgid(0, 0);
  int status, sum = 0;
  for (int i = 0; i < 8; i++)
    if (fork() == 0) {
      for (int k = 0; k < 300; k++) kill(0, SIGUSR1);
      _exit(1);
    }
  for (int k = 0; k < 8; k++)
    if (wait(&status) > 0) sum += WEXITSTATUS(status);
  printf("a storm: %d %d\n", sum, count > 0);
  for (int i = 0; i < 8; i++)
    if (fork() == 0)
      for (;;) kill(0, SIGUSR1);
  printf("killed %d", kill(-1, SIGKILL));
  for (sum = 0; wait(&status) > 0;) sum += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  printf(" %d\n", sum);
  return 0;
}

enum { SLOTS = 8, PRIVATE = 8, SHARED = 4, FILES = 4, PAGES = PRIVATE + SHARED + FILES };
static char *area[PAGES];
static int command[SLOTS][2], reply[2];

/* One process of the tree: an operation is three bytes, and is answered with one. */
static void serve(int slot) {
  unsigned char op[3], answer;
  for (;;) {
    if (read(command[slot][0], op, 3) != 3) _exit(1);
    volatile unsigned char *byte = (volatile unsigned char *)area[op[1] % PAGES];
    answer = 0;
    switch (op[0]) {
    case 'w':
      *byte = op[2];
      break;
    case 'r':
      answer = *byte;
      break;
    case 'z':
      madvise((void *)byte, 4096, MADV_DONTNEED);
      break;
    case 'v': {
      pid_t child = sharingChild();
      if (child == 0) {
        *byte = op[2];
        _exit(0);
      }
      break;
    }
    case 'f': {
      pid_t child = fork();
      if (child > 0) continue; // the child answers
      if (child == 0) slot = op[2];
      answer = child == 0 ? 0 : 255;
      break;
    }
    }
    if (write(reply[1], &answer, 1) != 1 || op[0] == 'x') _exit(0);
  }
}

static int tree(const char *ops) {
  int file = open("tree", O_RDWR | O_CREAT | O_TRUNC, 0644);
  for (int i = 0; i < FILES; i++)
    if (pwrite(file, &(char){(char)(100 + i)}, 1, i * 4096L) != 1) return 1;
  if (ftruncate(file, FILES * 4096)) return 1;
  char *own = mmap(0, PRIVATE * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *shared = mmap(0, SHARED * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  char *mapped = mmap(0, FILES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  for (int i = 0; i < PAGES; i++)
    area[i] = i < PRIVATE ? own + i * 4096 : i < PRIVATE + SHARED ? shared + (i - PRIVATE) * 4096 : mapped + (i - PRIVATE - SHARED) * 4096;
  for (int i = 0; i < SLOTS; i++)
    if (pipe(command[i])) return 1;
  if (pipe(reply)) return 1;
  signal(SIGCHLD, SIG_IGN);
  if (fork() == 0) serve(0);
  for (; *ops != 0; ops += 4) { // slot, operation, page, value: a character each, from '0' on but for the operation
    unsigned char op[3] = {(unsigned char)ops[1], (unsigned char)(ops[2] - '0'), (unsigned char)(ops[3] - '0')}, answer;
    if (write(command[ops[0] - '0'][1], op, 3) != 3 || read(reply[0], &answer, 1) != 1) return 1;
    if (op[0] == 'r' || answer != 0) printf("%d ", answer);
  }
  wait(0);
  printf("end\n");
  return 0;
}

static int hang(void) {
  int ends[2];
  char byte;
  if (pipe(ends)) return 1;
  for (int i = 0; i < 3; i++)
    if (fork() == 0) _exit(read(ends[0], &byte, 1));
  wait(0);
  return 0;
}

int main(int argc, char **argv) {
  setvbuf(stdout, 0, _IONBF, 0);
  const char *what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "exec") == 0) return executed(argc, argv);
  if (strcmp(what, "pages") == 0) return pages(atoi(argv[2]));
  if (strcmp(what, "bomb") == 0) return bomb();
  if (strcmp(what, "zombies") == 0) return zombies();
  if (strcmp(what, "storm") == 0) return storm();
  if (strcmp(what, "hang") == 0) return hang();
  if (strcmp(what, "tree") == 0) return tree(argv[2]);
  memory();
  waiting();
  pipes();
  readiness();
  childSignals();
  interruptions();
  groups();
  printf("done\n");
  return 0;
}
