#include "net/frames.h"

#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

bool frames_init(struct frames *f)
{
    *f = (struct frames){.data = malloc(FRAMES_CAPACITY)};
    return f->data;
}

void frames_release(struct frames *f)
{
    free(f->data);
}

void frames_clear(struct frames *f)
{
    f->start = f->end = 0;
}

/* Moves what is there to the front. */
static void compact(struct frames *f)
{
    if (f->start == 0)
        return;
    memmove(f->data, f->data + f->start, frames_pending(f));
    f->end -= f->start;
    f->start = 0;
}

bool frames_add(struct frames *f, const uint8_t *frame, size_t length)
{
    uint32_t header = htonl((uint32_t)length);
    if (FRAMES_CAPACITY - f->end < FRAMES_HEADER + length)
        compact(f);
    if (FRAMES_CAPACITY - f->end < FRAMES_HEADER + length)
        return false;
    memcpy(f->data + f->end, &header, FRAMES_HEADER);
    memcpy(f->data + f->end + FRAMES_HEADER, frame, length);
    f->end += FRAMES_HEADER + length;
    return true;
}

static bool would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

bool frames_write(struct frames *f, int fd)
{
    while (frames_pending(f)) {
        ssize_t n = send(fd, f->data + f->start, frames_pending(f), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            return would_block();
        f->start += (size_t)n;
    }
    frames_clear(f);
    return true;
}

bool frames_read(struct frames *f, int fd)
{
    const uint8_t *frame;
    size_t length;
    compact(f);
    if (f->end == FRAMES_CAPACITY)
        return true;
    ssize_t n = recv(fd, f->data + f->end, FRAMES_CAPACITY - f->end, MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 && would_block();
    f->end += (size_t)n;
    frames_first(f, &frame, &length);
    return !f->malformed;
}

bool frames_first(struct frames *f, const uint8_t **frame, size_t *length)
{
    uint32_t header;
    if (f->malformed || frames_pending(f) < FRAMES_HEADER)
        return false;
    memcpy(&header, f->data + f->start, FRAMES_HEADER);
    *length = ntohl(header);
    *frame = f->data + f->start + FRAMES_HEADER;
    f->malformed = *length < NET_MIN_FRAME || *length > NET_MAX_FRAME;
    return !f->malformed && frames_pending(f) - FRAMES_HEADER >= *length;
}

void frames_drop(struct frames *f, size_t length)
{
    f->start += FRAMES_HEADER + length;
}
