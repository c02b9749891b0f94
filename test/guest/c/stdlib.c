/*
 * Memory, sorting and strings for program.c: a first-fit heap with blocks that join, heap sort, and what gcc calls by itself.
 * Document: ISO C17, 7.22.3, 7.22.5, 7.24.
 * Left out: giving memory back to anyone; the heap has a fixed size. memset, memcpy, strcmp and unsigned division are ../lib.c's.
 */
#include "libc.h"

enum { HEAP = 4 << 20, ALIGN = 16 };

struct block {
  size_t size; /* of the bytes behind this header */
  int is_free;
  struct block *next; /* in the order of their addresses */
  uint32_t unused;
} __attribute__((aligned(ALIGN)));

static char heap[HEAP] __attribute__((aligned(ALIGN)));
static struct block *blocks;

static void join(struct block *block)
{
  while (block->is_free && block->next != NULL && block->next->is_free) {
    block->size += sizeof *block + block->next->size;
    block->next = block->next->next;
  }
}

void *malloc(size_t size)
{
  if (blocks == NULL) {
    blocks = (struct block *)heap;
    *blocks = (struct block){.size = HEAP - sizeof *blocks, .is_free = 1};
  }
  if (size > HEAP)
    return NULL;
  size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
  for (struct block *block = blocks; block != NULL; block = block->next) {
    join(block);
    if (!block->is_free || block->size < size)
      continue;
    if (block->size >= size + sizeof *block + ALIGN) {
      struct block *rest = (struct block *)((char *)(block + 1) + size);
      *rest = (struct block){.size = block->size - size - sizeof *rest, .is_free = 1, .next = block->next};
      block->size = size;
      block->next = rest;
    }
    block->is_free = 0;
    return block + 1;
  }
  return NULL;
}

void free(void *memory)
{
  if (memory != NULL)
    ((struct block *)memory - 1)->is_free = 1;
}

void *realloc(void *memory, size_t size)
{
  void *larger = malloc(size);
  if (memory == NULL || larger == NULL)
    return larger;
  size_t old = ((struct block *)memory - 1)->size;
  memcpy(larger, memory, old < size ? old : size);
  free(memory);
  return larger;
}

static void swap(char *a, char *b, size_t size)
{
  for (; size > 0; size--, a++, b++) {
    char c = *a;
    *a = *b;
    *b = c;
  }
}

void qsort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *))
{
  char *at = base;
  for (size_t heap_end = count, first = count / 2; heap_end > 1;) {
    size_t parent;
    if (first > 0)
      parent = --first;
    else {
      swap(at, at + --heap_end * size, size);
      parent = 0;
    }
    for (size_t child; (child = 2 * parent + 1) < heap_end; parent = child) {
      if (child + 1 < heap_end && compare(at + child * size, at + (child + 1) * size) < 0)
        child++;
      if (compare(at + parent * size, at + child * size) >= 0)
        break;
      swap(at + parent * size, at + child * size, size);
    }
  }
}

void *memmove(void *to, const void *from, size_t n)
{
  if ((uintptr_t)to - (uintptr_t)from >= n)
    return memcpy(to, from, n);
  for (char *a = (char *)to + n, *end = to; a > end;) {
    a--;
    *a = ((const char *)from)[a - end];
  }
  return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
  for (const unsigned char *x = a, *y = b; n > 0; n--, x++, y++)
    if (*x != *y)
      return *x - *y;
  return 0;
}

size_t strlen(const char *s)
{
  const char *end = s;
  while (*end != 0)
    end++;
  return (size_t)(end - s);
}

#ifndef __x86_64__
/* libgcc's, by name, on top of lib.c's. */
uint64_t __udivdi3(uint64_t dividend, uint64_t divisor);

int64_t __divdi3(int64_t dividend, int64_t divisor)
{
  uint64_t a = dividend < 0 ? -(uint64_t)dividend : (uint64_t)dividend;
  uint64_t b = divisor < 0 ? -(uint64_t)divisor : (uint64_t)divisor;
  uint64_t quotient = __udivdi3(a, b);
  return (int64_t)((dividend ^ divisor) < 0 ? -quotient : quotient);
}

int64_t __moddi3(int64_t dividend, int64_t divisor)
{
  return dividend - __divdi3(dividend, divisor) * divisor;
}
#endif
