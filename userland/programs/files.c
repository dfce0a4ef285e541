/*
 * Files as programs use them: names, links, directories, positions, descriptors, pipes, times and buffered streams, with
 * the errors that belong to each. Works in the current directory. Prints one line a fact; the output is the same on
 * every machine.
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char text[4096];

/* Makes a call and prints what came of it. */
#define TELL(call)                                                      \
  do {                                                                  \
    long long result = (long long)(call);                               \
    if (result < 0) printf("%s: %s\n", #call, strerror(errno));         \
    else printf("%s = %lld\n", #call, result);                          \
  } while (0)

static void show(const char *path) {
  struct stat s;
  if (lstat(path, &s) != 0) printf("%s: %s\n", path, strerror(errno));
  else if (S_ISDIR(s.st_mode)) printf("%s: mode %o\n", path, s.st_mode);
  else printf("%s: mode %o, %d links, %ld bytes\n", path, s.st_mode, (int)s.st_nlink, (long)s.st_size);
}

static void positions(void) {
  int fd;
  struct iovec pieces[3] = {{text, 3}, {text + 10, 0}, {text + 20, 100}};
  TELL((fd = open("f", O_CREAT | O_EXCL | O_RDWR, 0666)) >= 0);
  TELL(open("f", O_CREAT | O_EXCL | O_RDWR, 0666));
  TELL(write(fd, "hello world\n", 12));
  TELL(lseek(fd, -3, SEEK_END));
  TELL(lseek(fd, -100, SEEK_CUR));
  TELL(pread(fd, text, 5, 6));
  TELL(pwrite(fd, "W", 1, 6));
  TELL(lseek(fd, 0, SEEK_SET));
  TELL(readv(fd, pieces, 3));
  printf("%.3s|%.9s", text, text + 20);
  TELL(ftruncate(fd, 100000));
  TELL(ftruncate(fd, -1));
  TELL(lseek(fd, 5000000000, SEEK_SET));
  TELL(write(fd, "end", 3));
  TELL(pread(fd, text, 9, 4999999998));
  TELL(ftruncate(fd, 5));
  show("f");
  TELL(write(fd, (void *)8, 10));
  TELL(pread(fd, (void *)8, 10, 0));
  TELL(close(fd));
  TELL(close(fd));
  TELL(read(fd, text, 1));
  TELL((fd = open("append", O_CREAT | O_RDWR | O_APPEND, 0600)) >= 0);
  TELL(write(fd, "one", 3));
  TELL(lseek(fd, 0, SEEK_SET));
  TELL(write(fd, "two", 3));
  TELL(unlink("append"));
  memset(text, 0, 10);
  TELL(pread(fd, text, 9, 0));
  printf("without a name: %s\n", text);
  close(fd);
}

static void names(void) {
  static char longName[300];
  memset(longName, 'n', 256);
  TELL(symlink("f", "s"));
  TELL(readlink("s", text, sizeof text));
  TELL(readlink("f", text, sizeof text));
  TELL(link("f", "l"));
  TELL(link("f", "l"));
  TELL(symlink("loop", "loop"));
  TELL(open("loop", O_RDONLY));
  TELL(open("s", O_RDONLY | O_NOFOLLOW));
  TELL(open("f/x", O_RDONLY));
  TELL(open("", O_RDONLY));
  TELL(open(".", O_WRONLY));
  TELL(open("f", O_RDONLY | O_DIRECTORY));
  TELL(open(longName, O_CREAT | O_WRONLY, 0644));
  TELL(open((char *)8, O_RDONLY));
  TELL(mkdir("d", 0777));
  TELL(mkdir("d", 0777));
  TELL(mkdir("d/sub", 0700));
  TELL(mkdir("none/sub", 0700));
  TELL(rename("f", "g"));
  TELL(rename("f", "g"));
  TELL(rename("g", "d"));
  TELL(rename("d", "g"));
  TELL(rename("d", "d/sub/x"));
  TELL(rename("g", "d/g"));
  TELL(rmdir("d"));
  TELL(unlink("d"));
  TELL(rmdir("d/g"));
  TELL(access("d/g", R_OK | W_OK));
  TELL(access("d/g", X_OK));
  TELL(chmod("d/g", 04755));
  TELL(access("d/g", X_OK));
  show("d/g");
  show("d");
  show("s");
  TELL(mkfifo("fifo", 0640));
  show("fifo");
}

static int visit(const char *path, const struct stat *status, int type, struct FTW *at) {
  (void)status;
  if (type == FTW_F) printf("file %s, level %d, base %d\n", path, at->level, at->base);
  return 0;
}

static void directories(void) {
  struct dirent **list;
  for (int i = 0; i < 40; i++) {
    sprintf(text, "d/sub/file%02d", i * 7 % 40);
    close(open(text, O_CREAT | O_WRONLY, 0644));
  }
  int n = scandir("d/sub", &list, 0, alphasort);
  printf("%d names: %s %s %s ... %s\n", n, list[0]->d_name, list[1]->d_name, list[2]->d_name, list[n - 1]->d_name);
  DIR *directory = opendir("d/sub");
  int before = 0, after = 0;
  TELL(chdir("d/sub"));
  for (struct dirent *entry; (entry = readdir(directory)) != 0; before++) {
    if (strcmp(entry->d_name, "file07") != 0 && entry->d_name[0] != '.') unlink(entry->d_name);
  }
  rewinddir(directory);
  while (readdir(directory) != 0) after++;
  printf("removed while reading: %d, then %d\n", before, after);
  closedir(directory);
  TELL(chdir("../.."));
  TELL(chdir("d/g"));
  TELL(nftw("d", visit, 10, FTW_PHYS | FTW_DEPTH));
  char *path = realpath("d/../d/./sub", 0);
  printf("real path: %s\n", path == 0 ? "none" : strrchr(path, '/'));
  TELL(getcwd(text, 2) == 0 ? -1 : 0);
}

static void descriptors(void) {
  int ends[2], fd = open("l", O_RDWR);
  struct pollfd polled[2];
  struct timeval millisecond = {0, 1000};
  fd_set set;
  TELL(fcntl(fd, F_DUPFD, 100));
  TELL(dup2(fd, 30));
  TELL(dup2(77, 31));
  TELL(dup3(fd, fd, 0));
  TELL(fcntl(30, F_SETFD, FD_CLOEXEC));
  TELL(fcntl(30, F_GETFD) | fcntl(fd, F_GETFD) << 4);
  TELL(write(30, "dup", 3));
  TELL(lseek(100, 0, SEEK_CUR));
  TELL(fcntl(999, F_GETFD));
  TELL(pipe(ends));
  TELL(write(ends[1], "12345", 5));
  TELL(lseek(ends[0], 0, SEEK_CUR));
  TELL(read(ends[0], text, 3));
  polled[0] = (struct pollfd){ends[0], POLLIN, 0};
  polled[1] = (struct pollfd){99, POLLIN, 0};
  TELL(poll(polled, 2, 0));
  printf("events %x %x\n", polled[0].revents, polled[1].revents);
  TELL(read(ends[0], text, 9));
  FD_ZERO(&set);
  FD_SET(ends[0], &set);
  TELL(select(ends[0] + 1, &set, 0, 0, &millisecond));
  TELL(fcntl(ends[0], F_SETFL, O_NONBLOCK));
  TELL(read(ends[0], text, 1));
  close(ends[1]);
  TELL(read(ends[0], text, 1));
  TELL(poll(polled, 1, 0));
  printf("events %x\n", polled[0].revents);
  TELL(isatty(ends[0]));
}

static void times(void) {
  struct timespec both[2] = {{1000000000, 5}, {1234567890, 123456789}};
  struct stat s;
  TELL(utimensat(AT_FDCWD, "l", both, 0));
  stat("l", &s);
  printf("times %ld.%09ld %ld.%09ld\n", (long)s.st_atim.tv_sec, s.st_atim.tv_nsec, (long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
  both[0].tv_nsec = UTIME_OMIT;
  both[1].tv_sec = 77;
  TELL(utimensat(AT_FDCWD, "l", both, 0));
  stat("l", &s);
  printf("times %ld %ld\n", (long)s.st_atim.tv_sec, (long)s.st_mtim.tv_sec);
  TELL(utimensat(AT_FDCWD, "none", both, 0));
}

static void streams(void) {
  FILE *file = fopen("stream", "w+");
  int x, y;
  long long sum = 0;
  for (int i = 0; i < 2000; i++) fprintf(file, "%d %x\n", i, i * i);
  rewind(file);
  while (fscanf(file, "%d %x", &x, &y) == 2) sum += x ^ y;
  printf("scanned %lld, at the end %d\n", sum, feof(file) != 0);
  fseek(file, -12, SEEK_END);
  printf("%s", fgets(text, 100, file));
  ungetc('q', file);
  printf("%c, position %ld\n", fgetc(file), ftell(file));
  fclose(file);
  file = fopen("stream", "a+");
  fputs("more", file);
  fseek(file, -6, SEEK_CUR);
  fgets(text, 100, file);
  fgets(text, 100, file);
  printf("appended: %s\n", text);
  setvbuf(file, 0, _IOFBF, 4096);
  TELL(fclose(file));
  file = tmpfile();
  fputs("temporary\n", file);
  rewind(file);
  printf("%s", fgets(text, 100, file));
  fclose(file);
  int in = open("stream", O_RDONLY), out = open("copy", O_CREAT | O_RDWR, 0644);
  TELL(sendfile(out, in, 0, 1000000));
  TELL(copy_file_range(in, &(off_t){0}, out, 0, 100, 0));
  show("copy");
  TELL(fopen("none/x", "r") == 0 ? -1 : 0);
}

static int erase(const char *path, const struct stat *status, int type, struct FTW *at) {
  (void)status, (void)type, (void)at;
  return remove(path);
}

int main(void) {
  setvbuf(stdout, 0, _IOLBF, 0);
  umask(022);
  TELL(mkdir("files.tmp", 0755));
  TELL(chdir("files.tmp"));
  positions();
  names();
  directories();
  descriptors();
  times();
  streams();
  TELL(chdir(".."));
  TELL(nftw("files.tmp", erase, 10, FTW_PHYS | FTW_DEPTH));
  TELL(access("files.tmp", F_OK));
  return 0;
}
