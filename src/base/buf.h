/* A growable byte string, always followed by a NUL. An allocation that fails is remembered in `failed` and turns
 * later additions into nothing, so that a writer checks once, at its end.
 * Threads: none. Lifetime: {0} is an empty buffer; buf_release() frees it. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* NULL when nothing was ever added */
    size_t length, capacity;
    bool failed;
};

void buf_add(struct buf *b, const void *data, size_t length);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_release(struct buf *b);

#endif
