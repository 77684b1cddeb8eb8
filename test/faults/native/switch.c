/*
 * The network between the nodes of the fault tests: a switch in user space over TAP devices. It
 * exists because kernels without netem cannot delay, lose or cut one direction only, and because a
 * cut must be able to take one port (the store's, PostgreSQL's) and leave the rest.
 *
 *   switch N      makes tap1..tapN in the present network namespace; move tapI into a node
 *
 * Orders come as lines on stdin, each answered by one line "ok"; FROM, TO and PORT may be 0 for any:
 *   cut FROM TO PORT | heal FROM TO PORT | set FROM TO DELAY_US JITTER_US LOSS_PERMILLE
 * Frames of one direction are never reordered. It ends when stdin ends.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { NODES_MAX = 8, CUTS_MAX = 64, FRAME_MAX = 65536 };

struct link {
  int64_t delay_us, jitter_us, last_due;
  int loss_permille;
};
struct cut {
  int from, to, port;
};
struct waiting {
  int64_t due;
  uint64_t number;
  int to, length;
  unsigned char *bytes;
};

static int nodes, device[NODES_MAX + 1];
static struct link links[NODES_MAX + 1][NODES_MAX + 1];
static struct cut cuts[CUTS_MAX];
static int cut_count;
static unsigned char address[NODES_MAX + 1][6];
static struct waiting *heap;
static int heap_count, heap_room;
static uint64_t frames;

static int64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static int before(const struct waiting *a, const struct waiting *b) {
  return a->due < b->due || (a->due == b->due && a->number < b->number);
}

static void swap(int i, int j) {
  struct waiting kept = heap[i];
  heap[i] = heap[j];
  heap[j] = kept;
}

static void push(struct waiting frame) {
  if (heap_count == heap_room) {
    heap_room = heap_room ? heap_room * 2 : 1024;
    heap = realloc(heap, heap_room * sizeof *heap);
    if (!heap) abort();
  }
  int i = heap_count++;
  heap[i] = frame;
  for (; i && before(&heap[i], &heap[(i - 1) / 2]); i = (i - 1) / 2) swap(i, (i - 1) / 2);
}

static struct waiting pop(void) {
  struct waiting first = heap[0];
  heap[0] = heap[--heap_count];
  for (int i = 0;;) {
    int child = 2 * i + 1;
    if (child >= heap_count) break;
    if (child + 1 < heap_count && before(&heap[child + 1], &heap[child])) child++;
    if (!before(&heap[child], &heap[i])) break;
    swap(i, child);
    i = child;
  }
  return first;
}

/* Whether a frame is TCP over IPv4 from or to a port. */
static int uses_port(const unsigned char *frame, int length, int port) {
  if (length < 34 || frame[12] != 8 || frame[13] != 0 || frame[23] != 6) return 0;
  int at = 14 + (frame[14] & 15) * 4;
  if (length < at + 4) return 0;
  return (frame[at] << 8 | frame[at + 1]) == port || (frame[at + 2] << 8 | frame[at + 3]) == port;
}

static int is_cut(int from, int to, const unsigned char *frame, int length) {
  for (int i = 0; i < cut_count; i++)
    if (cuts[i].from == from && cuts[i].to == to &&
        (cuts[i].port == 0 || uses_port(frame, length, cuts[i].port)))
      return 1;
  return 0;
}

static void forward(int from, int to, const unsigned char *frame, int length) {
  struct link *link = &links[from][to];
  if (is_cut(from, to, frame, length)) return;
  if (link->loss_permille && rand() % 1000 < link->loss_permille) return;
  if (!link->delay_us && !link->jitter_us && now_us() >= link->last_due) {
    if (write(device[to], frame, length) < 0) { /* full queue: lost, as on a wire */
    }
    return;
  }
  int64_t due = now_us() + link->delay_us + (link->jitter_us ? rand() % link->jitter_us : 0);
  if (due < link->last_due) due = link->last_due;
  link->last_due = due;
  struct waiting waiting = {due, frames++, to, length, malloc(length)};
  if (!waiting.bytes) abort();
  memcpy(waiting.bytes, frame, length);
  push(waiting);
}

static void add_cut(int from, int to, int port) {
  if (cut_count == CUTS_MAX) abort();
  cuts[cut_count++] = (struct cut){from, to, port};
}

static void remove_cut(int from, int to, int port) {
  int kept = 0;
  for (int i = 0; i < cut_count; i++)
    if (cuts[i].from != from || cuts[i].to != to || (port && cuts[i].port != port))
      cuts[kept++] = cuts[i];
  cut_count = kept;
}

static void obey(const char *line) {
  char word[8] = "";
  int from = 0, to = 0;
  long first = 0, jitter = 0, loss = 0;
  if (sscanf(line, "%7s %d %d %ld %ld %ld", word, &from, &to, &first, &jitter, &loss) < 3) return;
  for (int a = 1; a <= nodes; a++)
    for (int b = 1; b <= nodes; b++) {
      if (a == b || (from && from != a) || (to && to != b)) continue;
      if (!strcmp(word, "cut")) add_cut(a, b, (int)first);
      if (!strcmp(word, "heal")) remove_cut(a, b, (int)first);
      if (!strcmp(word, "set")) {
        links[a][b].delay_us = first;
        links[a][b].jitter_us = jitter;
        links[a][b].loss_permille = (int)loss;
      }
    }
  puts("ok");
  fflush(stdout);
}

static void receive(int from) {
  static unsigned char frame[FRAME_MAX];
  for (int burst = 0; burst < 64; burst++) {
    int length = read(device[from], frame, sizeof frame);
    if (length < 14) return;
    memcpy(address[from], frame + 6, 6);
    int to = 0;
    if (!(frame[0] & 1))
      for (int i = 1; i <= nodes; i++)
        if (i != from && !memcmp(address[i], frame, 6)) to = i;
    if (to)
      forward(from, to, frame, length);
    else
      for (int i = 1; i <= nodes; i++)
        if (i != from) forward(from, i, frame, length);
  }
}

static int open_device(int number) {
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  struct ifreq request = {0};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  snprintf(request.ifr_name, sizeof request.ifr_name, "tap%d", number);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) {
    perror("/dev/net/tun");
    exit(1);
  }
  return fd;
}

/* Lines that have come in full; false at the end of stdin. */
static int orders(void) {
  static char text[4096];
  static int length;
  int count = read(0, text + length, sizeof text - 1 - length);
  if (count <= 0) return 0;
  length += count;
  text[length] = 0;
  char *line = text, *end;
  for (; (end = strchr(line, '\n')); line = end + 1) {
    *end = 0;
    obey(line);
  }
  length = strlen(line);
  memmove(text, line, length + 1);
  return 1;
}

int main(int count, char **words) {
  nodes = count > 1 ? atoi(words[1]) : 0;
  if (nodes < 1 || nodes > NODES_MAX) return 2;
  struct pollfd waits[NODES_MAX + 1] = {{0, POLLIN, 0}};
  for (int i = 1; i <= nodes; i++)
    waits[i] = (struct pollfd){device[i] = open_device(i), POLLIN, 0};
  puts("ready");
  fflush(stdout);
  for (;;) {
    int64_t now = now_us();
    while (heap_count && heap[0].due <= now) {
      struct waiting frame = pop();
      if (write(device[frame.to], frame.bytes, frame.length) < 0) { /* lost, as above */
      }
      free(frame.bytes);
    }
    struct timespec left, *timeout = NULL;
    if (heap_count) {
      int64_t wait = heap[0].due > now ? heap[0].due - now : 0;
      left = (struct timespec){wait / 1000000, wait % 1000000 * 1000};
      timeout = &left;
    }
    if (ppoll(waits, nodes + 1, timeout, NULL) < 0 && errno != EINTR) return 1;
    for (int i = 1; i <= nodes; i++)
      if (waits[i].revents & POLLIN) receive(i);
    if (waits[0].revents & (POLLIN | POLLHUP) && !orders()) return 0;
  }
}
