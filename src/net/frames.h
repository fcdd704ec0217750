/* A buffer of frames on their way through a stream socket: each behind its length, 4 bytes, big-endian.
 * Threads: none. Lifetime: frames_init() ... frames_release(). */
#ifndef NET_FRAMES_H
#define NET_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FRAMES_HEADER = 4,
    FRAMES_CAPACITY = 1 << 18, /* bytes */
};

struct frames {
    uint8_t *data;
    size_t start, end; /* what is in it */
    bool malformed;    /* a length came that no frame has */
};

bool frames_init(struct frames *f); /* false: memory is short */
void frames_release(struct frames *f);
void frames_clear(struct frames *f);

static inline size_t frames_pending(const struct frames *f)
{
    return f->end - f->start;
}

/* ---- The writer's end ---- */

/* False: there is no room. */
bool frames_add(struct frames *f, const uint8_t *frame, size_t length);

/* Writes what the socket takes. False: the other end is gone. */
bool frames_write(struct frames *f, int fd);

/* ---- The reader's end ---- */

/* Reads what is there and what there is room for. False: the other end is gone, or sends what are no frames. */
bool frames_read(struct frames *f, int fd);

/* The first frame, when it is there whole; it stays until frames_drop(), and where it is until frames_read(). */
bool frames_first(struct frames *f, const uint8_t **frame, size_t *length);
void frames_drop(struct frames *f, size_t length);

#endif
