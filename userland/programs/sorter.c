/*
 * A heap-walking sorter: builds a linked list of randomly sized nodes on the heap, merge-sorts it, walks it, frees every
 * other node, grows the rest, and walks again. Touches memory all over the heap. Usage: sorter [NODES]
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
  struct node *next;
  uint32_t key, bytes;
  unsigned char filler[];
};

static uint32_t seed = 12345;
static uint32_t next_random(void) {
  seed ^= seed << 13;
  seed ^= seed >> 17;
  seed ^= seed << 5;
  return seed;
}

static struct node *make(uint32_t key, uint32_t bytes) {
  struct node *n = malloc(sizeof *n + bytes);
  if (n == 0) {
    fprintf(stderr, "sorter: out of memory\n");
    exit(1);
  }
  n->next = 0;
  n->key = key;
  n->bytes = bytes;
  memset(n->filler, (int)(key & 0xff), bytes);
  return n;
}

static struct node *merge(struct node *a, struct node *b) {
  struct node *head = 0, **tail = &head;
  while (a != 0 && b != 0) {
    struct node **least = b->key < a->key ? &b : &a;
    *tail = *least;
    tail = &(*least)->next;
    *least = *tail;
  }
  *tail = a != 0 ? a : b;
  return head;
}

static struct node *sort(struct node *list) {
  if (list == 0 || list->next == 0) return list;
  struct node *slow = list, *fast = list->next;
  while (fast != 0 && fast->next != 0) {
    slow = slow->next;
    fast = fast->next->next;
  }
  struct node *half = slow->next;
  slow->next = 0;
  return merge(sort(list), sort(half));
}

/* Sum over all keys and filler bytes; exits with 1 if the order or a byte is wrong. */
static uint64_t walk(const struct node *list, uint32_t *count) {
  uint64_t sum = 0;
  *count = 0;
  for (const struct node *n = list; n != 0; n = n->next) {
    if (n->next != 0 && n->next->key < n->key) exit(1);
    for (uint32_t i = 0; i < n->bytes; i++) {
      if (n->filler[i] != (n->key & 0xff)) exit(1);
    }
    sum += n->key;
    (*count)++;
  }
  return sum;
}

int main(int argc, char **argv) {
  uint32_t nodes = argc > 1 ? (uint32_t)strtoul(argv[1], 0, 10) : 20000, count;
  struct node *list = 0;
  for (uint32_t i = 0; i < nodes; i++) {
    struct node *n = make(next_random(), next_random() % 400);
    n->next = list;
    list = n;
  }
  list = sort(list);
  uint64_t sum = walk(list, &count);
  printf("sorted %u nodes, sum of keys %llu\n", count, (unsigned long long)sum);

  for (struct node *n = list; n != 0 && n->next != 0; n = n->next) {
    struct node *gone = n->next;
    n->next = gone->next;
    free(gone);
  }
  for (struct node **link = &list; *link != 0; link = &(*link)->next) {
    struct node *old = *link, *grown = make(old->key, old->bytes * 2);
    grown->next = old->next;
    *link = grown;
    free(old);
  }
  sum = walk(list, &count);
  printf("kept and grew %u nodes, sum of keys %llu\n", count, (unsigned long long)sum);
  return 0;
}
