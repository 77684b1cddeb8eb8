/*
 * Disks and clocks that go wrong for chosen processes only, switchable while they run: loaded into
 * them by LD_PRELOAD, told what to do by a small file that all of them map (FAULTS_CONTROL).
 *
 * Disk: before each write or fsync below a path it waits (a slow disk), waits until told otherwise
 * (a hung one) or fails. Clock: the wall clock is stepped, or all clocks run at another rate. Bun
 * makes its file operations without the C library, so only PostgreSQL feels the disk; clocks are
 * felt by everybody, also by those who look `clock_gettime` up by name.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* As `preload.ts` writes it. A writer makes `begun` differ from `done` while it writes. */
struct control {
  int64_t begun;
  int64_t wall_step_ns;
  /* The clocks show: true time - lag - (true time - since) * (1 - rate / 1e6). */
  int64_t lag_ns, rate_ppm, since_ns;
  /* Milliseconds; -1 waits until it is another number. */
  int64_t fsync_ms, write_ms;
  int64_t error;
  char below[256];
  int64_t done;
};

static const volatile struct control *control;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("FAULTS_CONTROL");
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *map = mmap(NULL, sizeof(struct control), PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (map != MAP_FAILED) control = map;
}

static int clock_is_wrong(int64_t *step, int64_t *lag, int64_t *rate, int64_t *since) {
  if (!control) return 0;
  for (;;) {
    int64_t done = __atomic_load_n(&control->done, __ATOMIC_ACQUIRE);
    *step = control->wall_step_ns;
    *lag = control->lag_ns;
    *rate = control->rate_ppm;
    *since = control->since_ns;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (control->begun == done) return *step || *lag || *rate != 1000000;
  }
}

static int64_t true_ns(clockid_t id) {
  struct timespec t;
  syscall(SYS_clock_gettime, id, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int clock_gettime(clockid_t id, struct timespec *t) {
  int64_t step, lag, rate, since;
  int result = (int)syscall(SYS_clock_gettime, id, t);
  if (result || id == CLOCK_PROCESS_CPUTIME_ID || id == CLOCK_THREAD_CPUTIME_ID) return result;
  if (!clock_is_wrong(&step, &lag, &rate, &since)) return 0;
  int64_t ran = true_ns(CLOCK_BOOTTIME) - since;
  int64_t shown = t->tv_sec * 1000000000LL + t->tv_nsec - lag;
  if (rate != 1000000) shown -= (int64_t)((double)ran * (1000000 - rate) / 1e6);
  if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) shown += step;
  t->tv_sec = shown / 1000000000LL;
  t->tv_nsec = shown % 1000000000LL;
  return 0;
}

int gettimeofday(struct timeval *tv, void *zone) {
  struct timespec t;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &t);
  tv->tv_sec = t.tv_sec;
  tv->tv_usec = t.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *to) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  if (to) *to = t.tv_sec;
  return t.tv_sec;
}

void *dlsym(void *restrict handle, const char *restrict name) {
  static void *(*real)(void *, const char *);
  static const char *const versions[] = {"GLIBC_2.2.5", "GLIBC_2.17", "GLIBC_2.34"};
  if (!strcmp(name, "clock_gettime")) return (void *)clock_gettime;
  for (int i = 0; !real && i < 3; i++) real = dlvsym(RTLD_NEXT, "dlsym", versions[i]);
  return real ? real(handle, name) : NULL;
}

static int is_below(int fd) {
  char link[40], path[512];
  const char *below = (const char *)control->below;
  char digits[12];
  int count = 0, at = 14;
  memcpy(link, "/proc/self/fd/", 14);
  for (unsigned rest = (unsigned)fd; count == 0 || rest; rest /= 10) digits[count++] = '0' + rest % 10;
  while (count) link[at++] = digits[--count];
  link[at] = 0;
  long length = syscall(SYS_readlink, link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return !strncmp(path, below, strlen(below));
}

/* Waits as long as the disk shall take; the error that it shall give, 0 for none. */
static int suffer(int fd, int fsyncing) {
  if (!control) return 0;
  const volatile int64_t *ms = fsyncing ? &control->fsync_ms : &control->write_ms;
  if ((!*ms && !control->error) || !is_below(fd)) return 0;
  struct timespec slice = {0, 20000000};
  if (*ms > 0) {
    struct timespec wait = {*ms / 1000, *ms % 1000 * 1000000};
    syscall(SYS_nanosleep, &wait, NULL);
  } else
    while (*ms < 0) syscall(SYS_nanosleep, &slice, NULL);
  return (int)control->error;
}

#define SUFFER(fd, fsyncing)           \
  do {                                 \
    int wrong = suffer(fd, fsyncing);  \
    if (wrong) {                       \
      errno = wrong;                   \
      return -1;                       \
    }                                  \
  } while (0)

int fsync(int fd) {
  SUFFER(fd, 1);
  return (int)syscall(SYS_fsync, fd);
}
int fdatasync(int fd) {
  SUFFER(fd, 1);
  return (int)syscall(SYS_fdatasync, fd);
}
ssize_t write(int fd, const void *bytes, size_t count) {
  SUFFER(fd, 0);
  return syscall(SYS_write, fd, bytes, count);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
  SUFFER(fd, 0);
  return syscall(SYS_pwrite64, fd, bytes, count, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) {
  return pwrite(fd, bytes, count, at);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
  SUFFER(fd, 0);
  return syscall(SYS_pwritev, fd, parts, count, at, 0);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) {
  return pwritev(fd, parts, count, at);
}
int posix_fallocate(int fd, off_t at, off_t length) {
  int wrong = suffer(fd, 0);
  if (wrong) return wrong;
  return syscall(SYS_fallocate, fd, 0, at, length) ? errno : 0;
}
int posix_fallocate64(int fd, off_t at, off_t length) { return posix_fallocate(fd, at, length); }
