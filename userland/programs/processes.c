/*
 * Processes as programs use them: children that end, are killed, stop and go on, orphans, pipes, other programs in the
 * same process, and what parent and child share. Prints one line a fact; the output is the same on every machine.
 * Usage: processes | processes exec, which executes itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static volatile sig_atomic_t count;

static void tally(int sig) {
  (void)sig;
  count++;
}

static void handle(int sig, void (*handler)(int), int flags) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
  sigaction(sig, &action, 0);
}

/* A child that runs `body` and exits with what it returns. */
static pid_t start(int (*body)(void)) {
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) _exit(body());
  return child;
}

static void say(const char *what, int status) {
  if (WIFEXITED(status)) printf("%s: exit %d\n", what, WEXITSTATUS(status));
  else if (WIFSIGNALED(status)) printf("%s: signal %d\n", what, WTERMSIG(status));
  else if (WIFSTOPPED(status)) printf("%s: stopped by %d\n", what, WSTOPSIG(status));
  else printf("%s: %s\n", what, WIFCONTINUED(status) ? "continued" : "?");
}

static int code7(void) { return 7; }
static int aborts(void) { abort(); }
static int segfaults(void) { return *(volatile int *)8; }
static int waits(void) {
  for (;;) pause();
}
static int spins(void) {
  for (volatile unsigned long i = 0;; i++) continue;
}

static void ends(void) {
  int status;
  waitpid(start(code7), &status, 0);
  say("returns 7", status);
  waitpid(start(aborts), &status, 0);
  say("aborts", status);
  waitpid(start(segfaults), &status, 0);
  say("reads address 8", status);
  pid_t child = start(waits);
  printf("not yet: %d\n", waitpid(child, &status, WNOHANG));
  kill(child, SIGTERM);
  waitpid(child, &status, 0);
  say("terminated", status);
  child = start(spins);
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  say("killed while it spins", status);
  printf("no child: %d, ECHILD %d\n", waitpid(-1, &status, 0), errno == ECHILD);
  printf("nobody: %d, ESRCH %d\n", kill(child, 0), errno == ESRCH);
}

static void stops(void) {
  int status;
  pid_t child = start(spins);
  kill(child, SIGSTOP);
  waitpid(child, &status, WUNTRACED);
  say("stopped", status);
  printf("nothing new: %d\n", waitpid(child, &status, WNOHANG | WUNTRACED));
  kill(child, SIGCONT);
  waitpid(child, &status, WCONTINUED);
  say("goes on", status);
  kill(child, SIGSTOP);
  kill(child, SIGTERM);
  waitpid(child, &status, WUNTRACED);
  say("stopped again", status);
  kill(child, SIGCONT);
  waitpid(child, &status, 0);
  say("terminated when it goes on", status);
  siginfo_t info;
  child = start(code7);
  waitid(P_PID, child, &info, WEXITED | WNOWAIT);
  printf("left as it is: code %d status %d same %d\n", info.si_code, info.si_status, info.si_pid == child);
  waitid(P_PID, child, &info, WEXITED);
  printf("taken: code %d status %d\n", info.si_code, info.si_status);
}

static volatile int *shared;
static int private_word = 1;

static int writes_both(void) {
  private_word = 2;
  shared[0] = private_word + 40;
  return private_word;
}

static int orphan_maker(void) {
  pid_t me = getpid();
  if (fork() == 0) {
    while (getppid() == me) usleep(1000);
    shared[1] = 1;
    _exit(0);
  }
  return 0;
}

static void shares(void) {
  int status;
  shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  char *big = malloc(1 << 20);
  memset(big, 'a', 1 << 20);
  double half = 0.5;
  waitpid(start(writes_both), &status, 0);
  say("writes", status);
  printf("shared %d, private %d\n", shared[0], private_word);
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    int wrong = 0;
    for (int i = 0; i < 1 << 20; i++) wrong += big[i] != 'a';
    memset(big, 'b', 1 << 20);
    _exit(wrong == 0 && half * 4 == 2 ? 3 : 4);
  }
  memset(big, 'c', 1 << 19);
  waitpid(child, &status, 0);
  say("sees the heap and a register as they were", status);
  printf("heap %c %c\n", big[0], big[(1 << 20) - 1]);
  free(big);
  waitpid(start(orphan_maker), &status, 0);
  while (!shared[1]) usleep(1000);
  printf("an orphan has another parent: %d\n", shared[1]);
}

static int write_end;
static int writes_much(void) {
  char line[1000];
  memset(line, 'x', sizeof line);
  int total = 0;
  for (int i = 0; i < 300; i++) total += (int)write(write_end, line, sizeof line);
  return total == 300000 ? 9 : 8;
}

static void pipes(void) {
  int fds[2], status;
  static char buffer[5000];
  if (pipe(fds)) return;
  write_end = fds[1];
  pid_t child = start(writes_much);
  close(fds[1]);
  long total = 0, n;
  while ((n = read(fds[0], buffer, sizeof buffer)) > 0) total += n;
  waitpid(child, &status, 0);
  printf("read %ld, then %ld\n", total, n);
  say("has written", status);
  close(fds[0]);

  if (pipe(fds)) return;
  fcntl(fds[0], F_SETFL, O_NONBLOCK);
  n = read(fds[0], buffer, 1);
  printf("empty: %ld, EAGAIN %d\n", n, errno == EAGAIN);
  int copy = dup2(fds[1], 17);
  printf("dup2: %d, %ld through it\n", copy, (long)write(17, "abc", 3));
  close(17);
  n = read(fds[0], buffer, 10);
  printf("read %ld: %.3s\n", n, buffer);
  close(fds[0]);
  handle(SIGPIPE, tally, 0);
  count = 0;
  n = write(fds[1], "a", 1);
  printf("nobody reads: %ld, EPIPE %d, signals %d\n", n, errno == EPIPE, (int)count);
  close(fds[1]);
}

static void signals_of_children(void) {
  int status;
  sigset_t chld, before;
  sigemptyset(&chld);
  sigaddset(&chld, SIGCHLD);
  handle(SIGCHLD, tally, SA_RESTART);
  sigprocmask(SIG_BLOCK, &chld, &before);
  count = 0;
  pid_t child = start(code7);
  while (!count) sigsuspend(&before);
  printf("SIGCHLD: %d\n", (int)count);
  waitpid(child, &status, 0);
  say("and its status", status);
  sigprocmask(SIG_SETMASK, &before, 0);
  signal(SIGCHLD, SIG_IGN);
  waitpid(start(code7), &status, 0);
  printf("ignored children leave nothing: %d, ECHILD %d\n", waitpid(-1, 0, 0), errno == ECHILD);
  signal(SIGCHLD, SIG_DFL);
}

/* A restarted read: the handler runs while nothing has been written. */
static int write_later(void) {
  struct timespec time = {0, 20000000};
  nanosleep(&time, 0);
  kill(getppid(), SIGUSR1);
  nanosleep(&time, 0);
  return write(write_end, "late", 4) == 4 ? 0 : 1;
}

static void restarts(void) {
  int fds[2], status;
  char buffer[8] = "";
  for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
    if (pipe(fds)) return;
    write_end = fds[1];
    handle(SIGUSR1, tally, flags);
    count = 0;
    pid_t child = start(write_later);
    long n = read(fds[0], buffer, sizeof buffer);
    printf("read with%s SA_RESTART: %ld, EINTR %d, signals %d\n", flags ? "" : "out", n, n < 0 && errno == EINTR, (int)count);
    waitpid(child, &status, 0);
    close(fds[0]);
    close(fds[1]);
  }
}

static void programs(const char *self) {
  int fds[2], status;
  if (pipe2(fds, O_CLOEXEC)) return;
  int kept = dup(fds[1]);
  char number[8];
  snprintf(number, sizeof number, "%d", kept);
  char closed[8];
  snprintf(closed, sizeof closed, "%d", fds[1]);
  char *argv[] = {(char *)self, "child", number, closed, 0};
  char *env[] = {"FRUIT=pear", 0};
  signal(SIGUSR1, SIG_IGN);
  handle(SIGUSR2, tally, 0);
  fflush(stdout);
  pid_t child = vfork();
  if (child == 0) {
    execve(self, argv, env);
    _exit(99);
  }
  close(kept);
  close(fds[1]);
  char buffer[200];
  long n, total = 0;
  while ((n = read(fds[0], buffer + total, sizeof buffer - (size_t)total)) > 0) total += n;
  waitpid(child, &status, 0);
  printf("%.*s", (int)total, buffer);
  say("executed", status);
  close(fds[0]);
  argv[1] = "exit";
  printf("spawn: %d\n", posix_spawn(&child, self, 0, 0, argv, environ));
  waitpid(child, &status, 0);
  say("spawned", status);
  printf("spawn of nothing: ENOENT %d\n", posix_spawn(&child, "/does/not/exist", 0, 0, argv, environ) == ENOENT);
  printf("execve of nothing: %d, ENOENT %d\n", execve("/does/not/exist", argv, env), errno == ENOENT);
}

static int child(int argc, char **argv) {
  int fd = atoi(argv[2]);
  struct sigaction ignored, caught;
  sigaction(SIGUSR1, 0, &ignored);
  sigaction(SIGUSR2, 0, &caught);
  dprintf(fd, "%d arguments, FRUIT %s, one descriptor gone %d, ignored %d, caught %d\n", argc, getenv("FRUIT"),
          write(atoi(argv[3]), "", 1) < 0 && errno == EBADF, ignored.sa_handler == SIG_IGN, caught.sa_handler != SIG_DFL);
  return 42;
}

static int makes_one(void) {
  int status;
  waitpid(start(code7), &status, 0);
  return WEXITSTATUS(status) + 1;
}

static void many(void) {
  int status, sum = 0;
  for (int i = 0; i < 50; i++) start(i % 2 ? code7 : makes_one);
  while (wait(&status) > 0) sum += WEXITSTATUS(status);
  printf("50 children, 25 of their own: %d\n", sum);
  pid_t group[3];
  for (int i = 0; i < 3; i++) {
    group[i] = start(waits);
    setpgid(group[i], group[0]);
  }
  printf("killed as a group: %d\n", kill(-group[0], SIGHUP));
  for (int i = 0; i < 3; i++) {
    waitpid(-group[0], &status, 0);
    say("one of them", status);
  }
}

int main(int argc, char **argv) {
  if (argc == 4 && strcmp(argv[1], "child") == 0) return child(argc, argv);
  if (argc == 2 && strcmp(argv[1], "exec") == 0) {
    programs(argv[0]);
    return 0;
  }
  if (argc > 1) return 11;
  ends();
  stops();
  shares();
  pipes();
  signals_of_children();
  restarts();
  many();
  return 0;
}
